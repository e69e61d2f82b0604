"""Errors and distributions as pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatMap = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

# Upper ends of the error classes in pixels, and their colors: from right (blue) to wrong (red).
_ERROR_STEPS = (0.5, 1.0, 2.0, 4.0)
_ERROR_COLORS = np.array(
    [[49, 54, 149], [116, 173, 209], [255, 255, 191], [253, 141, 60], [165, 0, 38]], np.uint8
)
_UNKNOWN = 0


def error_picture(estimate: FloatMap, truth: FloatMap) -> Picture:
    """Return the error (H, W, 3) in classes up to 0.5, 1, 2, 4 px and above.

    Pixels without truth are black; pixels without an estimate are wrong.
    """
    error = np.where(np.isfinite(estimate), np.abs(estimate - truth), np.inf)
    colors = _ERROR_COLORS[np.searchsorted(_ERROR_STEPS, error)]
    return np.where(np.isfinite(truth)[..., None], colors, _UNKNOWN).astype(np.uint8)


def histogram_picture(values: FloatMap, width: int, height: int, *, bins: int = 64) -> Picture:
    """Return a bar chart (height, width, 3) of ``values`` from 0 to their largest."""
    counts, _ = np.histogram(values, bins=bins, range=(0.0, max(float(values.max()), 1.0)))
    heights = counts / max(counts.max(), 1) * (height - 1)
    bar = np.minimum(np.arange(width) * bins // width, bins - 1)
    filled = np.arange(height)[::-1, None] < heights[bar][None]
    gray = np.where(filled, 220, 30).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)
