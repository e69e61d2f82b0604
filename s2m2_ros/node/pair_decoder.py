"""The messages of one pair as the pipeline's input."""

from __future__ import annotations

from typing import Any

from sensor_msgs.msg import CompressedImage

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError, CameraModel
from s2m2_ros.io.pixel_range import PixelRange, scale_pair
from s2m2_ros.io.raw_image import RawImage
from s2m2_ros.io.ros_calibration import camera_model
from s2m2_ros.io.ros_images import decode_compressed_raw, decode_raw
from s2m2_ros.node.synchronizer import StereoMessages
from s2m2_ros.pipeline import PairInput


def decode_pair(messages: StereoMessages, pixel_range: PixelRange) -> PairInput:
    """Return the images, scaled by `pixel_range`, and calibrations that the messages hold.

    Raises ImageError, which names the topic.
    """
    topics = messages.topics
    calibration = (
        camera_model(messages.left_info, source=topics.left_info),
        camera_model(messages.right_info, source=topics.right_info),
    )
    raw = (
        _decode(messages.left, topics.left, calibration[0]),
        _decode(messages.right, topics.right, calibration[1]),
    )
    try:
        left, right = scale_pair(*raw, pixel_range)
    except ImageError as error:
        raise ImageError(f'{topics.left} and {topics.right}: {error}') from error
    note = pixel_range.note
    remarks = (f'{topics.left} and {topics.right}: {note.text}',) if note else ()
    suspicious = note is not None and note.is_warning
    return PairInput(
        left=left,
        right=right,
        calibration=calibration,
        left_name=topics.left,
        right_name=topics.right,
        notes=() if suspicious else remarks,
        warnings=remarks if suspicious else (),
    )


def _decode(message: Any, topic: str, model: CameraModel) -> RawImage:
    try:
        if isinstance(message, CompressedImage):
            return decode_compressed_raw(message, expected_size=_expected_size(model))
        return decode_raw(message)
    except ImageError as error:
        raise ImageError(f'{topic}: {error}') from error


def _expected_size(model: CameraModel) -> tuple[int, int] | None:
    """Return width and height of the image as sent; None if the calibration does not say."""
    try:
        projection = model.image_projection()
    except CalibrationError:
        return None
    return projection.width, projection.height
