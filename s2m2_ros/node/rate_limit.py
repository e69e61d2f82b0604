"""An output that comes less often than the pairs."""

from __future__ import annotations

import time
from collections.abc import Callable

NANOSECONDS = 1e9


class RateLimit:
    """Says which pairs get an output that is limited to a rate; for one thread.

    Time is that of the pairs' timestamps, so that a recording gives the same outputs at any
    speed, and simulated time counts. Where the timestamps do not advance (zero, or the same
    again) it is a monotonic clock. Where they jump back a new count begins. The rate holds on
    average: a pair that comes late does not delay those after it.
    """

    def __init__(self, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Take nanoseconds from the clock."""
        self._clock = clock
        self._seen = 0
        self._now = 0.0
        self._period = 0.0
        self._used: float | None = None
        # When the last output was due, which is not later than when it was used.
        self._slot = 0.0

    def due(self, stamp: int, rate: float) -> bool:
        """Return whether the pair of this timestamp (ns) gets the output.

        `rate` is in Hz; 0 means every pair.
        """
        self._now = float(stamp if stamp and stamp != self._seen else self._clock())
        self._seen = stamp
        self._period = NANOSECONDS / rate if rate else 0.0
        if self._used is None or self._now < self._used:
            return True
        return self._now >= self._slot + self._period

    def use(self) -> None:
        """Count an output for the pair that was asked about last."""
        begins = self._used is None or self._now < self._used
        late = self._now - self._slot >= 2 * self._period
        self._slot = self._now if begins or late else self._slot + self._period
        self._used = self._now
