"""OpenCV's semi-global block matcher, the reference for every score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from s2m2_ros.inference.matcher import StereoMatcher


def open_baseline() -> StereoMatcher:
    """Return the `sgbm` backend as users run it; its holes are NaN. Needs OpenCV alone.

    Raises BackendError where OpenCV is missing.
    """
    return StereoMatcher.open(backend='sgbm', device='cpu')


def fill_holes(disparity: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the disparity (H, W) with holes filled from the farther neighbor of their row.

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
