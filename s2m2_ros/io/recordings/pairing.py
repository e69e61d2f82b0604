"""Which of the left and right images of a recording belong together, by their timestamps."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from s2m2_ros.io.sources.stereo_frame import NANOSECONDS

Item = TypeVar('Item')

# Messages of one side that wait for the other one; more means that the other side has no messages.
QUEUE_LENGTH = 64
QUEUE_BYTES = 512 << 20
# Less than half a period: at half, an image has two equally near neighbors.
PERIOD_FRACTION = 0.45
DEFAULT_PERIOD_NS = NANOSECONDS // 30
# From this fraction of equal timestamps on, those of a pair are equal, and others are lost frames.
EQUAL_FRACTION = 0.1


@dataclass(frozen=True)
class PairingRule:
    """How far apart the timestamps of a pair may be, in nanoseconds; 0 for equal ones only."""

    tolerance_ns: int
    period_ns: int


def measured_rule(left: Sequence[int], right: Sequence[int]) -> PairingRule:
    """Return the rule that the first timestamps of both sides (nanoseconds) suggest.

    Where timestamps are equal, only equal ones are a pair: a missing frame then leaves its
    counterpart alone. Elsewhere the nearest are, within less than half the shorter period.
    """
    periods = [_period(timestamps) for timestamps in (left, right)]
    period = min((p for p in periods if p), default=DEFAULT_PERIOD_NS)
    equal = len(set(left) & set(right))
    if equal and equal >= EQUAL_FRACTION * min(len(set(left)), len(set(right))):
        return PairingRule(0, period)
    return PairingRule(int(PERIOD_FRACTION * period), period)


def _period(timestamps: Sequence[int]) -> int:
    steps = np.diff(np.unique(np.asarray(timestamps, np.int64)))
    return int(np.median(steps)) if len(steps) else 0


@dataclass
class _Waiting(Generic[Item]):
    stamp_ns: int
    item: Item
    size: int


class PairMaker(Generic[Item]):
    """Joins left and right images by a rule; memory is bounded whatever one side does."""

    def __init__(self, rule: PairingRule) -> None:
        """Take the rule; both sides are empty."""
        self._tolerance = rule.tolerance_ns
        self._sides: tuple[deque[_Waiting[Item]], deque[_Waiting[Item]]] = (deque(), deque())
        self.unpaired = 0

    def add(
        self, side: int, stamp_ns: int, item: Item, *, size: int = 0
    ) -> Iterator[tuple[Item, Item]]:
        """Add an image of side 0 (left) or 1 (right) of ``size`` bytes; yield complete pairs."""
        queue = self._sides[side]
        if queue and stamp_ns < queue[-1].stamp_ns:
            # Time jumped back, as a recording of a loop does: what waited has no counterpart.
            yield from self.finish()
        queue.append(_Waiting(stamp_ns, item, size))
        yield from self._pairs(at_end=False)
        while len(queue) > QUEUE_LENGTH or sum(w.size for w in queue) > QUEUE_BYTES:
            queue.popleft()
            self.unpaired += 1

    def finish(self) -> Iterator[tuple[Item, Item]]:
        """Yield the last pairs; images that are left have no counterpart."""
        yield from self._pairs(at_end=True)
        for queue in self._sides:
            self.unpaired += len(queue)
            queue.clear()

    def _pairs(self, *, at_end: bool) -> Iterator[tuple[Item, Item]]:
        left, right = self._sides
        while left and right:
            apart = left[0].stamp_ns - right[0].stamp_ns
            earlier, later = (left, right) if apart <= 0 else (right, left)
            if apart == 0:
                yield left.popleft().item, right.popleft().item
                continue
            if abs(apart) > self._tolerance:
                earlier.popleft()
                self.unpaired += 1
                continue
            # Whether the next of the earlier side is nearer shows only when it is there.
            if len(earlier) < 2 and not at_end:
                return
            if len(earlier) > 1 and abs(earlier[1].stamp_ns - later[0].stamp_ns) < abs(apart):
                earlier.popleft()
                self.unpaired += 1
                continue
            yield left.popleft().item, right.popleft().item
