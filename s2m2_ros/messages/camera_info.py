"""A camera of a calibration file as a CameraInfo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from s2m2_ros.geometry import CalibrationError, CameraModel
from s2m2_ros.messages.message_classes import new_message

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo

IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
# Model and coefficients of a rectified image. Not those of a fisheye: zeros are no pinhole there.
UNDISTORTED = 'plumb_bob', [0.0] * 5


def camera_info_message(model: CameraModel, header: Any, *, raw: bool = False) -> CameraInfo:
    """Return the CameraInfo of a camera whose images are rectified, or ``raw`` (REP 104).

    Raises CalibrationError if they are raw and nothing is known of the raw camera.
    """
    if raw and not (model.K and model.R):
        raise CalibrationError(
            f'{model.source}: describes rectified images only, but the images are raw: give a '
            'calibration with K, D and R of both cameras (left.yaml and right.yaml of '
            'camera_calibration), or set rectified to true if the images are rectified'
        )
    P = [float(value) for value in model.P]
    name, coefficients = UNDISTORTED
    roi = model.roi
    return new_message(
        'sensor_msgs/msg/CameraInfo',
        header,
        header=header,
        width=model.width,
        height=model.height,
        distortion_model=(model.distortion_model if raw else '') or name,
        d=[float(value) for value in model.D] if raw else coefficients,
        k=[float(value) for value in model.K] if raw else rectified_matrix(P),
        r=[float(value) for value in model.R] if raw else IDENTITY,
        p=P,
        binning_x=model.binning_x,
        binning_y=model.binning_y,
        roi=new_message(
            'sensor_msgs/msg/RegionOfInterest',
            header,
            x_offset=roi.x_offset,
            y_offset=roi.y_offset,
            width=roi.width,
            height=roi.height,
            do_rectify=bool(roi.width),
        ),
    )


def rectified_matrix(P: Sequence[float]) -> list[float]:
    """Return K (9 numbers) of the rectified image that P (12 numbers) describes."""
    return [P[0], 0.0, P[2], 0.0, P[5], P[6], 0.0, 0.0, 1.0]
