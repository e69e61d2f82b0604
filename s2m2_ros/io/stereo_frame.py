"""What `stereo_player` plays: a stereo pair as messages, and messages made from arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest

from s2m2_ros.errors import S2M2Error
from s2m2_ros.geometry import CameraModel, StereoCamera
from s2m2_ros.io.calibration import read_calibration
from s2m2_ros.io.message_data import BIG_ENDIAN_HOST, fill

# (channels, dtype) of the images that are read from files, as ROS names them.
ENCODINGS = {
    (1, 'uint8'): 'mono8',
    (1, 'uint16'): 'mono16',
    (3, 'uint8'): 'rgb8',
    (3, 'uint16'): 'rgb16',
}


class PlaybackError(S2M2Error):
    """What was to be played cannot be: says which file or topic, and what to do."""


@dataclass(frozen=True)
class StereoFrame:
    """One stereo pair with its calibration.

    ``time`` is in seconds on the source's own clock, None where it has none (image files).
    """

    left: Image | CompressedImage
    right: Image | CompressedImage
    left_info: CameraInfo
    right_info: CameraInfo
    time: float | None = None

    @property
    def messages(self) -> tuple[Image | CompressedImage, Image | CompressedImage]:
        """Return the two images, left first."""
        return self.left, self.right


def image_message(pixels: np.ndarray, *, frame_id: str) -> Image:
    """Return the Image of an (H, W) or (H, W, 3) RGB array, uint8 or uint16."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    message = Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=ENCODINGS[channels, pixels.dtype.name],
        is_bigendian=BIG_ENDIAN_HOST,
        step=pixels.shape[1] * channels * pixels.itemsize,
    )
    fill(message.data, pixels)
    message.header.frame_id = frame_id
    return message


def read_camera_infos(
    calibration: Sequence[Path], image_size: tuple[int, int], frame_ids: Sequence[str]
) -> tuple[CameraInfo, CameraInfo]:
    """Return the CameraInfo of both cameras from what `read_calibration` reads.

    ``image_size`` is the width and height of the images. Raises
    :class:`~s2m2_ros.geometry.CalibrationError`, also where images and calibration do not fit.
    """
    models = read_calibration(calibration, image_size=image_size)
    StereoCamera.from_projection(*models).require_size(*image_size)
    left, right = (
        camera_info(model, frame_id) for model, frame_id in zip(models, frame_ids, strict=True)
    )
    return left, right


def camera_info(model: CameraModel, frame_id: str) -> CameraInfo:
    """Return the CameraInfo of a rectified camera (REP 104)."""
    P = [float(value) for value in model.P]
    roi = model.roi
    info = CameraInfo(
        width=model.width,
        height=model.height,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=[P[0], 0.0, P[2], 0.0, P[5], P[6], 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=P,
        binning_x=model.binning_x,
        binning_y=model.binning_y,
        roi=RegionOfInterest(
            x_offset=roi.x_offset,
            y_offset=roi.y_offset,
            width=roi.width,
            height=roi.height,
            do_rectify=bool(roi.width),
        ),
    )
    info.header.frame_id = frame_id
    return info
