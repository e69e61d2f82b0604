"""Image and CompressedImage messages as arrays for the matcher."""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from s2m2_ros.errors import ImageError
from s2m2_ros.io.compressed_images import decompress
from s2m2_ros.text_safety import safe_text


@dataclass(frozen=True)
class Encoding:
    """How pixels lie in memory, and the OpenCV code that makes them RGB (None: they are so)."""

    channels: int
    itemsize: int = 1
    to_rgb: int | None = None


YUV_ENCODINGS = {
    'yuv422': Encoding(2, to_rgb=cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': Encoding(2, to_rgb=cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': Encoding(2, to_rgb=cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': Encoding(2, to_rgb=cv2.COLOR_YUV2RGB_YUY2),
}
# ROS names a mosaic after its first row and column, OpenCV after its second.
BAYER_TO_RGB = {
    'bayer_rggb': cv2.COLOR_BayerBG2RGB,
    'bayer_grbg': cv2.COLOR_BayerGB2RGB,
    'bayer_gbrg': cv2.COLOR_BayerGR2RGB,
    'bayer_bggr': cv2.COLOR_BayerRG2RGB,
}
COLORS = {
    'mono': Encoding(1),
    'rgb': Encoding(3),
    'bgr': Encoding(3, to_rgb=cv2.COLOR_BGR2RGB),
    'rgba': Encoding(4),
    'bgra': Encoding(4, to_rgb=cv2.COLOR_BGRA2RGB),
    **{name: Encoding(1, to_rgb=code) for name, code in BAYER_TO_RGB.items()},
}
ENCODINGS = {
    **YUV_ENCODINGS,
    '8UC1': Encoding(1),
    '16UC1': Encoding(1, itemsize=2),
    **{f'{name}8': encoding for name, encoding in COLORS.items()},
    **{
        f'{name}16': Encoding(encoding.channels, 2, encoding.to_rgb)
        for name, encoding in COLORS.items()
    },
}

# OpenCV's own order, by number of channels.
_BGR_TO_RGB = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}


def decode_image(message: Image) -> np.ndarray:
    """Return the image as (H, W) grey or (H, W, 3) RGB, uint8, or float32 in 0..255.

    mono8, rgb8 and rgba8 come back as views of ``message.data`` (any ``step``), which must not be
    changed meanwhile; everything else is converted into a new array. 16-bit encodings, grey
    or colour, in either byte order, become float32 divided by 257, so that 65535 is 255.0: a
    sensor of fewer bits must be scaled to 16 bits by its driver, as ROS expects. Encodings
    beyond those of ``ENCODINGS`` go through cv_bridge; three or four channels that name no
    colours (8UC3, as publishers send who leave the encoding to cv_bridge) are taken in OpenCV's
    order B, G, R, A. Raises :class:`ImageError`.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        return _through_cv_bridge(message)
    pixels = _pixels(message, encoding)
    try:
        return to_grey_or_rgb(pixels, encoding.to_rgb)
    except cv2.error as error:
        raise ImageError(
            f'{_facts(message)}: OpenCV cannot convert it: {safe_text(error)}'
        ) from error


def decode_compressed_image(message: CompressedImage) -> np.ndarray:
    """Return the decompressed image, as :func:`decode_image` does. Raises :class:`ImageError`.

    Understands the ``format`` strings of compressed_image_transport ('rgb8; jpeg compressed
    bgr8', 'bayer_rggb8; png compressed ', 'jpeg', ...) and whatever OpenCV can decode.
    """
    original, _, compression = message.format.partition(';')
    facts = f"compressed image, format '{safe_text(message.format)}', {len(message.data)} bytes"
    if 'compressedDepth' in compression:
        raise ImageError(f'{facts}: a depth image, not one of a camera')
    try:
        pixels = decompress(message.data)
        mosaic = BAYER_TO_RGB.get(original.strip().rstrip('168'))
        if pixels.ndim == 2:
            return to_grey_or_rgb(pixels, mosaic)
        # The transport writes an image that it did not convert to BGR with its channels swapped.
        if 'compressed rgb' in compression:
            return to_grey_or_rgb(pixels[..., :3], None)
        return to_grey_or_rgb(pixels, _BGR_TO_RGB[pixels.shape[2]])
    except (cv2.error, ValueError) as error:
        raise ImageError(f'{facts}: {safe_text(error)}') from error


def to_grey_or_rgb(pixels: np.ndarray, code: int | None) -> np.ndarray:
    """Return (H, W) or (H, W, 3), uint8 or float32 in 0..255, from uint8 or uint16 pixels."""
    if code is not None:
        pixels = np.asarray(cv2.cvtColor(pixels, code))
    elif pixels.ndim == 3:
        pixels = pixels[..., :3]
    return np.divide(pixels, np.float32(257)) if pixels.dtype == np.uint16 else pixels


def _pixels(message: Image, encoding: Encoding) -> np.ndarray:
    """Return (H, W) or (H, W, channels), uint8 or native uint16: a view if the layout allows."""
    _require_complete(message, message.width * encoding.channels * encoding.itemsize)
    order = '>' if message.is_bigendian else '<'
    channels = () if encoding.channels == 1 else (encoding.channels,)
    size = encoding.itemsize
    strides = (message.step, encoding.channels * size, size)[: 2 + len(channels)]
    view: np.ndarray = np.ndarray(
        (message.height, message.width, *channels),
        dtype=f'{order}u{size}',
        buffer=message.data,
        strides=strides,
    )
    if size == 1:
        return view
    return np.require(view.astype(np.uint16, copy=False), requirements='A')


def _require_complete(message: Image, row_bytes: int) -> None:
    if message.height < 1 or message.width < 1:
        raise ImageError(f'{_facts(message)}: the image is empty')
    if message.step < row_bytes:
        raise ImageError(f'{_facts(message)}: a row needs {row_bytes} bytes, more than the step')
    needed = message.step * (message.height - 1) + row_bytes
    if len(message.data) < needed:
        raise ImageError(f'{_facts(message)}: the data should hold {needed} bytes')


def _facts(message: Image) -> str:
    return (
        f"image {message.width}x{message.height}, encoding '{safe_text(message.encoding)}', "
        f'step {message.step}, {len(message.data)} bytes of data'
    )


def _through_cv_bridge(message: Image) -> np.ndarray:
    _require_complete(message, 1)
    nameless = re.fullmatch('(?:8|16)UC([34])', message.encoding)
    try:
        from cv_bridge import CvBridge

        desired = 'passthrough' if nameless else 'rgb8'
        pixels = np.asarray(CvBridge().imgmsg_to_cv2(message, desired_encoding=desired))
        return to_grey_or_rgb(pixels, _BGR_TO_RGB[int(nameless[1])] if nameless else None)
    except ImportError as error:
        raise ImageError(f'{_facts(message)}: this encoding needs cv_bridge: {error}') from error
    except Exception as error:  # cv_bridge raises what its C++ or OpenCV raise
        raise ImageError(
            f'{_facts(message)}: neither this node nor cv_bridge can convert it '
            f'({safe_text(error)}); use '
            f'one of {", ".join(ENCODINGS)}'
        ) from error
