"""CameraInfo messages, of rclpy or of rosbags, as geometry understands them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s2m2_ros.geometry import CameraModel, RegionOfInterest, StereoCamera

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo


def camera_model(info: CameraInfo, *, source: str) -> CameraModel:
    """Return what a CameraInfo says; ``source`` is its topic, for error messages."""
    roi = info.roi
    return CameraModel(
        P=tuple(float(value) for value in info.p),
        width=info.width,
        height=info.height,
        binning_x=info.binning_x,
        binning_y=info.binning_y,
        roi=RegionOfInterest(roi.x_offset, roi.y_offset, roi.width, roi.height),
        source=source,
        K=tuple(float(value) for value in info.k),
        D=tuple(float(value) for value in info.d),
        R=tuple(float(value) for value in info.r),
        distortion_model=info.distortion_model,
    )


def stereo_camera(
    left: CameraInfo,
    right: CameraInfo,
    *,
    left_source: str = 'left/camera_info',
    right_source: str = 'right/camera_info',
) -> StereoCamera:
    """Return the stereo camera of a pair of CameraInfo messages.

    Raises :class:`CalibrationError`, which names the topic, the value and a likely cause. Takes
    some ten microseconds: call it for every pair, so that a new calibration counts at once.
    """
    return StereoCamera.from_projection(
        camera_model(left, source=left_source), camera_model(right, source=right_source)
    )


def shows_raw(setting: str, topic: str, model: CameraModel) -> bool | None:
    """Return whether the images of a topic are raw; None if neither says so.

    ``setting``: `color_calibration`. ``topic`` is empty where its name means nothing.
    """
    if setting != 'auto':
        return setting == 'raw'
    if not (any(model.P) and any(model.K)):
        return not any(model.P)  # the other one is all that there is
    *folders, name = topic.split('/')
    if 'rect' in name or 'raw' in name:
        return 'rect' not in name
    if 'rect' in folders or 'raw' in folders:
        return 'rect' not in folders
    return None
