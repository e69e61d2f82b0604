"""The camera_info of one eye, kept for images, which come at a pace of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from s2m2_ros.node.endpoints import Source

# So many calibrations of each publisher are kept, to find one by its timestamp.
RECENT = 20
# More publishers than this of one camera_info topic are those of former processes.
MOST_ORIGINS = 16

# Who published: a node where the graph names it, else the publisher's identifier if known.
Origin = Source | bytes | None


@dataclass(frozen=True, eq=False)
class TimedInfo:
    """A camera_info and its timestamp in nanoseconds."""

    stamp: int
    message: Any


class CalibrationCache:
    """The newest camera_info messages of one eye, by publisher."""

    def __init__(self, size: int = RECENT) -> None:
        self._size = size
        # The origin that was heard last comes last.
        self._infos: dict[Origin, deque[TimedInfo]] = {}

    def any(self) -> Any | None:
        """Return the camera_info that arrived last, whoever published it."""
        known = next(reversed(self._infos.values()), None)
        return known[-1].message if known else None

    def add(self, info: TimedInfo, origin: Origin) -> None:
        """Keep a camera_info as the newest of its publisher."""
        known = self._infos.pop(origin, None)
        if known is None:
            known = deque(maxlen=self._size)
        known.append(info)
        self._infos[origin] = known
        if len(self._infos) > MOST_ORIGINS:
            del self._infos[next(iter(self._infos))]

    def retain(self, alive: Collection[Origin]) -> None:
        """Forget publishers that are gone, once one that is alive has sent its calibration."""
        if any(origin in alive for origin in self._infos):
            self._infos = {o: infos for o, infos in self._infos.items() if o in alive}

    def forget_timestamps(self) -> None:
        """Keep only the newest: after a jump back in time the same timestamps come again."""
        for origin, infos in self._infos.items():
            self._infos[origin] = deque([TimedInfo(-1, infos[-1].message)], maxlen=self._size)

    def near(self, stamp: int, tolerance: int, origin: Origin, frame: str) -> Any | None:
        """Return the camera_info nearest to `stamp`, at most `tolerance` nanoseconds away."""
        found = [i for i in reversed(self._of(origin, frame)) if abs(i.stamp - stamp) <= tolerance]
        nearest = min(found, key=lambda info: abs(info.stamp - stamp), default=None)
        return nearest.message if nearest else None

    def newest(self, origin: Origin, frame: str) -> Any | None:
        """Return the camera_info that arrived last; None if there is none, or it is ambiguous.

        It must come from `origin`, unless that is None. Then it is that of the only publisher, or
        of the only one whose calibration has the images' `frame`.
        """
        known = self._of(origin, frame)
        return known[-1].message if known else None

    def ambiguous(self, origin: Origin, frame: str) -> bool:
        """Tell whether there are calibrations, yet nothing says which one is right."""
        return origin is None and bool(self._infos) and not self._of(origin, frame)

    def _of(self, origin: Origin, frame: str) -> deque[TimedInfo]:
        if origin is not None:
            return self._infos.get(origin, deque())
        candidates = list(self._infos.values())
        if len(candidates) > 1:
            candidates = [c for c in candidates if c[-1].message.header.frame_id == frame]
        return candidates[0] if len(candidates) == 1 else deque()
