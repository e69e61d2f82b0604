"""Frames of a source as messages of rclpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest

from s2m2_ros.geometry import CameraModel
from s2m2_ros.io.message_data import BIG_ENDIAN_HOST, fill
from s2m2_ros.io.stereo_frame import StereoFrame
from s2m2_ros.player.ros_serialization import from_rosbags

# (channels, dtype) of pixels, as ROS names them.
ENCODINGS = {
    (1, 'uint8'): 'mono8',
    (1, 'uint16'): 'mono16',
    (1, 'float32'): '32FC1',
    (3, 'uint8'): 'rgb8',
    (3, 'uint16'): 'rgb16',
    (3, 'float32'): '32FC3',
}


@dataclass(frozen=True)
class StereoMessages:
    """One stereo pair with its calibration as messages of rclpy."""

    left: Image | CompressedImage
    right: Image | CompressedImage
    left_info: CameraInfo
    right_info: CameraInfo


def stereo_messages(frame: StereoFrame, frame_ids: tuple[str, str]) -> StereoMessages:
    """Return a frame's messages; ``frame_ids`` are those of images that name none."""
    images = [_image(image) for image in (frame.left, frame.right)]
    infos = [_info(info) for info in (frame.left_info, frame.right_info)]
    for image, info, frame_id in zip(images, infos, frame_ids, strict=True):
        image.header.frame_id = image.header.frame_id or frame_id
        info.header.frame_id = info.header.frame_id or image.header.frame_id
    return StereoMessages(*images, *infos)


def _image(image: Any) -> Any:
    return image_message(image) if isinstance(image, np.ndarray) else from_rosbags(image)


def _info(info: Any) -> Any:
    return camera_info(info) if isinstance(info, CameraModel) else from_rosbags(info)


def image_message(pixels: np.ndarray, *, frame_id: str = '') -> Image:
    """Return the Image of an (H, W) or (H, W, 3) RGB array, uint8, uint16 or float32."""
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


def camera_info(model: CameraModel, frame_id: str = '') -> CameraInfo:
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
