"""From where a cloud is seen first, by a pinhole camera of this test's own."""

from __future__ import annotations

import numpy as np
import pytest

from s2m2_ros.viewer.first_view import FIELD_OF_VIEW, FirstView, first_view
from s2m2_ros.viewer.viewed_cloud import ViewedCloud

ROBOT = {'-y': (0, -1, 0), '+z': (0, 0, 1)}


def optical_cloud() -> np.ndarray:
    """Return a frustum of 70 by 55 degrees, 1 to 6 m deep."""
    random = np.random.default_rng(3)
    z = random.uniform(1, 6, 5000)
    x, y = random.uniform(-0.7, 0.7, 5000) * z, random.uniform(-0.52, 0.52, 5000) * z
    return np.stack([x, y, z], axis=1).astype(np.float32)


def robot_cloud() -> np.ndarray:
    """Return the same before a robot: x forward, y left, z up, the camera at 0.5 m."""
    x, y, z = optical_cloud().T
    return np.stack([z, -x, 0.5 - y], axis=1)


def share_in_picture(points: np.ndarray, view: FirstView, aspect: float) -> float:
    position, target = np.array(view.position), np.array(view.target)
    along = (target - position) / np.linalg.norm(target - position)
    right = np.cross(along, ROBOT[view.up])
    right /= np.linalg.norm(right)
    offset = points - position
    depth = offset @ along
    slope = np.tan(FIELD_OF_VIEW / 2)
    inside = (
        (depth > 0)
        & (np.abs(offset @ right) <= slope * aspect * depth)
        & (np.abs(offset @ np.cross(right, along)) <= slope * depth)
    )
    return float(inside.mean())


@pytest.mark.parametrize(
    ('points', 'up', 'forward'),
    [(optical_cloud(), '-y', 2), (robot_cloud(), '+z', 0)],
    ids=['optical', 'robot'],
)
@pytest.mark.parametrize('scale', [0.01, 1, 100])
def test_nearly_all_is_in_the_picture_and_fills_it(
    points: np.ndarray, up: str, forward: int, scale: float
) -> None:
    view = first_view(ViewedCloud(np.asarray(points * scale, np.float32)))
    assert view.up == up
    assert share_in_picture(points * scale, view, 1.1) == pytest.approx(0.96, abs=0.005)
    # Looking forward, from above.
    assert view.position[forward] < view.target[forward]
    assert np.dot(np.subtract(view.position, view.target), ROBOT[up]) > 0


def test_one_point_is_seen_from_a_distance() -> None:
    view = first_view(ViewedCloud(np.array([[0, 0, 2]], np.float32)))
    assert np.linalg.norm(np.subtract(view.target, view.position)) == pytest.approx(0.1)
    assert view.target == (0, 0, 2)
