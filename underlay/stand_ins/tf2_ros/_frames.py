"""What is known of one frame: where it stands in its parent, at which times."""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np
from tf_transformations import quaternion_matrix

from ._errors import ExtrapolationException

NANOSECONDS = 1_000_000_000


class Frame:
    """Poses of one child frame in its parent, in order of their timestamps in nanoseconds."""

    def __init__(self, parent: str, *, static: bool) -> None:
        self.parent = parent
        self.static = static
        self._timestamps: list[int] = []
        self._poses: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, transform: Any, stamp: int, cache: int) -> None:
        """Take in a TransformStamped unless it is `cache` nanoseconds older than the newest.

        What is that much older than the newest known before is forgotten first: the oldest stays
        until the next one is taken in, as with the real tf2.
        """
        pose = translation_and_rotation(transform.transform)
        if self.static:
            self._timestamps, self._poses = [stamp], [pose]
            return
        if self._timestamps:
            oldest = self._timestamps[-1] - cache
            if stamp < oldest:
                return
            old = bisect.bisect_left(self._timestamps, oldest)
            del self._timestamps[:old], self._poses[:old]
        place = bisect.bisect_left(self._timestamps, stamp)
        known = place < len(self._timestamps) and self._timestamps[place] == stamp
        self._timestamps[place : place + known] = [stamp]
        self._poses[place : place + known] = [pose]

    @property
    def newest(self) -> int | None:
        """The last timestamp; None for one that holds forever."""
        return None if self.static else self._timestamps[-1]

    def matrix(self, stamp: int) -> np.ndarray:
        """Return the 4x4 pose in the parent at a time.

        Raises ExtrapolationException before the first and after the last timestamp.
        """
        if self.static:
            return _matrix(*self._poses[0])
        if not self._timestamps[0] <= stamp <= self._timestamps[-1]:
            future = stamp > self._timestamps[-1]
            direction, end = ('future', 'latest') if future else ('past', 'earliest')
            at = self._timestamps[-1 if future else 0]
            raise ExtrapolationException(
                f'Lookup would require extrapolation into the {direction}.  Requested time '
                f'{stamp / NANOSECONDS:.6f} but the {end} data is at time {at / NANOSECONDS:.6f}'
            )
        after = bisect.bisect_left(self._timestamps, stamp)
        if self._timestamps[after] == stamp:
            return _matrix(*self._poses[after])
        (p0, q0), (p1, q1) = self._poses[after - 1 : after + 1]
        first, last = self._timestamps[after - 1 : after + 1]
        fraction = (stamp - first) / (last - first)
        return _matrix(p0 + fraction * (p1 - p0), slerp(q0, q1, fraction))


def translation_and_rotation(transform: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the position (3,) and the quaternion (x, y, z, w) of a Transform message."""
    t, q = transform.translation, transform.rotation
    return np.array([t.x, t.y, t.z]), np.array([q.x, q.y, q.z, q.w])


def slerp(first: np.ndarray, last: np.ndarray, fraction: float) -> np.ndarray:
    """Return the quaternion between two, along the shorter arc (Shoemake 1985)."""
    cosine = float(first @ last)
    if cosine < 0:
        last, cosine = -last, -cosine
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:
        return np.asarray(first + fraction * (last - first))
    weights = np.sin([(1 - fraction) * angle, fraction * angle]) / np.sin(angle)
    return np.asarray(weights[0] * first + weights[1] * last)


def _matrix(translation: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    matrix = np.array(quaternion_matrix(quaternion))
    matrix[:3, 3] = translation
    return np.asarray(matrix)
