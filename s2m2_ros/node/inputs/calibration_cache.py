"""The camera_info of one camera, kept for images, which arrive at their own rate."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

# So many calibrations of each publisher are kept, to find one by its timestamp.
RECENT = 20
# More publishers than this of one camera_info topic are those of former processes.
MOST_PUBLISHERS = 16

# Identifiers of the publishers whose calibration is right; None: whichever suits.
Accepted = frozenset[bytes] | None


@dataclass(frozen=True, eq=False)
class TimedInfo:
    """A camera_info and its timestamp in nanoseconds."""

    stamp: int
    message: Any


class CalibrationCache:
    """The newest camera_info messages of one camera, by publisher.

    Publishers are known by their identifiers (None where rclpy does not give them): the names of
    their nodes may become known only later.
    """

    def __init__(self, size: int = RECENT) -> None:
        self._size = size
        # The publisher of the latest message comes last.
        self._infos: dict[bytes | None, deque[TimedInfo]] = {}

    def any(self) -> Any | None:
        """Return the camera_info that arrived last, whoever published it."""
        known = next(reversed(self._infos.values()), None)
        return known[-1].message if known else None

    def add(self, info: TimedInfo, publisher: bytes | None) -> None:
        """Keep a camera_info as the newest of its publisher."""
        known = self._infos.pop(publisher, None)
        if known is None:
            known = deque(maxlen=self._size)
        known.append(info)
        self._infos[publisher] = known
        if len(self._infos) > MOST_PUBLISHERS:
            del self._infos[next(iter(self._infos))]

    def retain(self, alive: Collection[bytes]) -> None:
        """Forget publishers that are gone, once one that is alive has sent its calibration."""
        if any(publisher in alive for publisher in self._infos):
            self._infos = {p: infos for p, infos in self._infos.items() if p in alive}

    def forget_timestamps(self) -> None:
        """Keep only the newest: after a jump back in time the same timestamps come again."""
        for publisher, infos in self._infos.items():
            self._infos[publisher] = deque([TimedInfo(-1, infos[-1].message)], maxlen=self._size)

    def near(self, stamp: int, tolerance: int, accepted: Accepted, frame: str) -> Any | None:
        """Return the camera_info nearest to `stamp`, at most `tolerance` nanoseconds away."""
        suitable = reversed(self._suitable(accepted, frame))
        found = [info for info in suitable if abs(info.stamp - stamp) <= tolerance]
        nearest = min(found, key=lambda info: abs(info.stamp - stamp), default=None)
        return nearest.message if nearest else None

    def newest(self, accepted: Accepted, frame: str) -> Any | None:
        """Return the camera_info that arrived last; None if there is none that is surely right.

        It comes from one of `accepted`. Where that is None, it is that of the only publisher, or
        of the only one whose calibration has the images' `frame`.
        """
        known = self._suitable(accepted, frame)
        return known[-1].message if known else None

    def _suitable(self, accepted: Accepted, frame: str) -> deque[TimedInfo]:
        if accepted is not None:
            return next((self._infos[p] for p in reversed(self._infos) if p in accepted), deque())
        candidates = list(self._infos.values())
        if len(candidates) > 1:
            candidates = [c for c in candidates if c[-1].message.header.frame_id == frame]
        return candidates[0] if len(candidates) == 1 else deque()
