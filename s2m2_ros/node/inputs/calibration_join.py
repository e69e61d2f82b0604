"""Assign calibrations to pairs of images: by timestamp, or the newest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from s2m2_ros.node.faults import DropCause
from s2m2_ros.node.inputs.calibration_cache import Accepted, CalibrationCache, TimedInfo
from s2m2_ros.node.inputs.pairing import TimedImage

SIDES = (0, 1)
# Pairs that wait for their calibration take no more memory than this.
LARGEST_PENDING = 64 * 2**20
# From so many pairs in a row on whose camera_info had their own timestamps, the next waits for it.
USUAL = 2


@dataclass(frozen=True, eq=False)
class PairedImages:
    """Two images that belong together, and whose calibrations are right for them."""

    images: tuple[TimedImage, TimedImage]
    accepted: tuple[Accepted, Accepted]

    @property
    def size(self) -> int:
        """Bytes of both."""
        return sum(image.size for image in self.images)

    def frame(self, side: int) -> str:
        """Return the frame_id of one image."""
        return str(self.images[side].message.header.frame_id)


class CalibrationJoin:
    """Calls `dispatch(pair, left_info, right_info)` as soon as a pair has its calibration.

    With `cached` that is the newest camera_info, whatever its timestamp. Where every pair so far
    came with a camera_info of its own timestamps, that is waited for until the next pair (or
    `flush`): a changed calibration then counts from the first image on. Until there is any, the
    newest pair waits. Without `cached` only a camera_info within `tolerance` nanoseconds of its
    own image will do, and up to `size` pairs wait.
    """

    def __init__(
        self,
        drop: Callable[[DropCause, int], None],
        dispatch: Callable[[PairedImages, Any, Any], None],
    ) -> None:
        self._drop = drop
        self._dispatch = dispatch
        self._caches = (CalibrationCache(), CalibrationCache())
        self._pending: deque[PairedImages] = deque()
        self._last: PairedImages | None = None
        self._usual = 0
        self.configure(cached=True, tolerance=0, size=1)

    def configure(self, *, cached: bool, tolerance: int, size: int) -> None:
        """Join by these rules from now on."""
        self._cached, self._tolerance, self._size = cached, tolerance, size
        self._limit()

    @property
    def waits(self) -> bool:
        """Whether a pair waits that `flush` would dispatch."""
        return self._cached and any(self._newest(pair) for pair in self._pending)

    def lacks_right_info(self, side: int) -> bool:
        """Return whether a pair waits though there are calibrations: those of other cameras."""
        cache = self._caches[side]
        return cache.any() is not None and any(
            cache.newest(pair.accepted[side], pair.frame(side)) is None for pair in self._pending
        )

    def newest_info(self, side: int) -> Any | None:
        """Return any calibration of this side."""
        return self._caches[side].any()

    def retain(self, side: int, alive: Collection[bytes]) -> None:
        """Forget calibrations of publishers that are gone, once there is another."""
        self._caches[side].retain(alive)

    def add_info(self, side: int, info: TimedInfo, publisher: bytes | None) -> None:
        """Take a camera_info; dispatch the pair that waits for it."""
        self._caches[side].add(info, publisher)
        self._serve()

    def add_pair(self, pair: PairedImages) -> None:
        """Take a pair; dispatch it if its calibration is there."""
        self.flush()
        if self._last is not None:
            self._usual = self._usual + 1 if self._own(self._last) else 0
        self._last = pair
        self._pending.append(pair)
        self._serve()
        self._limit()

    def flush(self) -> None:
        """Dispatch what waits for a camera_info of its own, with the newest."""
        while self.waits:
            pair = self._pending.popleft()
            infos = self._newest(pair)
            if infos:
                self._dispatch(pair, *infos)
            else:
                self._drop(DropCause.NO_CALIBRATION, 1)

    def clear(self, cause: DropCause) -> None:
        """Give up the pairs that wait; keep the calibrations, which may come only once."""
        self._drop(cause, len(self._pending))
        self._pending.clear()
        self._last = None
        for cache in self._caches:
            cache.forget_timestamps()

    def _serve(self) -> None:
        for pair in tuple(self._pending):
            infos = self._own(pair)
            if infos is None and self._cached and self._usual < USUAL:
                infos = self._newest(pair)
            if infos is not None:
                while self._pending.popleft() is not pair:
                    self._drop(DropCause.NO_CALIBRATION, 1)
                self._dispatch(pair, *infos)

    def _own(self, pair: PairedImages) -> tuple[Any, Any] | None:
        """Return the calibrations of the pair's own timestamps."""
        tolerance = 0 if self._cached else self._tolerance
        left, right = (
            self._caches[side].near(
                pair.images[side].stamp, tolerance, pair.accepted[side], pair.frame(side)
            )
            for side in SIDES
        )
        return None if left is None or right is None else (left, right)

    def _newest(self, pair: PairedImages) -> tuple[Any, Any] | None:
        left, right = (
            self._caches[side].newest(pair.accepted[side], pair.frame(side)) for side in SIDES
        )
        return None if left is None or right is None else (left, right)

    def _limit(self) -> None:
        size = 1 if self._cached else self._size
        while len(self._pending) > 1 and (
            len(self._pending) > size or sum(pair.size for pair in self._pending) > LARGEST_PENDING
        ):
            self._pending.popleft()
            self._drop(DropCause.NO_CALIBRATION, 1)
