"""Batches that background threads cut from files while the device takes its steps."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields

import torch

from s2m2_ros.training.batch import StereoBatch

MOST_READERS = 16


@dataclass(frozen=True)
class Request:
    """A batch by what its pairs depend on, beside the seed."""

    index: int
    batch_size: int
    height: int
    width: int


Cutter = Callable[[int], StereoBatch]
"""Returns pair ``number`` of a batch as a batch of one, on the host."""


class ReadAhead:
    """Cuts batches in threads: those that were announced before they are asked for.

    What it returns does not depend on what was announced. ``cutter`` returns the `Cutter` of a
    request; with ``pinned``, batches lie in memory that a CUDA device copies by itself. A process
    that ends waits for what was announced, the fraction of a second that few batches take.
    """

    def __init__(self, cutter: Callable[[Request], Cutter], *, pinned: bool = False) -> None:
        self._cutter, self._pinned = cutter, pinned
        self._readers = ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_READERS))
        self._started: dict[Request, tuple[StereoBatch, list[Future[None]]]] = {}

    def announce(self, requests: Iterable[Request]) -> None:
        """Start to cut these batches, in this order; drop all others that were started."""
        wanted = list(requests)
        for request in self._started.keys() - set(wanted):
            for pair in self._started.pop(request)[1]:
                pair.cancel()
        for request in wanted:
            if request not in self._started:
                self._started[request] = self._start(request)

    def take(self, request: Request) -> StereoBatch:
        """Return a batch on the host, cut by now or not. Raises what its `Cutter` raises."""
        self.announce([*self._started, request])
        batch, pairs = self._started.pop(request)
        for pair in pairs:
            pair.result()
        return batch

    def _start(self, request: Request) -> tuple[StereoBatch, list[Future[None]]]:
        batch = _empty(request, pinned=self._pinned)
        cut = self._cutter(request)

        def fill(number: int) -> None:
            _copy(cut(number), batch.part(number, number + 1))

        return batch, [self._readers.submit(fill, i) for i in range(request.batch_size)]


def _empty(request: Request, *, pinned: bool) -> StereoBatch:
    """Return a batch of any content, to be filled by several threads without stacking."""
    size = request.height, request.width
    return StereoBatch(
        **{
            field.name: torch.empty(
                (request.batch_size, 3 if field.name in {'left', 'right'} else 1, *size),
                pin_memory=pinned,
            )
            for field in fields(StereoBatch)
        }
    )


def _copy(pairs: StereoBatch, into: StereoBatch) -> None:
    for field in fields(StereoBatch):
        getattr(into, field.name).copy_(getattr(pairs, field.name))
