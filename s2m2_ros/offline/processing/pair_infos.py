"""Which of the recorded calibrations of two cameras belong to a pair of images."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.recordings.pairing import LONGEST_WAIT_NS, REORDERED
from s2m2_ros.io.sources.stereo_frame import NANOSECONDS, PlaybackError

# Calibrations are kept for pairs that come as late as they may, and of the time before those.
KEPT_NS = 3 * LONGEST_WAIT_NS


@dataclass(frozen=True)
class PairTime:
    """The timestamps of the images of a pair, and when the left one was recorded."""

    stamps_ns: tuple[int, int]
    log_ns: int


@dataclass(frozen=True, eq=False)
class _Info:
    stamp_ns: int
    log_ns: int
    content: Any


@dataclass
class _Side:
    """The calibrations of one camera, in the order of their recording."""

    found: list[_Info] = field(default_factory=list)
    by_stamp: dict[int, _Info] = field(default_factory=dict)
    newest_ns: int = 0

    def add(self, info: _Info) -> None:
        self.found.append(info)
        self.by_stamp[info.stamp_ns] = info
        self.newest_ns = max(self.newest_ns, info.stamp_ns)
        # What came last before counts as long as nothing else comes.
        while len(self.found) > 2 and self.found[1].log_ns < info.log_ns - KEPT_NS:
            old = self.found.pop(0)
            if self.by_stamp.get(old.stamp_ns) is old:
                del self.by_stamp[old.stamp_ns]


class PairInfos:
    """Finds the calibrations of a pair: those of its timestamps, else the last before it.

    Left and right are of one timestamp wherever calibrations have common ones.
    """

    def __init__(
        self, topics: tuple[str, str], first: Mapping[str, Any], period_ns: int, *, wait: bool
    ) -> None:
        """Take the topics, and what came ``first`` or before.

        With ``wait`` each image has a calibration of its timestamp, for which its pair waits.
        """
        self._topics, self._waits = topics, wait
        self._slack_ns = REORDERED * period_ns
        self._sides = (_Side(), _Side())
        for topic, side in zip(topics, self._sides, strict=True):
            if topic in first:
                side.add(_Info(stamp_ns(first[topic].header), 0, first[topic]))

    def add(self, topic: str, content: Any, log_ns: int) -> None:
        """Take a calibration, if it is of these cameras."""
        if topic in self._topics:
            side = self._sides[self._topics.index(topic)]
            side.add(_Info(stamp_ns(content.header), log_ns, content))

    def find(self, pair: PairTime, now_ns: int | None) -> tuple[Any, Any] | None:
        """Return left and right calibration; None if they may come yet.

        ``now_ns`` is the newest time of recording, None at the end. Raises PlaybackError if there
        is none, or if they come later than a pair waits.
        """
        own = [s.by_stamp.get(t) for s, t in zip(self._sides, pair.stamps_ns, strict=True)]
        if own[0] and own[1]:
            return own[0].content, own[1].content
        if self._waits and now_ns is not None:
            is_late = now_ns > pair.log_ns + LONGEST_WAIT_NS
            if not (is_late or self._is_passed(pair)):
                return None
            if is_late and self._comes_later(pair):
                raise PlaybackError(
                    f'its camera_info is not recorded within {LONGEST_WAIT_NS / NANOSECONDS:g} s '
                    'of the image; those that are have earlier times'
                )
        last = [self._last(side, n, pair) for n, side in enumerate(self._sides)]
        if last[0] is None or last[1] is None:
            raise PlaybackError('no camera_info came so far')
        return self._of_one_time(last[0], last[1])

    def _is_passed(self, pair: PairTime) -> bool:
        """Return whether both calibrations are there, or later ones are."""
        return all(
            stamp in side.by_stamp or side.newest_ns > stamp + self._slack_ns
            for side, stamp in zip(self._sides, pair.stamps_ns, strict=True)
        )

    def _comes_later(self, pair: PairTime) -> bool:
        return any(
            bool(side.found) and side.found[-1].log_ns > pair.log_ns and side.newest_ns < stamp
            for side, stamp in zip(self._sides, pair.stamps_ns, strict=True)
        )

    def _last(self, side: _Side, number: int, pair: PairTime) -> _Info | None:
        """Return the last calibration before a pair, else the first there is."""
        if self._waits:
            before = [i for i in side.found if i.stamp_ns <= pair.stamps_ns[number]]
            return max(before, key=lambda i: i.stamp_ns, default=_first(side.found))
        count = bisect_right(side.found, pair.log_ns, key=lambda i: i.log_ns)
        return side.found[count - 1] if count else _first(side.found)

    def _of_one_time(self, left: _Info, right: _Info) -> tuple[Any, Any]:
        """Return these, or those of the earlier of both times if the other came without it."""
        earlier = min(left.stamp_ns, right.stamp_ns)
        one, other = (side.by_stamp.get(earlier) for side in self._sides)
        if one and other:
            return one.content, other.content
        return left.content, right.content


def _first(found: Sequence[_Info]) -> _Info | None:
    return found[0] if found else None
