"""The orientation that cameras and phones write beside an image, instead of turning its pixels."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from s2m2_ros.io.images.tiff_entries import tiff_entries

ORIENTATION_TAG = 274
UPRIGHT = 1


def orientation(exif: bytes) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) where none is written or it is damaged."""
    try:
        (found, *_) = tiff_entries(exif, (ORIENTATION_TAG,)).get(ORIENTATION_TAG, (UPRIGHT,))
    except (struct.error, OverflowError, ValueError):
        return UPRIGHT
    return found if found in range(1, 9) else UPRIGHT


def upright(pixels: npt.NDArray[Any], found: int) -> npt.NDArray[Any]:
    """Return the image (H, W) or (H, W, C) turned as its orientation says."""
    if found > 4:
        # 5 to 8: what is stored as a row is a column of the image.
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if found in (3, 4, 7, 8) else 1
    columns = -1 if found in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])
