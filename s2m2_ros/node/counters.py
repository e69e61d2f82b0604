"""What became of every left image since activation."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Counts:
    """A consistent snapshot: `received = processed + dropped + waiting`."""

    received: int = 0
    matched: int = 0
    processed: int = 0
    dropped_by_cause: Mapping[str, int] = field(default_factory=dict)

    @property
    def dropped(self) -> int:
        """Pairs given up, whatever the cause."""
        return sum(self.dropped_by_cause.values())

    @property
    def waiting(self) -> int:
        """Left images without partners yet, the pair next in turn, and that being matched."""
        return self.received - self.processed - self.dropped


class Counters:
    """Counts from several threads. Every received image ends as processed or dropped, once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = self._matched = self._processed = 0
        self._dropped: Counter[str] = Counter()

    def receive(self) -> None:
        """Count a left image that arrived."""
        with self._lock:
            self._received += 1

    def match(self) -> None:
        """Count a left image whose three partners have come."""
        with self._lock:
            self._matched += 1

    def process(self) -> Counts:
        """Count a pair whose outputs were published; return the counts that include it."""
        with self._lock:
            self._processed += 1
            return self._counts()

    def drop(self, cause: str, count: int = 1) -> None:
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
