"""An estimate as a moved camera sees it: numbers by hand, and rays cast from every pose."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from s2m2_ros.geometry import PrincipalPoint, RigidTransform, StereoCamera
from s2m2_ros.geometry.target_camera import IDENTITY_ROTATION
from s2m2_ros.geometry.temporal_filter import (
    Estimate,
    first_estimate,
    measurement_weight,
    update,
)
from s2m2_ros.geometry.temporal_warp import Motion, is_still, moved
from support.box_scene import ROOM, Box, Plane, cast, pinhole_rays

# f 100 px and B 0.1 m: Z = 10 / (d - 3), as the principal points differ by 3 px.
CAMERA = StereoCamera(
    width=64,
    height=48,
    focal_length=100.0,
    focal_length_y=100.0,
    baseline=0.1,
    left=PrincipalPoint(32.0, 24.0),
    right=PrincipalPoint(29.0, 24.0),
)
ORIGIN = RigidTransform('odom', IDENTITY_ROTATION, (0.0, 0.0, 0.0))


def at(x: float, y: float, z: float) -> RigidTransform:
    """Return the pose of a camera at x, y, z of the odom frame, which is optical too."""
    return RigidTransform('odom', IDENTITY_ROTATION, (x, y, z))


def turned(degrees: float) -> RigidTransform:
    """Return the pose of a camera at the origin, turned to the right."""
    rotation = cv2.Rodrigues(np.radians([0.0, degrees, 0.0]))[0]
    rows = tuple((float(r[0]), float(r[1]), float(r[2])) for r in rotation)
    return RigidTransform('odom', rows, (0.0, 0.0, 0.0))


def wall(depth: float, **other: float) -> Estimate:
    """Return the estimate of a wall across the view."""
    given = {'weight': 4.0, 'noise': 0.1, 'drift': 0.01, 'missed': 0.0} | other
    size = (CAMERA.height, CAMERA.width)
    return Estimate(
        disparity=torch.full(size, 10 / depth + 3),
        **{name: torch.full(size, value) for name, value in given.items()},
    )


def test_forward_by_hand() -> None:
    """0.8 m towards a wall at 4 m: d - 3 goes from 2.5 to 3.125, the weight by 0.8^4 = 0.4096."""
    now = moved(wall(4.0, missed=1.0), CAMERA, Motion(ORIGIN, at(0.0, 0.0, 0.8)))
    assert (now.weight > 0).all()  # the view narrows, so all of it was seen before
    np.testing.assert_allclose(now.disparity, 6.125, rtol=1e-5)
    np.testing.assert_allclose(now.weight, 4 * 0.4096, rtol=1e-4)
    for name, value in (('noise', 0.1), ('drift', 0.01), ('missed', 1.0)):
        np.testing.assert_allclose(getattr(now, name), value)


def test_aside_by_hand() -> None:
    """0.1 m to the right of a wall at 2 m: everything goes 100 * 0.1 / 2 = 5 px to the left."""
    before = wall(2.0)
    marked = before.noise.clone()
    marked[20, 40] = 0.7
    before = Estimate(before.disparity, before.weight, marked, before.drift, before.missed)
    now = moved(before, CAMERA, Motion(ORIGIN, at(0.1, 0.0, 0.0)))
    assert float(now.noise[20, 35]) == pytest.approx(0.7)
    assert (now.weight[:, :59] > 0).all()
    assert (now.weight[:, 59:] == 0).all()  # came into view
    np.testing.assert_allclose(now.disparity[:, :59], 8.0, rtol=1e-5)
    assert all(torch.isfinite(values).all() for values in (now.disparity, now.noise, now.drift))


def test_what_is_hidden_now_is_forgotten() -> None:
    """A post at 1 m moves by 10 px and the wall at 2 m by 5: it hides wall that was seen."""
    before = wall(2.0)
    before.disparity[:, 30:36] = 10 / 1.0 + 3
    before.noise[:, 30:36] = 0.3
    now = moved(before, CAMERA, Motion(ORIGIN, at(0.1, 0.0, 0.0)))
    np.testing.assert_allclose(now.disparity[:, 20:26], 13.0, rtol=1e-5)
    np.testing.assert_allclose(now.noise[:, 20:26], 0.3)
    np.testing.assert_allclose(now.disparity[:, :20], 8.0, rtol=1e-5)
    # Behind the post, from 26 on, wall comes into view that was hidden: 36 went to 31.
    assert (now.weight[:, 26:31] == 0).all()
    np.testing.assert_allclose(now.disparity[:, 31:59], 8.0, rtol=1e-5)


def test_infinity_and_unknown_do_not_move() -> None:
    before = wall(2.0)
    before.disparity[:24] = 3.0  # the sky
    before.weight[24:30] = 0.0
    now = moved(before, CAMERA, Motion(ORIGIN, at(0.1, 0.0, 0.0)))
    assert (now.weight[:30] == 0).all()
    assert (now.disparity[:30] == 0).all()
    assert (now.weight[30:, :59] > 0).all()


def test_a_point_that_falls_behind_is_forgotten() -> None:
    now = moved(wall(2.0), CAMERA, Motion(ORIGIN, at(0.0, 0.0, 2.5)))
    assert (now.weight == 0).all()


@pytest.mark.parametrize(
    ('pose', 'still'),
    [
        (ORIGIN, True),
        # In the corner, at X/Z = 0.32, a turn of t moves by 100 * t * (1 + 0.32^2) px.
        (turned(math.degrees(0.00044)), True),
        (turned(math.degrees(0.00047)), False),
        # At 1 m, 10 px, one millimeter is 0.1 px.
        (at(0.00049, 0.0, 0.0), True),
        (at(0.00051, 0.0, 0.0), False),
        (at(0.0, 0.00051, 0.0), False),
        # Ahead it is 0.32 of that in the corner.
        (at(0.0, 0.0, 0.0015), True),
        (at(0.0, 0.0, 0.0016), False),
        (at(0.0, 0.0, 1.5), False),
    ],
)
def test_what_counts_as_still(pose: RigidTransform, still: bool) -> None:
    assert is_still(Motion(ORIGIN, pose), CAMERA, 10.0) == still
    # Only the way between the two counts, not where they are.
    far = np.eye(4)
    far[:3, 3] = 100.0, -20.0, 3.0
    poses = (
        RigidTransform.from_matrix(far @ np.vstack((p.matrix, (0, 0, 0, 1))), 'odom')
        for p in (ORIGIN, pose)
    )
    assert is_still(Motion(*poses), CAMERA, 10.0) == still


WALK = StereoCamera(
    width=212,
    height=120,
    focal_length=106.0,
    focal_length_y=106.0,
    baseline=0.1,
    left=PrincipalPoint(105.5, 59.5),
    right=PrincipalPoint(102.5, 59.5),
)
RAYS = pinhole_rays((212, 120), (106.0, 106.0), (105.5, 59.5))


def walk(frame: int) -> np.ndarray:
    """Return the pose of a camera that walks and turns, 4x4."""
    pose = np.eye(4)
    turn = np.radians([0.3 * math.sin(frame / 3), 0.5 * frame, 0.1 * frame])
    pose[:3, :3] = cv2.Rodrigues(turn)[0]
    pose[:3, 3] = 0.004 * frame, 0.001 * frame, 0.01 * frame
    return pose


def truth_from(pose: np.ndarray, scene: tuple[Plane | Box, ...] = ROOM) -> torch.Tensor:
    """Return the disparity of the room, or another scene, from a pose, by rays."""
    into = np.linalg.inv(pose)
    depth = cast(scene, RAYS, into[:3, :3], into[:3, 3])
    return torch.from_numpy((10.6 / depth + 3).astype(np.float32))


@pytest.mark.usefixtures('either_way')
def test_flicker_falls_while_the_camera_walks() -> None:
    generator = torch.Generator().manual_seed(1)
    noise, kept, before = 0.2, None, ORIGIN
    for frame in range(30):
        now = RigidTransform.from_matrix(walk(frame), 'odom')
        truth = truth_from(walk(frame))
        measured = truth + noise * torch.randn(truth.shape, generator=generator)
        weight = measurement_weight(measured, torch.full_like(measured, 0.5))
        if kept is None:
            kept, before = first_estimate(measured, weight), now
            continue
        there = moved(kept, WALK, Motion(before, now))
        assert float((there.weight > 0).float().mean()) > 0.97
        made = update(there, measured, weight, frames=20)
        kept, before = made.estimate, now
    error = made.disparity - truth
    assert float(error.std()) < noise / 3
    assert float(error.abs().median()) < noise * 0.6745 / 4
    assert abs(float(error.mean())) < 0.01
    assert float(made.changed) < 0.01


def test_a_box_that_moves_leaves_no_trail_while_the_camera_walks() -> None:
    generator = torch.Generator().manual_seed(2)
    kept, before = None, ORIGIN
    for frame in range(24):
        low = -0.6 + 0.05 * frame
        box = Box((low, -0.3, 0.8), (low + 0.2, 0.2, 0.9))
        truth = truth_from(walk(frame), (*ROOM, box))
        now = RigidTransform.from_matrix(walk(frame), 'odom')
        measured = truth + 0.1 * torch.randn(truth.shape, generator=generator)
        weight = measurement_weight(measured, torch.full_like(measured, 0.5))
        if kept is None:
            kept, before = first_estimate(measured, weight), now
            continue
        made = update(moved(kept, WALK, Motion(before, now)), measured, weight, frames=20)
        kept, before = made.estimate, now
        # The box is 3 px and more before everything behind it.
        assert float((made.disparity - truth).abs().max()) < 1.2
