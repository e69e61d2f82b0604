"""CameraInfo and poses as geometry understands them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from s2m2_ros.geometry import CalibrationError, PrincipalPoint
from s2m2_ros.io.ros_calibration import (
    rigid_transform,
    rigid_transform_from_message,
    stereo_camera,
)


def info(*, cx: float, tx: float = 0.0, **other: object) -> CameraInfo:
    P = [1000.0, 0.0, cx, tx, 0.0, 1000.0, 470.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return CameraInfo(width=1280, height=960, p=P, **other)


def test_binning_and_region_of_interest_of_the_messages_count() -> None:
    window = RegionOfInterest(x_offset=100, y_offset=60, width=800, height=600)
    options = {'binning_x': 2, 'binning_y': 2, 'roi': window}
    camera = stereo_camera(info(cx=650.0, **options), info(cx=630.0, tx=-120.0, **options))
    assert (camera.width, camera.height) == (400, 300)
    assert camera.focal_length == 500.0
    assert camera.baseline == pytest.approx(0.12)
    assert camera.left == PrincipalPoint(275.0, 205.0)
    assert camera.right == PrincipalPoint(265.0, 205.0)


def test_errors_name_the_topic() -> None:
    with pytest.raises(CalibrationError, match=r'^/front/right/camera_info: P\[3\] = 120, '):
        stereo_camera(
            info(cx=650.0), info(cx=650.0, tx=120.0), right_source='/front/right/camera_info'
        )
    with pytest.raises(CalibrationError, match=r'^left/camera_info: the image size is 0x0'):
        stereo_camera(CameraInfo(), info(cx=650.0, tx=-120.0))


class TestTransforms:
    def test_quarter_turn_about_z(self) -> None:
        half = math.sqrt(0.5)
        transform = rigid_transform((1.0, 2.0, 3.0), (0.0, 0.0, half, half), frame_id='map')
        expected = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
        np.testing.assert_allclose(transform.rotation, np.array(expected), atol=1e-12)
        assert list(transform.translation) == [1.0, 2.0, 3.0]
        assert transform.frame_id == 'map'

    def test_optical_frame_into_body_frame(self) -> None:
        # REP 103: optical z is forward (body x), x is right (body -y), y is down (body -z).
        transform = rigid_transform((0.0, 0.0, 0.0), (-0.5, 0.5, -0.5, 0.5), frame_id='base')
        expected = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
        np.testing.assert_allclose(transform.rotation, np.array(expected), atol=1e-12)

    def test_message(self) -> None:
        message = TransformStamped()
        message.header.frame_id = 'odom'
        message.child_frame_id = 'left_optical'
        message.transform.translation.y = 4.0
        message.transform.rotation.x = 2.0  # any length turns the same way
        message.transform.rotation.w = 0.0
        transform = rigid_transform_from_message(message)
        assert transform.frame_id == 'odom'
        assert list(transform.translation) == [0.0, 4.0, 0.0]
        expected = np.diag([1.0, -1.0, -1.0])
        np.testing.assert_allclose(transform.rotation, expected, atol=1e-12)

    @pytest.mark.parametrize('quaternion', [(0.0, 0.0, 0.0, 0.0), (math.nan, 0.0, 0.0, 1.0)])
    def test_impossible_poses_are_refused(self, quaternion: tuple[float, ...]) -> None:
        with pytest.raises(ValueError, match='no pose'):
            rigid_transform((0.0, 0.0, 0.0), quaternion, frame_id='map')
