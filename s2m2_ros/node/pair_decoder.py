"""The messages of one pair as the pipeline's input."""

from __future__ import annotations

from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage

from s2m2_ros.errors import ImageError
from s2m2_ros.io.compressed_images import MAX_PIXELS
from s2m2_ros.io.pixel_range import PixelRange, scale_pair
from s2m2_ros.io.raw_image import RawImage
from s2m2_ros.io.ros_calibration import camera_model
from s2m2_ros.io.ros_images import decode_compressed_raw, decode_raw
from s2m2_ros.node.synchronizer import StereoMessages
from s2m2_ros.pipeline import PairInput

# A compressed image may be larger than its calibration says by this factor: two views in one.
LARGER = 4


def decode_pair(messages: StereoMessages, pixel_range: PixelRange | None = None) -> PairInput:
    """Return the images and calibrations that the messages hold.

    `pixel_range` keeps the range of deep images from pair to pair. Raises ImageError, which names
    the topic.
    """
    topics = messages.topics
    left, right = scale_pair(
        _decode(messages.left, messages.left_info, topics.left),
        _decode(messages.right, messages.right_info, topics.right),
        pixel_range or PixelRange(),
    )
    return PairInput(
        left=left,
        right=right,
        calibration=(
            camera_model(messages.left_info, source=topics.left_info),
            camera_model(messages.right_info, source=topics.right_info),
        ),
        left_name=topics.left,
        right_name=topics.right,
    )


def _decode(message: Any, info: CameraInfo, topic: str) -> RawImage:
    try:
        if not isinstance(message, CompressedImage):
            return decode_raw(message)
        expected = LARGER * info.width * info.height or MAX_PIXELS
        return decode_compressed_raw(message, max_pixels=min(expected, MAX_PIXELS))
    except ImageError as error:
        raise ImageError(f'{topic}: {error}') from error
