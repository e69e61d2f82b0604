"""OpenCV's semi-global block matcher, the yardstick beside every score."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 5
SUBPIXEL = 16


def is_available() -> bool:
    """Return whether OpenCV is installed."""
    return importlib.util.find_spec('cv2') is not None


def semi_global(
    left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8], *, range_share: float = 0.5
) -> npt.NDArray[np.float32]:
    """Return the disparity (H, W) of uint8 RGB images (H, W, 3) in pixels; holes are NaN.

    Hirschmueller 2008 in OpenCV's 3-way variant with 5x5 blocks and no consistency check, which
    would only add holes. It searches disparities from 0 to ``range_share`` of the width.
    """
    import cv2

    count = max(16, int(left.shape[1] * range_share) // 16 * 16)
    matcher: Any = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=count,
        blockSize=BLOCK,
        P1=8 * BLOCK**2,
        P2=32 * BLOCK**2,
        uniquenessRatio=5,
        speckleWindowSize=50,
        speckleRange=1,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    # OpenCV gives no estimate left of the search range; a margin moves that out of the picture.
    margins = ((0, 0), (count, 0))
    views = [
        np.pad(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), margins, mode='edge')
        for image in (left, right)
    ]
    fixed = matcher.compute(*views)[:, count:]
    return np.where(fixed < 0, np.nan, fixed / np.float32(SUBPIXEL)).astype(np.float32)


def fill_holes(disparity: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the disparity (H, W) with holes filled from the farther neighbour of their row.

    That is the usual guess for occlusions (Middlebury's own scripts do it). A row without any
    estimate becomes 0.
    """
    filled = np.empty_like(disparity)
    columns = np.arange(disparity.shape[1])
    for row, values in enumerate(disparity):
        known = np.flatnonzero(np.isfinite(values))
        if known.size == 0:
            filled[row] = 0.0
            continue
        place = np.searchsorted(known, columns)
        after = values[known[np.minimum(place, known.size - 1)]]
        before = values[known[np.maximum(np.where(place < known.size, place, known.size) - 1, 0)]]
        filled[row] = np.where(np.isfinite(values), values, np.minimum(before, after))
    return filled
