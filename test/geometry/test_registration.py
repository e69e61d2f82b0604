"""Depth and color of another camera, against rays cast from there, loops and numbers by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from s2m2_ros.geometry import PrincipalPoint, StereoCamera, registration_kernel
from s2m2_ros.geometry.registration import (
    DepthRange,
    project,
    register,
    registered_colors,
)
from s2m2_ros.geometry.target_camera import TargetCamera
from support.box_scene import ROOM, cast, pinhole_rays

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
LEFT = StereoCamera(
    width=424,
    height=240,
    focal_length=212.0,
    focal_length_y=212.0,
    baseline=0.05,
    left=PrincipalPoint(211.5, 119.5),
    right=PrincipalPoint(211.5, 119.5),
)


@pytest.fixture(params=['compiled', 'torch'])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with the compiled loops and with torch, as on an accelerator."""
    assert registration_kernel.library() is not None
    if request.param == 'torch':
        monkeypatch.setattr(registration_kernel, 'library', lambda: None)


def turned(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Any:
    """Return a rotation matrix of small turns in degrees."""
    matrix = cv2.Rodrigues(np.radians([x, y, z]))[0]
    return tuple(tuple(float(v) for v in row) for row in matrix)


def target(**changes: Any) -> TargetCamera:
    camera = TargetCamera(
        width=640,
        height=360,
        fx=460.0,
        fy=462.0,
        cx=322.3,
        cy=178.1,
        rotation=turned(1.0, -2.0, 0.5),
        translation=(-0.06, 0.004, 0.002),
    )
    return replace(camera, **changes)


def left_depth() -> torch.Tensor:
    rays = pinhole_rays(424, 240, 212.0, 212.0, 211.5, 119.5)
    return torch.from_numpy(cast(ROOM, rays).astype(np.float32))


def truth(camera: TargetCamera) -> np.ndarray:
    rays = pinhole_rays(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)
    if camera.distortion:
        y, x = np.mgrid[: camera.height, : camera.width].astype(np.float64)
        pixels = np.stack((x, y), axis=-1).reshape(-1, 1, 2)
        K = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-10)
        if camera.fisheye:
            straight = cv2.fisheye.undistortPoints(pixels, K, np.array(camera.distortion))
        else:
            straight = cv2.undistortPoints(
                pixels, K, np.array(camera.distortion), criteria=criteria
            )
        rays[..., :2] = straight.reshape(camera.height, camera.width, 2)
    return cast(ROOM, rays, np.array(camera.rotation), np.array(camera.translation))


def hidden_from_left(camera: TargetCamera, depth: np.ndarray) -> np.ndarray:
    """Return which pixels of the other image show what the left camera does not see."""
    rays = pinhole_rays(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)
    points = (rays * depth[..., None] - np.array(camera.translation)) @ np.array(camera.rotation)
    x = points[..., 0] / points[..., 2] * 212 + 211.5
    y = points[..., 1] / points[..., 2] * 212 + 119.5
    outside = (x < 1) | (x > 422) | (y < 1) | (y > 238)
    seen = cast(ROOM, np.stack(((x - 211.5) / 212, (y - 119.5) / 212, np.ones_like(x)), axis=-1))
    return np.asarray(outside | (seen < points[..., 2] * 0.999))


def errors_within_a_pixel(found: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return the least error in meters against the 3x3 true depths around each known pixel.

    Between true depths of one surface every value in between is right.
    """
    padded = np.pad(depth, 1, mode='edge')
    shifted = np.array(
        [
            padded[r : r + depth.shape[0], c : c + depth.shape[1]]
            for r in range(3)
            for c in range(3)
        ]
    )
    off = np.abs(found - shifted).min(axis=0)
    low, high = shifted.min(axis=0), shifted.max(axis=0)
    between = (high - low < 0.02 * low) & (low <= found) & (found <= high)
    return np.asarray(np.where(between, 0.0, off)[np.isfinite(found)])


BARREL = (-0.28, 0.09, 0.0008, -0.0011, -0.012) + (0.0,) * 7
RATIONAL = (0.55, -0.3, 0.0004, 0.0002, 0.02, 0.8, -0.25, 0.01, 0.001, 0.0, -0.0007, 0.0)
CAMERAS = {
    'finer': target(),
    'one pixel for one': target(width=424, height=240, fx=212.0, fy=212.0, cx=208.0, cy=121.0),
    'coarser': target(width=160, height=90, fx=115.0, fy=115.5, cx=80.6, cy=44.5),
    'rolled': target(rotation=turned(0, 0, 90), width=360, height=640, cx=179.0, cy=319.0),
    'rolled by half of that': target(rotation=turned(0, 0, 45)),
    'behind and above': target(translation=(0.03, 0.2, 0.4), rotation=turned(-8, 0, 0)),
    'ahead': target(translation=(0.05, 0.0, -0.3)),
    'barrel': target(distortion=BARREL, is_raw=True),
    'rational': target(distortion=RATIONAL, is_raw=True),
    'fisheye': target(distortion=(-0.02, 0.01, -0.004, 0.001), fisheye=True, is_raw=True),
}


@pytest.mark.usefixtures('either_way')
@pytest.mark.parametrize('name', CAMERAS)
def test_depth_is_that_of_rays_cast_from_there(name: str) -> None:
    camera = CAMERAS[name]
    found = register(left_depth(), LEFT, camera).depth.numpy()
    expected = truth(camera)
    off = errors_within_a_pixel(found, expected)
    print(name, (off < 0.001).mean(), np.quantile(off, [0.9, 0.99, 0.999]), np.isfinite(found).mean())
    direct = np.abs(found - expected)
    print(np.nanquantile(direct, [0.5, 0.9, 0.99]))
    visible = ~hidden_from_left(camera, expected) if not camera.distortion else None
    if visible is not None:
        print('coverage', np.isfinite(found)[visible].mean(), 'of hidden shown', np.isfinite(found)[~visible].mean())
