"""Running statistics of what the node does: rates, latencies, confidence."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


class RateMeter:
    """Events per second over the last `window` seconds; one thread ticks, any may read."""

    def __init__(
        self, *, window: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._window = window
        self._clock = clock
        self._started = clock()
        self._events: deque[float] = deque()

    def tick(self) -> None:
        """Count one event now."""
        now = self._clock()
        self._events.append(now)
        while self._events[0] <= now - self._window:
            self._events.popleft()

    def rate(self) -> float:
        """Return the events per second; a meter younger than its window goes by its age."""
        now = self._clock()
        recent = sum(event > now - self._window for event in self._events.copy())
        elapsed = min(self._window, now - self._started)
        return recent / elapsed if elapsed > 0 else 0.0


@dataclass(frozen=True)
class Spread:
    """Median and 95th percentile; NaN if there is nothing yet."""

    median: float = math.nan
    percentile_95: float = math.nan


class RecentValues:
    """The last `size` values."""

    def __init__(self, size: int = 200) -> None:
        self._values: deque[float] = deque(maxlen=size)

    def add(self, value: float) -> None:
        """Keep a value, unless it is NaN."""
        if not math.isnan(value):
            self._values.append(value)

    def spread(self) -> Spread:
        """Return median and 95th percentile (nearest rank) of what is kept."""
        ordered = sorted(self._values.copy())
        if not ordered:
            return Spread()
        rank = math.ceil(0.95 * len(ordered)) - 1
        return Spread(statistics.median(ordered), ordered[rank])


class Trend:
    """A value that drifts: its short and its long exponential mean.

    The means forget with time constants of `short` and `long` values; the plain average serves
    until that many have come.
    """

    def __init__(self, *, short: int = 20, long: int = 600) -> None:
        self._short, self._long = short, long
        self._count = 0
        self.recent = math.nan
        self.usual = math.nan

    def add(self, value: float) -> None:
        """Take one more value into both means; NaN is left out."""
        if math.isnan(value):
            return
        self._count += 1
        if self._count == 1:
            self.recent = self.usual = value
            return
        self.recent += (value - self.recent) / min(self._count, self._short)
        self.usual += (value - self.usual) / min(self._count, self._long)

    @property
    def change(self) -> float:
        """How far the recent mean lies above the usual one."""
        return self.recent - self.usual
