"""CameraInfo as geometry understands them."""

from __future__ import annotations

import pytest
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from s2m2_ros.geometry import CalibrationError, PrincipalPoint
from s2m2_ros.io.ros_calibration import stereo_camera


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
