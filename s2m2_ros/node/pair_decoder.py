"""The messages of one pair as the pipeline's input."""

from __future__ import annotations

from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage

from s2m2_ros.errors import ImageError
from s2m2_ros.io.ros_calibration import camera_model
from s2m2_ros.io.ros_images import decode_compressed_image, decode_image
from s2m2_ros.node.synchronizer import StereoMessages
from s2m2_ros.pipeline import PairInput


def decode_pair(messages: StereoMessages) -> PairInput:
    """Return the images and calibrations that the messages hold.

    Raises ImageError, which names the topic.
    """
    topics = messages.topics
    return PairInput(
        left=_decode(messages.left, topics.left),
        right=_decode(messages.right, topics.right),
        calibration=(
            camera_model(messages.left_info, source=topics.left_info),
            camera_model(messages.right_info, source=topics.right_info),
        ),
        left_name=topics.left,
        right_name=topics.right,
    )


def _decode(message: Any, topic: str) -> np.ndarray:
    compressed = isinstance(message, CompressedImage)
    try:
        return decode_compressed_image(message) if compressed else decode_image(message)
    except ImageError as error:
        raise ImageError(f'{topic}: {error}') from error
