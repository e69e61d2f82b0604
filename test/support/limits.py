"""Limits of time and memory within which hostile input must be read or refused."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 5.0
MEBIBYTES = 700


def peak_memory(status: str = '/proc/self/status') -> int:
    """Return the most bytes that this process had resident since `forget_peak_memory`.

    Not `ru_maxrss`, which never falls, and which a program inherits from whatever started it.
    """
    lines = Path(status).read_text(encoding='ascii').splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM:'))


def forget_peak_memory() -> None:
    """Let `peak_memory` begin anew with what is resident now (proc(5), clear_refs)."""
    Path('/proc/self/clear_refs').write_text('5', encoding='ascii')


@contextmanager
def bounded(mebibytes: int = MEBIBYTES) -> Iterator[None]:
    """Assert that what happens inside takes few seconds of computing, and little new memory."""
    forget_peak_memory()
    start = peak_memory()
    before = resource.getrusage(resource.RUSAGE_SELF)
    yield
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS
    assert (peak_memory() - start) / 2**20 < mebibytes
