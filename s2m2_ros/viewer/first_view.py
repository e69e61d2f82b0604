"""From where a cloud is seen first: a little from above, with nearly all of it in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from s2m2_ros.viewer.viewed_cloud import ViewedCloud

FIELD_OF_VIEW = 0.8  # radians, upright: about that of a stereo camera
# Of width to height of what the controls leave of the window; wider ones show more beside it.
NARROWEST_ASPECT = 1.1
DOWNWARD = 0.2  # radians
# Percent of the points that are in the picture: single ones far away would make the rest small.
SHOWN = 96.0
NEAREST = 0.05  # of the distance of the points from their origin

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class FirstView:
    """Where the camera is, what it looks at, and which axis points up."""

    position: Vector
    target: Vector
    up: str


def first_view(cloud: ViewedCloud) -> FirstView:
    """Return the view of a cloud before a camera (y down, z forward) or of a robot (z up)."""
    forward, up, name = np.array([0.0, 0, 1]), np.array([0.0, -1, 0]), '-y'
    if not cloud.is_optical:
        forward, up, name = np.array([1.0, 0, 0]), np.array([0.0, 0, 1]), '+z'
    along = np.cos(DOWNWARD) * forward - np.sin(DOWNWARD) * up
    upward = np.cos(DOWNWARD) * up + np.sin(DOWNWARD) * forward
    target = np.median(cloud.points, axis=0).astype(float)
    # Of a single point there is no size.
    nearest = NEAREST * cloud.distance
    distance = max(_distance(cloud.points - target, along, upward), nearest)
    return FirstView(_vector(target - distance * along), _vector(target), name)


def _distance(points: npt.NDArray[np.floating], along: np.ndarray, upward: np.ndarray) -> float:
    """Return from how far before the target most points are within the field of view."""
    half = np.tan(FIELD_OF_VIEW / 2)
    height = np.abs(points @ upward) / half
    width = np.abs(points @ np.cross(along, upward)) / (half * NARROWEST_ASPECT)
    needed = np.maximum(height, width) - points @ along
    return float(np.percentile(needed, SHOWN))


def _vector(values: npt.NDArray[np.floating]) -> Vector:
    x, y, z = values.tolist()
    return x, y, z
