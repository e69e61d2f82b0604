"""Image and CompressedImage messages as arrays for the matcher."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from s2m2_ros.errors import S2M2Error


class ImageError(S2M2Error):
    """An image message that cannot be decoded; says encoding, size, step and data length."""


def decode_image(message: Image) -> np.ndarray:
    """Return the image as (H, W) grey or (H, W, 3) RGB, uint8, or float32 in 0..255.

    mono8, rgb8 and rgba8 come back as views of ``message.data`` (any ``step``), which must not be
    changed meanwhile; everything else is converted into a new array. 16-bit encodings, grey
    or colour, in either byte order, become float32 divided by 257, so that 65535 is 255.0: a
    sensor of fewer bits must be scaled to 16 bits by its driver, as ROS expects. Encodings
    beyond those of sensor_msgs that are handled here go through cv_bridge. Raises
    :class:`ImageError`.
    """
    raise NotImplementedError


def decode_compressed_image(message: CompressedImage) -> np.ndarray:
    """Return the decompressed image, as :func:`decode_image` does. Raises :class:`ImageError`.

    Understands the ``format`` strings of compressed_image_transport ('rgb8; jpeg compressed
    bgr8', 'bayer_rggb8; png compressed ', 'jpeg', ...) and whatever OpenCV can decode.
    """
    raise NotImplementedError
