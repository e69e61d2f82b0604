"""Tables that depend on sizes alone, kept from pass to pass."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

Table = TypeVar('Table')

_KEPT = 128
_lock = threading.Lock()
_tables: OrderedDict[tuple[Hashable, ...], object] = OrderedDict()
_recording = threading.local()


def kept(make: Callable[..., Table], *key: Hashable) -> Table:
    """Return ``make(*key)``, kept for the next call with this key.

    A compiler traces how a table is made instead, and makes it part of its graph.

    Args:
        make: a function of a module, which returns tensors made of nothing but its arguments.
        key: its arguments; the device is one of them.
    """
    if torch.compiler.is_compiling():
        return make(*key)
    name = (make, *key)
    with _lock:
        table = _tables.get(name)
    if table is None:
        # Tensors made in inference mode could not be used in training later.
        with torch.inference_mode(False), torch.no_grad():
            table = make(*key)
    with _lock:
        table = _tables.setdefault(name, table)
        _tables.move_to_end(name)
        while len(_tables) > _KEPT:
            _tables.popitem(last=False)
    for record in getattr(_recording, 'records', ()):
        record.append(table)
    return table  # type: ignore[return-value]


@contextmanager
def recorded() -> Iterator[list[object]]:
    """Collect the tables that this thread uses: who reads them later by address keeps them."""
    record: list[object] = []
    records = _recording.__dict__.setdefault('records', [])
    records.append(record)
    try:
        yield record
    finally:
        records.pop()
