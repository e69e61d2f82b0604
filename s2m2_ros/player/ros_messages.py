"""Frames of a source as messages of rclpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from s2m2_ros.geometry import CameraModel
from s2m2_ros.io.message_data import fill, fill_image
from s2m2_ros.io.sources.stereo_frame import StereoFrame
from s2m2_ros.messages.camera_info import camera_info_message
from s2m2_ros.messages.message_classes import message_class
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
class PlayedMessages:
    """One stereo pair with its calibration as messages of rclpy."""

    left: Image | CompressedImage
    right: Image | CompressedImage
    left_info: CameraInfo
    right_info: CameraInfo


def stereo_messages(
    frame: StereoFrame, frame_ids: tuple[str, str], *, raw: bool = False
) -> PlayedMessages:
    """Return a frame's messages; ``frame_ids`` are those of images that name none.

    ``raw`` says that the images of a calibration file are not rectified. Raises CalibrationError
    if they are raw and the file does not describe the raw cameras.
    """
    images = [_image(image) for image in (frame.left, frame.right)]
    infos = [_info(info, raw=raw) for info in (frame.left_info, frame.right_info)]
    for image, info, frame_id in zip(images, infos, frame_ids, strict=True):
        image.header.frame_id = image.header.frame_id or frame_id
        info.header.frame_id = info.header.frame_id or image.header.frame_id
    return PlayedMessages(*images, *infos)


def _image(image: Any) -> Any:
    return image_message(image) if isinstance(image, np.ndarray) else image_from_rosbags(image)


def image_from_rosbags(image: Any) -> Any:
    """Return what `from_rosbags` does for an Image or CompressedImage, in one memory copy.

    The deserialization of rclpy takes 13 ms for 1280x720 rgb8, this half a millisecond.
    """
    message = message_class(image.__msgtype__)()
    for name in message.get_fields_and_field_types():
        if name not in ('header', 'data'):
            setattr(message, name, getattr(image, name))
    fill(message.data, image.data)
    stamp = image.header.stamp
    message.header.stamp.sec, message.header.stamp.nanosec = stamp.sec, stamp.nanosec
    message.header.frame_id = image.header.frame_id
    return message


def _info(info: Any, *, raw: bool) -> Any:
    return camera_info(info, raw=raw) if isinstance(info, CameraModel) else from_rosbags(info)


def image_message(pixels: np.ndarray, *, frame_id: str = '') -> Image:
    """Return the Image of an (H, W) or (H, W, 3) RGB array, uint8, uint16 or float32."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    message = Image()
    fill_image(message, pixels, ENCODINGS[channels, pixels.dtype.name])
    message.header.frame_id = frame_id
    return message


def camera_info(model: CameraModel, frame_id: str = '', *, raw: bool = False) -> CameraInfo:
    """Return the CameraInfo of a camera, see `camera_info_message`."""
    return camera_info_message(model, Header(frame_id=frame_id), raw=raw)
