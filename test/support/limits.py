"""Limits of time and memory within which hostile input must be read or refused."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 5.0
MEBIBYTES = 700


@contextmanager
def bounded(mebibytes: int = MEBIBYTES) -> Iterator[None]:
    """Assert that what happens inside takes few seconds of computing, and little new memory."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    yield
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS
    assert (after.ru_maxrss - before.ru_maxrss) / 1024 < mebibytes
