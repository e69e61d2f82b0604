"""What one activation counts and measures: images and pairs, rates, latencies, confidence."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from s2m2_ros.geometry.rectification_check import Examination
from s2m2_ros.node.faults import DropCause, DropError
from s2m2_ros.node.rate_limit import RateLimit


@dataclass(frozen=True)
class Counts:
    """A consistent snapshot: `received = processed + dropped + waiting`."""

    received: int = 0
    matched: int = 0
    processed: int = 0
    dropped_by_cause: Mapping[DropCause, int] = field(default_factory=dict)

    @property
    def dropped(self) -> int:
        """Pairs given up, whatever the cause."""
        return sum(self.dropped_by_cause.values())

    @property
    def waiting(self) -> int:
        """Left images still without matching messages, the next pair, and that being matched."""
        return self.received - self.processed - self.dropped


class Counters:
    """Counts from several threads. Every received image ends as processed or dropped, once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = self._matched = self._processed = 0
        self._dropped: Counter[DropCause] = Counter()

    def receive(self) -> None:
        """Count a left image that arrived."""
        with self._lock:
            self._received += 1

    def match(self) -> None:
        """Count a left image whose three matching messages have arrived."""
        with self._lock:
            self._matched += 1

    def process(self) -> Counts:
        """Count a pair whose outputs were published; return the counts that include it."""
        with self._lock:
            self._processed += 1
            return self._counts()

    def drop(self, cause: DropCause, count: int = 1) -> None:
        """Count left images or pairs given up for this cause."""
        if count:
            with self._lock:
                self._dropped[cause] += count

    def counts(self) -> Counts:
        """Return the counts of this moment."""
        with self._lock:
            return self._counts()

    def _counts(self) -> Counts:
        return Counts(self._received, self._matched, self._processed, dict(self._dropped))


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


@dataclass(eq=False)
class Session:
    """Written by the worker, read by the diagnostics; `ended`, `paused` by the executor's thread.

    `latency` is from the arrival of the last message of a pair to its last output,
    `stamp_latency` from the left image's timestamp, both in milliseconds. `examined_at` is in
    seconds of a monotonic clock. `cloud_rate` says which pairs get a cloud. `noted` are the
    remarks that were logged. While `paused` nothing is published.
    """

    counters: Counters = field(default_factory=Counters)
    output_rate: RateMeter = field(default_factory=RateMeter)
    latency: RecentValues = field(default_factory=RecentValues)
    stamp_latency: RecentValues = field(default_factory=RecentValues)
    confidence: Trend = field(default_factory=Trend)
    examination: Examination | None = None
    examined_at: float = -math.inf
    cloud_rate: RateLimit = field(default_factory=RateLimit)
    noted: set[str] = field(default_factory=set)
    ended: bool = False
    paused: bool = False

    @property
    def stopped(self) -> DropCause | None:
        """Why nothing is published now, if so."""
        if self.ended:
            return DropCause.DEACTIVATED
        return DropCause.PAUSED if self.paused else None

    def require_running(self) -> None:
        """Raise DropError if nothing is published now."""
        cause = self.stopped
        if cause is not None:
            raise DropError(cause)
