"""Which clouds of several cameras are of one instant. No ROS in here."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from s2m2_ros.node.rhythm import Rhythm

Part = TypeVar('Part')

# So many clouds of a camera are expected in advance, at most.
MOST_EXPECTED = 8
# Clouds later than so many tolerances after the oldest have no influence on what is made of it.
HORIZON = 3


@dataclass(frozen=True)
class Tolerances:
    """How far the timestamps in one message may be apart (ns), how long a cloud waits (s)."""

    slop: int
    wait: float


@dataclass(frozen=True)
class _Cloud(Generic[Part]):
    stamp: int
    part: Part
    arrived_at: float


@dataclass(eq=False)
class _Line(Generic[Part]):
    """The clouds of one camera that are in no message yet, and when the next are expected."""

    stamps: Rhythm = field(default_factory=Rhythm)
    clouds: list[_Cloud[Part]] = field(default_factory=list)
    is_expected: bool = True


@dataclass(frozen=True, order=True)
class _Moment:
    """A cloud on the common line of time, which may be still to come."""

    stamp: int
    order: int  # that of the cameras
    is_here: bool


class CloudInstants(Generic[Part]):
    """Puts each cloud into one group: those of one instant, of each camera one at most.

    Timestamps in a group are not further apart than `slop`. Of all groups that are possible the
    one of the most cameras is made first, then the one whose clouds are closest in time. Clouds
    that are still to come count by the period of their camera, and are waited for by `wait`; those
    whose pairs have arrived count by their timestamps, and are waited for until they are made. So
    each instant is decided by itself, whatever was before.
    """

    def __init__(self, tolerances: Callable[[], Tolerances]) -> None:
        self._tolerances = tolerances
        self._lines: dict[Hashable, _Line[Part]] = {}
        self._ended: list[list[Part]] = []

    @property
    def is_pending(self) -> bool:
        """Whether clouds wait; any thread."""
        return bool(self._ended) or any(line.clouds for line in tuple(self._lines.values()))

    def period(self, camera: Hashable) -> float:
        """Return the seconds from one cloud of a camera to its next; 0 if that is unknown."""
        line = self._lines.get(camera)
        return (line.stamps.period or 0.0) / 1e9 if line else 0.0

    def add(self, camera: Hashable, stamp: int, part: Part, now: float) -> None:
        """Take a cloud, by its timestamp in ns and the time of its arrival in seconds."""
        line = self._lines.setdefault(camera, _Line())
        if not line.stamps.note(stamp):
            # Timestamps jumped back, so that those of before say nothing any more.
            for other in self._lines.values():
                other.stamps = Rhythm()
            line.stamps.note(stamp)
            while (group := self._oldest({})) is not None:
                self._ended.append(self._take(group))
        line.is_expected = True
        line.clouds.append(_Cloud(stamp, part, now))

    def forget(self, camera: Hashable) -> None:
        """Leave a camera out, and what came of it."""
        self._lines.pop(camera, None)

    def due(self, now: float, underway: Mapping[Any, int]) -> list[list[Part]]:
        """Return the groups that are complete, or have waited long enough; oldest first.

        `underway` are the timestamps of pairs that have arrived and wait to be matched.
        """
        ended, self._ended = self._ended, []
        while (group := self._oldest(underway)) is not None:
            awaited = [self._line(moment) for moment in group if not moment.is_here]
            if not awaited:
                ended.append(self._take(group))
                continue
            arrived = (cloud.arrived_at for line in self._lines.values() for cloud in line.clouds)
            late = [line for line in awaited if not self._is_underway(line, underway)]
            if not late or now < min(arrived) + self._tolerances().wait:
                break
            for line in late:
                line.is_expected = False
        return ended

    def _line(self, moment: _Moment) -> _Line[Part]:
        return tuple(self._lines.values())[moment.order]

    def _is_underway(self, line: _Line[Part], underway: Mapping[Any, int]) -> bool:
        return any(self._lines.get(camera) is line for camera in underway)

    def _take(self, group: Sequence[_Moment]) -> list[Part]:
        return [self._line(moment).clouds.pop(0).part for moment in group]

    def _oldest(self, underway: Mapping[Any, int]) -> list[_Moment] | None:
        """Return the group of the oldest cloud that is here; None if there is none."""
        tolerances = self._tolerances()
        here = [line.clouds[0].stamp for line in self._lines.values() if line.clouds]
        if not here:
            return None
        oldest = min(here)
        moments: list[_Moment] = []
        for order, (camera, line) in enumerate(self._lines.items()):
            coming = _expected(line, oldest, tolerances, underway.get(camera))
            moments += [_Moment(cloud.stamp, order, is_here=True) for cloud in line.clouds]
            moments += [_Moment(stamp, order, is_here=False) for stamp in coming]
        first, last = oldest - tolerances.slop, oldest + HORIZON * tolerances.slop
        moments = sorted(moment for moment in moments if first <= moment.stamp <= last)
        return group_of(next(m for m in moments if m.is_here), moments, tolerances.slop)


def _expected(
    line: _Line[Part], oldest: int, tolerances: Tolerances, underway: int | None
) -> list[int]:
    """Return the timestamps that are still to come."""
    newest, period = line.stamps.newest, line.stamps.period
    stamps: list[int] = []
    if underway is not None and newest is not None:
        newest = max(underway, int(newest) + 1)
        stamps = [newest]
    if newest is None or period is None or not line.is_expected:
        return stamps
    since = oldest - tolerances.slop
    # One that is later than by the wait comes too late for what is here.
    if newest + period >= since - tolerances.wait * 1e9:
        skipped = max(math.ceil((since - newest) / period), 1)
        stamps += [int(newest + period * (skipped + number)) for number in range(MOST_EXPECTED)]
    return stamps


def group_of(wanted: _Moment, moments: Sequence[_Moment], slop: int) -> list[_Moment]:
    """Return the group that one of these moments belongs to; they are in order."""
    left = list(moments)
    while True:
        best = _best_group(left, slop)
        chosen = {moment.order: moment for moment in best}
        earlier = [m for m in left if m < chosen.get(m.order, best[0])]
        if wanted in best:
            # What is older than the cloud of the same camera in the group comes before it.
            wanted = next((m for m in earlier if m.is_here), wanted)
            if wanted in best:
                return best
        # What is left is before the group, or after it.
        left = earlier if wanted in earlier else [m for m in left if m > best[-1]]


def _best_group(moments: Sequence[_Moment], slop: int) -> list[_Moment]:
    """Return the group of the most cameras, of those the closest in time, then the first."""
    ends: list[tuple[int, int, int]] = []
    for index, first in enumerate(moments):
        cameras: dict[int, int] = {}
        for moment in moments[index:]:
            if moment.stamp > first.stamp + slop:
                break
            cameras.setdefault(moment.order, moment.stamp)
        end = max(cameras.values())
        ends.append((-len(cameras), end - first.stamp, index))
    _, spread, index = min(ends)
    start = moments[index].stamp
    # The last of each camera, so that none that is older comes after the group.
    within = [m for m in moments[index:] if m.stamp <= start + spread]
    return sorted({moment.order: moment for moment in within}.values())
