"""Compressed images as pixels; damaged and oversized ones are refused before they cost memory."""

from __future__ import annotations

from array import array

import cv2
import numpy as np

# A small file can announce a huge image; no camera of a stereo pair comes near this.
MAX_PIXELS = 1 << 27

JPEG_START = b'\xff\xd8'
JPEG_END = b'\xff\xd9'
# Start-of-frame markers, which hold the size; C4, C8 and CC are tables and extensions.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PNG_START = b'\x89PNG\r\n\x1a\n'
PNG_END = b'IEND'


def decompress(data: array[int] | bytes) -> np.ndarray:
    """Return the pixels, uint8 or uint16, (H, W) or (H, W, 3 or 4) in OpenCV's order B, G, R, A.

    Raises ValueError for data that is no image, truncated, or announces more than ``MAX_PIXELS``;
    cv2.error for what OpenCV refuses.
    """
    encoded = bytes(data)
    if not encoded:
        raise ValueError('there is no data')
    _require_complete(encoded)
    width, height = announced_size(encoded)
    if width * height > MAX_PIXELS:
        raise ValueError(f'it announces an absurd size of {width}x{height} pixels')
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError('OpenCV cannot decode it: damaged, or a format that it does not know')
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f'its pixels are {pixels.dtype}; only 8 and 16 bits are images here')
    return np.asarray(pixels)


def announced_size(encoded: bytes) -> tuple[int, int]:
    """Return the width and height in the header of a JPEG or PNG, (0, 0) where not found."""
    if encoded.startswith(PNG_START):
        return int.from_bytes(encoded[16:20], 'big'), int.from_bytes(encoded[20:24], 'big')
    if encoded.startswith(JPEG_START):
        return _jpeg_size(encoded)
    return 0, 0


def _jpeg_size(encoded: bytes) -> tuple[int, int]:
    position = len(JPEG_START)
    while position + 9 <= len(encoded) and encoded[position] == 0xFF:
        marker = encoded[position + 1]
        if marker in JPEG_FRAMES:
            height = int.from_bytes(encoded[position + 5 : position + 7], 'big')
            return int.from_bytes(encoded[position + 7 : position + 9], 'big'), height
        is_fill = marker == 0xFF
        length = int.from_bytes(encoded[position + 2 : position + 4], 'big')
        position += 1 if is_fill else 2 + length
    return 0, 0


def _require_complete(encoded: bytes) -> None:
    """Raise ValueError for a JPEG or PNG cut short, which OpenCV would fill up with grey."""
    for name, start, end in (('JPEG', JPEG_START, JPEG_END), ('PNG', PNG_START, PNG_END)):
        if encoded.startswith(start) and encoded.rfind(end) < 0:
            raise ValueError(f'the {name} is cut short')
