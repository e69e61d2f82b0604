"""At most so many pairs per second, as evenly as the camera allows."""

from __future__ import annotations

import math

# Weight of the newest interval in the mean of the intervals between pairs.
NEWEST_WEIGHT = 0.2
# In seconds; 1 / rate may be infinite.
LONGEST_PERIOD = 1e6


class PairLimit:
    """Chooses which pairs are matched; one thread.

    The chosen ones follow a grid of times. Of the pairs around a time of the grid the nearest is
    taken, up to half of an interval between pairs early: waiting for the first one *after* it
    would turn 30 Hz into 7.5 Hz where 10 Hz were asked for, whenever a pair came a little early.
    """

    def __init__(self) -> None:
        self._chosen = -math.inf
        self._newest = math.nan
        self._interval = 0.0

    def admits(self, rate: float, now: float) -> bool:
        """Return whether the pair that came now is to be matched.

        `rate` in pairs per second, 0 for all, may change at any time; `now` in seconds of a
        monotonic clock.
        """
        if rate <= 0:
            return True
        period = min(1 / rate, LONGEST_PERIOD)
        self._measure(now, period)
        early = min(self._interval, period) / 2
        due = self._chosen + period
        if now < due - early:
            return False
        # A camera that was late sets the grid anew, so that nothing is caught up with.
        self._chosen = max(due, now - early)
        return True

    def _measure(self, now: float, period: float) -> None:
        """Follow the mean interval between pairs; longer ones than a period count as that."""
        interval, self._newest = now - self._newest, now
        if math.isnan(interval):
            return
        weight = NEWEST_WEIGHT if self._interval else 1.0
        self._interval += weight * (min(interval, period) - self._interval)
