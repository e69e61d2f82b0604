"""Image and CompressedImage messages, of rclpy or of rosbags, as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from s2m2_ros.errors import ImageError
from s2m2_ros.io.images.compressed_images import MAX_PIXELS, decompress
from s2m2_ros.io.images.encodings import ENCODINGS, UNNAMED, find_layout
from s2m2_ros.io.images.pixel_layouts import ImageBytes, Interleaved, LayoutError, to_rgb
from s2m2_ros.io.images.pixel_range import PixelRange, scale
from s2m2_ros.io.images.raw_image import RawImage, raw_image
from s2m2_ros.text_safety import safe_text

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image


def decode_raw(message: Image) -> RawImage:
    """Return the pixels of an image as the camera sent them, for `scale_pair`.

    mono8, rgb8 and rgba8 come back as views of ``message.data`` (any ``step``), which must not be
    changed meanwhile; everything else is converted into a new array. Three or four channels that
    name no colors (8UC3, as publishers send who leave the encoding to cv_bridge) are taken in
    OpenCV's order B, G, R, A. Raises :class:`ImageError`.
    """
    layout = find_layout(message.encoding)
    if layout is None:
        return _through_cv_bridge(message)
    if message.height < 1 or message.width < 1:
        raise ImageError(f'{_facts(message)}: the image is empty')
    image = ImageBytes(
        message.data, message.width, message.height, message.step, bool(message.is_bigendian)
    )
    try:
        return layout.decode(image)
    except LayoutError as error:
        raise ImageError(f'{_facts(message)}: {error}') from error
    except cv2.error as error:
        raise ImageError(
            f'{_facts(message)}: OpenCV cannot convert it: {safe_text(error)}'
        ) from error


def decode_image(message: Image) -> np.ndarray:
    """Return the image as (H, W) gray or (H, W, 3) RGB, uint8, or float32 in 0..255.

    As :func:`decode_raw`, and 16 bits are scaled by their full range: 65535 is 255.0.
    """
    return _full_range(decode_raw(message))


def decode_compressed_raw(
    message: CompressedImage,
    *,
    max_pixels: int = MAX_PIXELS,
    expected_size: tuple[int, int] | None = None,
) -> RawImage:
    """Return the pixels of a compressed image as they are stored, for `scale_pair`.

    Understands the ``format`` strings of compressed_image_transport ('rgb8; jpeg compressed
    bgr8', 'bayer_rggb8; png compressed ', 'jpeg', ...); the data must be a JPEG or a PNG, whatever
    the format says.

    Args:
        message: the message.
        max_pixels: reject larger images before they are decoded.
        expected_size: width and height that the image must have, if they are known; another size
            is rejected before it is decoded.

    Raises ImageError.
    """
    original, _, compression = message.format.partition(';')
    facts = f'compressed image, format {_shown(message.format)}, {len(message.data)} bytes'
    if 'compressedDepth' in compression:
        raise ImageError(f'{facts}: a depth image, not one of a camera')
    try:
        pixels = decompress(message.data, max_pixels=max_pixels, expected_size=expected_size)
        if pixels.ndim == 2:
            layout = find_layout(original)
            if isinstance(layout, Interleaved) and layout.channels == 1:
                return raw_image(to_rgb(pixels, layout.to_rgb), bits=layout.bits)
            return raw_image(pixels)
        # The transport writes an image that it did not convert to BGR with its channels swapped.
        is_rgb = 'compressed rgb' in compression
        return raw_image(to_rgb(pixels, None if is_rgb else UNNAMED[pixels.shape[2]]))
    except (cv2.error, ValueError) as error:
        raise ImageError(f'{facts}: {safe_text(error)}') from error


def decode_compressed_image(
    message: CompressedImage, *, expected_size: tuple[int, int] | None = None
) -> np.ndarray:
    """Return the decompressed image, as :func:`decode_image` does. Raises :class:`ImageError`.

    ``expected_size``: as in :func:`decode_compressed_raw`.
    """
    return _full_range(decode_compressed_raw(message, expected_size=expected_size))


def _through_cv_bridge(message: Image) -> RawImage:
    """Return what cv_bridge makes of an encoding that is not in our table; raises ImageError.

    It is asked last: released versions garble padded rows of some encodings.
    """
    unknown = f'{_facts(message)}: unknown encoding; it must be one of {", ".join(ENCODINGS)}'
    try:
        from cv_bridge import CvBridge

        pixels = np.asarray(CvBridge().imgmsg_to_cv2(message, desired_encoding='rgb8'))
    except Exception as error:  # cv_bridge raises what its C++ or OpenCV raise
        raise ImageError(unknown) from error
    if pixels.dtype != np.uint8 or pixels.shape[:2] != (message.height, message.width):
        raise ImageError(unknown)
    return raw_image(pixels)


def _full_range(image: RawImage) -> np.ndarray:
    (values,) = PixelRange('full').update([image])
    return scale(image, values)


def _facts(message: Image) -> str:
    return (
        f'image {message.width}x{message.height}, encoding {_shown(message.encoding)}, step '
        f'{message.step}, {len(message.data)} bytes of data'
    )


def _shown(text: str) -> str:
    """Return a publisher's text, quoted, cut and without control characters."""
    return f"'{safe_text(text)}'"
