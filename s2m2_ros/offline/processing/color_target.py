"""The camera that depth is registered to: its recorded calibration, and where it stands."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2m2_ros.geometry import RigidTransform, TargetCamera
from s2m2_ros.geometry.target_camera import IDENTITY_ROTATION
from s2m2_ros.io.ros_calibration import camera_model, shows_raw
from s2m2_ros.io.sources.stereo_frame import PlaybackError

STATIC_TRANSFORMS = '/tf_static'

Matrix = np.ndarray
# From each frame to its neighbors: the matrix that takes points of the frame into the neighbor.
FrameTree = Mapping[str, Mapping[str, Matrix]]


@dataclass(frozen=True, eq=False)
class ColorTarget:
    """The camera, and its calibration as it was recorded."""

    camera: TargetCamera
    info: Any


def color_target(info: Any, topic: str, setting: str, frames: FrameTree, left: str) -> ColorTarget:
    """Return the camera of a CameraInfo, seen from the ``left`` frame.

    ``setting``: the node's parameter color_calibration. Raises PlaybackError if no static
    transform was recorded between the frames, CalibrationError for a calibration that is none.
    """
    frame = str(info.header.frame_id).lstrip('/')
    model = camera_model(info, source=topic)
    # Which images belong to the calibration is not known here; its own name may say it.
    raw = shows_raw(setting, topic.rpartition('/')[0], model)
    transform = _between(frames, left, frame)
    return ColorTarget(TargetCamera.of(model, transform, raw=raw is not False), info)


def frame_tree(messages: Iterable[Any]) -> FrameTree:
    """Return what TFMessages say of frames; the last one counts."""
    tree: dict[str, dict[str, Matrix]] = {}
    for message in messages:
        for item in message.transforms:
            parent = str(item.header.frame_id).lstrip('/')
            child = str(item.child_frame_id).lstrip('/')
            to_parent = _matrix(item.transform)
            tree.setdefault(child, {})[parent] = to_parent
            tree.setdefault(parent, {})[child] = np.linalg.inv(to_parent)
    return tree


def _between(frames: FrameTree, source: str, target: str) -> RigidTransform:
    if source == target:
        return RigidTransform(target, IDENTITY_ROTATION, (0.0, 0.0, 0.0))
    waiting, found = deque([source]), {source: np.eye(4)}
    while waiting:
        frame = waiting.popleft()
        for neighbor, step in frames.get(frame, {}).items():
            if neighbor not in found:
                found[neighbor] = step @ found[frame]
                waiting.append(neighbor)
    if target not in found:
        known = ', '.join(sorted(frames)) or 'none'
        raise PlaybackError(
            f"registered/depth: no transform from '{source}' to '{target}', the frame of the "
            f'color camera, is recorded on {STATIC_TRANSFORMS}; frames on it: {known}'
        )
    return RigidTransform.from_matrix(found[target], target)


def _matrix(transform: Any) -> Matrix:
    """Return the 4x4 matrix of a geometry_msgs/Transform."""
    q, t = transform.rotation, transform.translation
    x, y, z, w = np.array([q.x, q.y, q.z, q.w], float) / (
        np.linalg.norm([q.x, q.y, q.z, q.w]) or 1.0
    )
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = (t.x, t.y, t.z)
    return matrix
