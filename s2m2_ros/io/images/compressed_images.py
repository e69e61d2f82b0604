"""Compressed images as pixels; damaged and oversized ones are rejected before decoding.

Only JPEG and PNG, recognized by their content: other formats that OpenCV decodes could declare
any size in ways of their own, and no transport of ROS sends them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from s2m2_ros.io.images.image_formats import image_format
from s2m2_ros.io.images.image_headers import MAX_PIXELS, read_header
from s2m2_ros.io.images.jpeg_fill import is_filled

__all__ = ['MAX_PIXELS', 'announced_size', 'decompress']

ACCEPTED = ('JPEG', 'PNG')
VIDEO = ('H.264', 'H.265')


def decompress(
    data: array[int] | bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    expected_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Return the pixels, uint8 or uint16, (H, W) or (H, W, 3 or 4) in OpenCV's order B, G, R, A.

    Raises ValueError for data that is no JPEG or PNG, is damaged or cut short, or declares more
    than `max_pixels` or another size than expected.
    """
    encoded = bytes(data)
    if not encoded:
        raise ValueError('there is no data')
    name = image_format(encoded)
    if name in VIDEO:
        raise ValueError(
            f'it is a packet of {name} video, which depends on the packets before it; publish '
            'single images as JPEG or PNG, or the packets in the message type of their transport'
        )
    if name not in ACCEPTED:
        kind = f'it is a {name}' if name else 'it is neither a JPEG nor a PNG'
        raise ValueError(f'{kind}: only JPEG and PNG are accepted in compressed image messages')
    return decode_encoded(encoded, max_pixels=max_pixels, expected_size=expected_size)


def decode_encoded(
    encoded: bytes, *, max_pixels: int = MAX_PIXELS, expected_size: tuple[int, int] | None = None
) -> np.ndarray:
    """Return the pixels of an encoded image of any format that `read_header` knows.

    The same array and errors as of :func:`decompress`, of any type that OpenCV gives.
    """
    header = read_header(encoded)
    width, height = header.width, header.height
    if width < 1 or height < 1:
        raise ValueError(f'the {header.format} is empty: {width}x{height} pixels')
    if expected_size is not None and (width, height) != expected_size:
        raise ValueError(
            f'it declares {width}x{height} pixels, but {expected_size[0]}x{expected_size[1]} are '
            'expected'
        )
    if width * height > max_pixels:
        raise ValueError(
            f'it declares an implausible size of {width}x{height} pixels, more than {max_pixels}'
        )
    header.require_complete(encoded)
    pixels = _decoded(encoded)
    if pixels is None:
        raise ValueError(
            f'OpenCV cannot decode the {header.format}: it is damaged or of an unknown kind'
        )
    if sorted(pixels.shape[:2]) != sorted((height, width)):
        raise ValueError(f'the {header.format} does not have the size that its header says')
    if header.format == 'JPEG' and is_filled(encoded, pixels):
        raise ValueError('the JPEG is damaged: its data end before the image does')
    return np.asarray(pixels)


def _decoded(encoded: bytes) -> np.ndarray | None:
    """Return the pixels as OpenCV decodes them; None if it cannot."""
    try:
        with _quiet_opencv():
            return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep OpenCV from printing lines of its own for each damaged image of a camera."""
    # Old versions lack it.
    log: Any = getattr(getattr(cv2, 'utils', None), 'logging', None)
    if log is None:
        yield
        return
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)


def announced_size(encoded: bytes) -> tuple[int, int]:
    """Return the width and height in the header of a JPEG or PNG, (0, 0) where not found."""
    if image_format(encoded) not in ACCEPTED:
        return 0, 0
    try:
        header = read_header(encoded)
    except ValueError:
        return 0, 0
    return header.width, header.height
