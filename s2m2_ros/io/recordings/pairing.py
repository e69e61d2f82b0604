"""Which of the left and right images of a recording belong together, by their timestamps."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Generic, TypeVar

import numpy as np

from s2m2_ros.io.sources.stereo_frame import NANOSECONDS

Item = TypeVar('Item')

# An image waits so long for the other one of its pair, by the times of recording.
LONGEST_WAIT_NS = 10 * NANOSECONDS
# Of both sides together. Ten seconds of one camera of 2 MB an image at 25 Hz
# are about as much.
QUEUE_BYTES = 512 << 20
# By so many images the order of recording may differ from that of the timestamps before pairs
# come out of order; a step back that is larger, and on both sides, is a jump of the clock.
REORDERED = 8
# An image that others overtook waits at least so long, by the times of recording, or twice as long
# as one did that was found.
SHORTEST_WAIT_NS = NANOSECONDS
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


@dataclass(frozen=True)
class Alone:
    """An image that is in no pair.

    Attributes:
        side: 0 for left, 1 for right.
        stamp_ns: its timestamp.
        log_ns: when it was recorded.
        note: what `PairMaker.add` was given.
        is_near: whether one of the other side that is in no pair is near, but not equal though
            the rule wants it so, as where the trigger or a clock was lost.

    """

    side: int
    stamp_ns: int
    log_ns: int
    note: Any
    is_near: bool


@dataclass
class _Fate:
    """What became of an image: known longer than the image is kept."""

    is_paired: bool = False


@dataclass(eq=False)
class _Waiting(Generic[Item]):
    side: int
    stamp_ns: int
    log_ns: int
    item: Item
    size: int
    note: Any
    number: int
    fate: _Fate = field(default_factory=_Fate)
    near: _Fate | None = None
    is_overtaken: bool = False
    is_gone: bool = False

    @property
    def is_decided(self) -> bool:
        return self.is_gone or self.is_overtaken

    @property
    def is_near(self) -> bool:
        return self.near is not None and not self.near.is_paired


_ByStamp = dict[int, list[_Waiting[Item]]]


class PairMaker(Generic[Item]):
    """Joins left and right images by a rule; memory is bounded whatever one side does.

    Images of equal timestamps are a pair however late, and in whatever order, one of them was
    recorded, within `LONGEST_WAIT_NS` and `QUEUE_BYTES`. Pairs come in the order of their
    timestamps, but for images that more than `REORDERED` later ones overtook.

    Attributes:
        unpaired: how many images are in no pair.

    """

    def __init__(self, rule: PairingRule) -> None:
        """Take the rule; both sides are empty."""
        self._rule = rule
        # Without a tolerance, so near is a pair whose trigger or clock was lost.
        self._near_ns = 0 if rule.tolerance_ns else int(PERIOD_FRACTION * rule.period_ns)
        # In the order of their timestamps; and those that others overtook, by timestamp.
        self._sides: tuple[list[_Waiting[Item]], list[_Waiting[Item]]] = ([], [])
        self._overtaken: tuple[_ByStamp[Item], _ByStamp[Item]] = ({}, {})
        self._arrivals: deque[_Waiting[Item]] = deque()
        self._bytes = self._count = 0
        self._seen = (_Seen(), _Seen())
        self._alone: list[Alone] = []
        self._longest_wait_ns = SHORTEST_WAIT_NS
        self.unpaired = 0

    def add(
        self,
        side: int,
        stamp_ns: int,
        item: Item,
        *,
        log_ns: int | None = None,
        size: int = 0,
        note: Any = None,
    ) -> Iterator[tuple[Item, Item]]:
        """Add an image of side 0 (left) or 1 (right) of ``size`` bytes; yield complete pairs.

        ``log_ns`` is when it was recorded, by default its timestamp; `Alone` has the ``note``.
        """
        log_ns = stamp_ns if log_ns is None else log_ns
        yield from self._expire(log_ns)
        self._count += 1
        added = _Waiting(side, stamp_ns, log_ns, item, size, note, self._count)
        self._seen[side].see(added, REORDERED * self._rule.period_ns)
        if all(seen.jump for seen in self._seen):
            # Both clocks jumped back, as in a recording of a loop: what is from before that has
            # no counterpart in what comes.
            yield from self._begin_anew()
        yield from self._insert(added)
        while self._bytes > QUEUE_BYTES:
            yield from self._give_up(self._arrivals[0])

    def take_alone(self) -> list[Alone]:
        """Return the images that turned out to be in no pair since the last call."""
        taken, self._alone = self._alone, []
        return taken

    def is_settled(self, holds: Callable[[int], bool], now_ns: int) -> bool:
        """Return whether no counterpart is expected of the left images of certain times.

        ``holds`` says of which times of recording; it is ``now_ns`` by the same clock.
        """
        overtaken_ns = now_ns - self._longest_wait_ns
        return not any(
            holds(found.log_ns) and not (found.is_overtaken and found.log_ns < overtaken_ns)
            for found in self._arrivals
            if not (found.side or found.is_gone or found.is_near)
        )

    def finish(self) -> Iterator[tuple[Item, Item]]:
        """Yield the last pairs; images that are left have no counterpart."""
        yield from self._pairs(at_end=True)
        while self._arrivals:
            yield from self._give_up(self._arrivals[0])

    def _insert(self, added: _Waiting[Item]) -> Iterator[tuple[Item, Item]]:
        stamp_ns, side = added.stamp_ns, added.side
        others = self._overtaken[1 - side].get(stamp_ns)
        if others:
            yield self._pair(added, others[0])
            return
        insort(self._sides[side], added, key=attrgetter('stamp_ns'))
        self._arrivals.append(added)
        self._bytes += added.size
        yield from self._pairs(at_end=False)

    def _begin_anew(self) -> Iterator[tuple[Item, Item]]:
        after = [
            found
            for found in self._arrivals
            if not found.is_gone and found.number >= self._seen[found.side].jump
        ]
        for found in after:
            self._remove(found)
        yield from self.finish()
        for found in after:
            found.is_gone = found.is_overtaken = False
            yield from self._insert(found)
        for seen in self._seen:
            seen.begin_anew()

    def _pairs(
        self, *, at_end: bool, until: _Waiting[Item] | None = None
    ) -> Iterator[tuple[Item, Item]]:
        left, right = self._sides
        while left and right and not (until and until.is_decided):
            apart = left[0].stamp_ns - right[0].stamp_ns
            earlier, later = (left, right) if apart <= 0 else (right, left)
            if apart == 0:
                yield self._pair(left[0], right[0])
                continue
            if abs(apart) > self._rule.tolerance_ns:
                if abs(apart) <= self._near_ns:
                    left[0].near = right[0].fate
                # Its counterpart may come after these, if one side is recorded out of order.
                if len(later) <= REORDERED and not at_end:
                    return
                self._overtake(earlier[0])
                continue
            # Whether the next of the earlier side is nearer shows only when it is there.
            if len(earlier) < 2 and not at_end:
                return
            if len(earlier) > 1 and abs(earlier[1].stamp_ns - later[0].stamp_ns) < abs(apart):
                self._overtake(earlier[0])
                continue
            yield self._pair(left[0], right[0])

    def _overtake(self, found: _Waiting[Item]) -> None:
        found.is_overtaken = True
        self._sides[found.side].remove(found)
        self._overtaken[found.side].setdefault(found.stamp_ns, []).append(found)

    def _pair(self, one: _Waiting[Item], other: _Waiting[Item]) -> tuple[Item, Item]:
        wait_ns = 2 * abs(one.log_ns - other.log_ns)
        self._longest_wait_ns = max(self._longest_wait_ns, wait_ns)
        for found in (one, other):
            found.fate.is_paired = True
            self._remove(found)
        return (other.item, one.item) if one.side else (one.item, other.item)

    def _remove(self, found: _Waiting[Item]) -> None:
        """Remove an image from wherever it waits, if it does."""
        found.is_gone = True
        overtaken = self._overtaken[found.side]
        same = overtaken.get(found.stamp_ns, [])
        for place in (self._sides[found.side], same):
            if found in place:
                place.remove(found)
                self._bytes -= found.size
        if not same:
            overtaken.pop(found.stamp_ns, None)
        while self._arrivals and self._arrivals[0].is_gone:
            self._arrivals.popleft()

    def _expire(self, log_ns: int) -> Iterator[tuple[Item, Item]]:
        while self._arrivals and self._arrivals[0].log_ns < log_ns - LONGEST_WAIT_NS:
            yield from self._give_up(self._arrivals[0])

    def _give_up(self, found: _Waiting[Item]) -> Iterator[tuple[Item, Item]]:
        """Decide about an image now; yield the pairs up to it."""
        yield from self._pairs(at_end=True, until=found)
        if not found.is_gone:
            self._remove(found)
            self.unpaired += 1
            alone = Alone(found.side, found.stamp_ns, found.log_ns, found.note, found.is_near)
            self._alone.append(alone)


@dataclass
class _Seen:
    """What came of one side.

    Attributes:
        jump: number of the image that stepped back by more than a few, 0 without; a late one did
            as well, but only a jump of the clock shows on both sides.

    """

    newest_ns: int | None = None
    jump: int = 0
    _last_ns: int = 0

    def see(self, added: _Waiting[Any], step_ns: int) -> None:
        self._last_ns = added.stamp_ns
        if self.newest_ns is None or added.stamp_ns >= self.newest_ns:
            self.newest_ns, self.jump = added.stamp_ns, 0
        elif self.newest_ns - added.stamp_ns > step_ns and not self.jump:
            self.jump = added.number

    def begin_anew(self) -> None:
        """Forget the time before a jump."""
        self.newest_ns, self.jump = self._last_ns, 0
