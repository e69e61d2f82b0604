"""Images of any topic as small pictures for people."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from s2m2_ros.io.images.image_files import disparity_picture
from s2m2_ros.io.images.pixel_range import PixelRange, scale
from s2m2_ros.io.images.raw_image import RawImage
from s2m2_ros.io.images.ros_images import decode_compressed_raw, decode_raw

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
# As wide as it is shown.
WIDEST = 480
# Encodings of measured values: depth in meters or millimeters, confidence.
MEASURED = ('32FC1', '16UC1')

Picture = npt.NDArray[np.uint8]


def picture_of(message: Any) -> Picture:
    """Return an Image or CompressedImage as (H, W, 3) RGB of at most `WIDEST` columns.

    Measured values are colored from blue, the lowest, to red; unknown ones are black. Raises
    ImageError.
    """
    if hasattr(message, 'format'):
        return _camera_picture(decode_compressed_raw(message))
    image = decode_raw(message)
    if message.encoding in MEASURED:
        values = _small(image.pixels.astype(np.float32), cv2.INTER_NEAREST)
        return disparity_picture(np.where(values == 0, np.float32(np.nan), values))
    return _camera_picture(image)


def _camera_picture(image: RawImage) -> Picture:
    (values,) = PixelRange('auto').update([image])
    pixels = scale(image, values).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return _small(pixels, cv2.INTER_AREA)


def _small(pixels: npt.NDArray[Any], how: int) -> npt.NDArray[Any]:
    height, width = pixels.shape[:2]
    if width <= WIDEST:
        return pixels
    size = WIDEST, max(1, round(height * WIDEST / width))
    return np.asarray(cv2.resize(pixels, size, interpolation=how))
