"""The camera that depth is registered to: what of a camera_info counts, and its lens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from s2m2_ros.geometry import (
    CalibrationError,
    CameraModel,
    RegionOfInterest,
    RigidTransform,
    TargetCamera,
)

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
APART = RigidTransform('color', IDENTITY, (-0.06, 0.0, 0.0))
SHARED = RigidTransform('left', IDENTITY, (0.0, 0.0, 0.0))


def model(**changes: Any) -> CameraModel:
    made = CameraModel(
        P=(600.0, 0, 330.0, -60.0, 0, 610.0, 250.0, 0, 0, 0, 1, 0),
        width=640,
        height=480,
        source='/color/camera_info',
        K=(590.0, 0, 320.0, 0, 595.0, 240.0, 0, 0, 1),
        D=(-0.3, 0.1, 0.001, -0.002, 0.01),
        R=(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0),
        distortion_model='plumb_bob',
    )
    return replace(made, **changes)


def test_a_rectified_image_is_that_of_p() -> None:
    camera = TargetCamera.of(model(), APART, raw=False)
    assert (camera.width, camera.height) == (640, 480)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (600, 610, 330, 250)
    assert (camera.distortion, camera.is_raw, camera.frame_id) == ((), False, 'color')
    assert camera.translation == (-0.06, 0.0, 0.0)


def test_a_raw_image_is_that_of_k_and_d() -> None:
    camera = TargetCamera.of(model(), APART, raw=True)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (590, 595, 320, 240)
    assert camera.distortion == (-0.3, 0.1, 0.001, -0.002, 0.01) + (0.0,) * 7
    assert (camera.is_raw, camera.fisheye) == (True, False)
    assert TargetCamera.of(model(D=(0.0,) * 5), APART, raw=True).distortion == ()


def test_roi_and_binning_apply_to_both() -> None:
    cut = model(roi=RegionOfInterest(100, 40, 400, 400), binning_x=2, binning_y=4)
    camera = TargetCamera.of(cut, APART, raw=False)
    assert (camera.width, camera.height) == (200, 100)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (300, 152.5, 115, 52.5)
    raw = TargetCamera.of(cut, APART, raw=True)
    assert (raw.fx, raw.fy, raw.cx, raw.cy) == (295, 148.75, 110, 50)


def test_p3_counts_only_in_the_frame_of_another_camera() -> None:
    # CameraInfo: the right camera of a pair carries the frame of the left one, and its shift.
    assert TargetCamera.of(model(), SHARED, raw=False).tx == -60
    assert TargetCamera.of(model(binning_x=2, binning_y=2), SHARED, raw=False).tx == -30
    # Where tf says where it stands (RealSense, ZED), its shift would count twice.
    assert TargetCamera.of(model(), APART, raw=False).tx == 0
    point = torch.tensor([[2.0]])
    # X = 0.2, Z = 2 m: 600 * 0.2 / 2 + 330 - 60 / 2 = 360.
    from s2m2_ros.geometry import PrincipalPoint, StereoCamera
    from s2m2_ros.geometry.projection import project

    left = StereoCamera(1, 1, 10.0, 10.0, 0.1, PrincipalPoint(-1.0, 0), PrincipalPoint(-1.0, 0))
    found = project(point, left, TargetCamera.of(model(), SHARED, raw=False))
    assert float(found.u) == pytest.approx(360)
    assert float(found.v) == pytest.approx(250)


def test_r_turns_the_frame_into_that_of_the_raw_image() -> None:
    turn = cv2.Rodrigues(np.array([0.0, 0.1, 0.0]))[0]
    turned = model(R=tuple(turn.ravel()))
    camera = TargetCamera.of(turned, APART, raw=True)
    # R turns the raw camera into the rectified one, whose frame is that of tf.
    np.testing.assert_allclose(camera.rotation, turn.T)
    np.testing.assert_allclose(camera.translation, turn.T @ (-0.06, 0, 0))
    assert TargetCamera.of(turned, APART, raw=False).rotation == IDENTITY


@pytest.mark.parametrize(
    ('changes', 'raw', 'words'),
    [
        ({'P': (0.0,) * 12}, False, 'P is empty'),
        ({'K': (0.0,) * 9}, True, 'K is empty'),
        ({'D': (0.1, float('nan'), 0, 0, 0)}, True, 'D holds NaN'),
        ({'distortion_model': 'thin_lens'}, True, "'thin_lens' cannot be rectified"),
        ({'D': (0.1, 0, 0)}, True, 'D has 3 numbers'),
        ({'width': 0}, True, 'the image size is 0x480'),
        ({'width': 2**32 - 1}, True, 'the image size is 4294967295x480.*at most'),
        ({'width': 2**32 - 1}, False, 'the image size is 4294967295x480.*at most'),
        ({'D': (0.1, *(0.0,) * 11, 0.02, 0.0)}, True, 'a tilted sensor.*image_rect'),
        ({'roi': RegionOfInterest(600, 0, 100, 100)}, True, 'region of interest'),
    ],
)
def test_what_is_no_calibration_is_told(changes: Any, raw: bool, words: str) -> None:
    with pytest.raises(CalibrationError, match=f'/color/camera_info: .*{words}'):
        TargetCamera.of(model(**changes), APART, raw=raw)


def test_images_of_another_size_are_told() -> None:
    camera = TargetCamera.of(model(), APART, raw=True)
    camera.require_size(640, 480, '/color/camera_info')
    with pytest.raises(CalibrationError, match=r'/color/camera_info: .* 640x480 .* are 320x240'):
        camera.require_size(320, 240, '/color/camera_info')


SMALL = st.floats(-0.02, 0.02)


@settings(max_examples=100, deadline=None)
@given(
    terms=st.tuples(st.floats(-0.2, 0.2), *[SMALL] * 11),
    x=st.floats(-0.8, 0.8),
    y=st.floats(-0.8, 0.8),
    number=st.sampled_from([4, 5, 8, 12]),
)
def test_the_lens_is_that_of_opencv(
    terms: tuple[float, ...], x: float, y: float, number: int
) -> None:
    D = terms[:number]
    name = 'plumb_bob' if number < 8 else 'rational_polynomial'
    camera = TargetCamera.of(model(D=D, distortion_model=name), APART, raw=True)
    u, v = (float(c) for c in camera.distort(torch.tensor(x), torch.tensor(y)))
    nothing = np.zeros(3)
    expected = cv2.projectPoints(np.array([[x, y, 1.0]]), nothing, nothing, np.eye(3), np.array(D))
    np.testing.assert_allclose((u, v), expected[0].ravel(), atol=2e-6)


@settings(max_examples=100, deadline=None)
@given(k=st.tuples(*[SMALL] * 4), x=st.floats(-3, 3), y=st.floats(-3, 3))
def test_the_fisheye_lens_is_that_of_opencv(k: Any, x: float, y: float) -> None:
    assume(any(k))  # zeros mean that there is no distortion, for raw pairs as well
    changed = model(D=k, distortion_model='equidistant')
    camera = TargetCamera.of(changed, APART, raw=True)
    u, v = (float(c) for c in camera.distort(torch.tensor(x), torch.tensor(y)))
    nothing = np.zeros(3)
    points = np.array([[[x, y, 1.0]]])
    expected, _ = cv2.fisheye.projectPoints(points, nothing, nothing, np.eye(3), np.array(k))
    if not np.isnan(u):  # beyond the angle at which the polynomial turns back
        np.testing.assert_allclose((u, v), expected.ravel(), atol=3e-6)
    else:
        assert np.hypot(x, y) > camera.largest_radius * 0.999


def test_magnification_bounds_what_the_lens_enlarges() -> None:
    assert TargetCamera.of(model(D=(0.0,) * 5), APART, raw=True).magnification == 1
    assert TargetCamera.of(model(D=(-0.2, 0, 0, 0)), APART, raw=True).magnification == 1
    # r + 0.3 r^3 has the slope 1 + 0.9 r^2; the corner, 0.676 from the axis, is that of r = 0.608.
    pincushion = TargetCamera.of(model(D=(0.3, 0, 0, 0)), APART, raw=True)
    assert pincushion.magnification == pytest.approx(1 + 0.9 * 0.608**2, abs=0.01)
