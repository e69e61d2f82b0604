"""How often something comes, and when it is expected next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

# The period is this quantile of the differences of times: most of what comes may be lost, which
# leaves longer differences, and some may come in bursts.
PERIOD_QUANTILE = 0.1
RECENT_DIFFERENCES = 10


def period_of(differences: Iterable[float]) -> float:
    """Return the period behind these differences of times, of which there is one at least."""
    ordered = sorted(differences)
    return ordered[int(PERIOD_QUANTILE * len(ordered))]


class Rhythm:
    """The times of what comes again and again, in any unit; begins anew when they jump back.

    One thread takes note, any may read.

    Attributes:
        newest: the last time; None if it has not come yet.
        period: the time from one to the next; None if it has come less than twice.

    """

    def __init__(self) -> None:
        self.newest: float | None = None
        self.period: float | None = None
        self._differences: deque[float] = deque(maxlen=RECENT_DIFFERENCES)

    def note(self, time: float) -> bool:
        """Take note that it came; False if the time is not later than the last one."""
        later = self.newest is None or time > self.newest
        if not later:
            self._differences.clear()
        elif self.newest is not None:
            self._differences.append(time - self.newest)
        self.newest = time
        self.period = period_of(self._differences) if self._differences else None
        return later
