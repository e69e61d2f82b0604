"""How long to wait for what may come late, if it has not come lately."""

from __future__ import annotations

import time
from collections.abc import Callable

# So many waits in a row must be in vain before others are left out.
VAIN_WAITS = 3
# Then one wait is tried in so many seconds, in case that it comes again.
RETRY_PERIOD = 1.0


class WaitBudget:
    """Limits waits, so that what never comes does not slow down what does not need it.

    For one thread, or under a lock.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take seconds from the clock."""
        self._clock = clock
        self._in_vain = 0
        self._tried_at = 0.0

    def limit(self, timeout: float) -> float:
        """Return how long to wait now: the timeout in seconds, or 0."""
        if self._in_vain >= VAIN_WAITS and self._clock() < self._tried_at + RETRY_PERIOD:
            return 0.0
        return timeout

    def report(self, *, found: bool) -> None:
        """Take note of how it ended; call this for no wait that was left out, unless found."""
        self._in_vain = 0 if found else self._in_vain + 1
        self._tried_at = self._clock()
