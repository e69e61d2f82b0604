"""Transforms between frames as a recording holds them on `/tf` and `/tf_static`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from s2m2_ros.geometry import RigidTransform
from s2m2_ros.geometry.target_camera import IDENTITY_ROTATION
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.sources.stereo_frame import NANOSECONDS, PlaybackError

MOVING_TRANSFORMS, STATIC_TRANSFORMS = '/tf', '/tf_static'
# A transform between two recorded ones counts if both are no further away: tf2's buffer holds as
# much.
LONGEST_APART_NS = 10 * NANOSECONDS
# Longer chains hold a loop.
MOST_FRAMES = 1000

Matrix = np.ndarray


@dataclass
class _Edge:
    """From a frame to its parent: poses by time, or one for all times."""

    parent: str
    poses: dict[int, Any] = field(default_factory=dict)
    fixed: Matrix | None = None


class FrameTree:
    """Finds the transform between two frames at a time; the last parent of a frame counts."""

    def __init__(self, static: Iterable[Any], moving: Iterable[Any] = ()) -> None:
        """Take TFMessages."""
        self._edges: dict[str, _Edge] = {}
        for message in moving:
            for item in message.transforms:
                self._edge(item).poses[stamp_ns(item.header)] = item.transform
        for message in static:
            for item in message.transforms:
                self._edge(item).fixed = pose_matrix(item.transform)
        self._times = {name: sorted(edge.poses) for name, edge in self._edges.items()}

    @property
    def names(self) -> set[str]:
        """The names of all frames."""
        return {edge.parent for edge in self._edges.values()} | self._edges.keys()

    @property
    def frames(self) -> str:
        """The names of all frames, for messages to people."""
        return ', '.join(sorted(self.names)) or 'none'

    def find(self, source: str, target: str, time_ns: int) -> RigidTransform:
        """Return the transform of points from ``source`` into ``target``; raises PlaybackError."""
        if source == target:
            return RigidTransform(target, IDENTITY_ROTATION, (0.0, 0.0, 0.0))
        up, other = self._to_ancestors(source, time_ns), self._to_ancestors(target, time_ns)
        shared = next((frame for frame in up if frame in other), None)
        if shared is None:
            raise PlaybackError(
                f"no transform from '{source}' to '{target}' is recorded on {STATIC_TRANSFORMS} "
                f'or, of its time, on {MOVING_TRANSFORMS}'
            )
        try:
            return RigidTransform.from_matrix(np.linalg.inv(other[shared]) @ up[shared], target)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise PlaybackError(f"the transform from '{source}' to '{target}' is none") from error

    def _edge(self, item: Any) -> _Edge:
        child, parent = (name.lstrip('/') for name in (item.child_frame_id, item.header.frame_id))
        edge = self._edges.get(child)
        if edge is None or edge.parent != parent:
            edge = self._edges[child] = _Edge(parent)
        return edge

    def _to_ancestors(self, frame: str, time_ns: int) -> Mapping[str, Matrix]:
        """Return the matrices from a frame to itself and all above it that are known."""
        found = {frame: np.eye(4)}
        while len(found) < MOST_FRAMES:
            edge = self._edges.get(frame)
            step = None if edge is None else self._pose(frame, edge, time_ns)
            if edge is None or step is None or edge.parent in found:
                break
            found[edge.parent] = step @ found[frame]
            frame = edge.parent
        return found

    def _pose(self, frame: str, edge: _Edge, time_ns: int) -> Matrix | None:
        if edge.fixed is not None:
            return edge.fixed
        times = self._times[frame]
        index = bisect_left(times, time_ns)
        if index < len(times) and times[index] == time_ns:
            return pose_matrix(edge.poses[time_ns])
        if index in (0, len(times)):
            return None
        before, after = times[index - 1], times[index]
        if max(time_ns - before, after - time_ns) > LONGEST_APART_NS:
            return None
        part = (time_ns - before) / (after - before)
        return _between(edge.poses[before], edge.poses[after], part)


def pose_matrix(pose: Any) -> Matrix:
    """Return the 4x4 matrix of a geometry_msgs/Transform."""
    return _matrix(_quaternion(pose), _translation(pose))


def _between(first: Any, second: Any, part: float) -> Matrix:
    """Return a pose between two, as tf2 does: along a line, and turning evenly."""
    a, b = _quaternion(first), _quaternion(second)
    cosine = float(a @ b)
    if cosine < 0:
        b, cosine = -b, -cosine
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:
        turned = a + part * (b - a)
    else:
        turned = (np.sin((1 - part) * angle) * a + np.sin(part * angle) * b) / np.sin(angle)
    place = (1 - part) * _translation(first) + part * _translation(second)
    return _matrix(turned / np.linalg.norm(turned), place)


def _quaternion(pose: Any) -> np.ndarray:
    q = pose.rotation
    values = np.array([q.x, q.y, q.z, q.w], float)
    length = float(np.linalg.norm(values))
    if not (np.isfinite(length) and length):
        return np.array([0.0, 0.0, 0.0, 1.0])
    return values / length


def _translation(pose: Any) -> np.ndarray:
    t = pose.translation
    return np.array([t.x, t.y, t.z], float)


def _matrix(quaternion: np.ndarray, place: np.ndarray) -> Matrix:
    x, y, z, w = quaternion
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = place
    return matrix
