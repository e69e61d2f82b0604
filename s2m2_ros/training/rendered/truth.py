"""Exact disparity and visibility from the depth of both views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from s2m2_ros.training.rendered.geometry import FloatArray

OVERSAMPLING = 4
"""Columns of the right view's depth to a pixel, so that edges are known to a quarter pixel."""

TOLERANCE = 0.05
"""Disparities closer than this, in pixels, belong to one surface."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera, without distortion; the principal point is the image's center."""

    width: int
    height: int
    focal_length: float
    """Pixels."""

    @property
    def center(self) -> tuple[float, float]:
        """Return the principal point (cx, cy) in pixels; pixel centers are whole numbers."""
        return (self.width - 1) / 2, (self.height - 1) / 2


def disparity_of(inverse_depth: FloatArray, *, focal_length: float, baseline: float) -> FloatArray:
    """Return the disparity in pixels of an inverse depth in 1/m; ``baseline`` in meters."""
    return (focal_length * baseline * inverse_depth).astype(np.float32)


def visibility_of(left: FloatArray, right: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which left pixels (H, W) the right view shows.

    ``left`` are disparities at pixel centers, ``right`` (H, OVERSAMPLING * W) those of the right
    view at sample j, whose column is (j + 0.5) / OVERSAMPLING - 0.5. A point is hidden if it
    lies outside of the right image or both samples around it are nearer.
    """
    height, width = left.shape
    position = np.arange(width) - left
    sample = (position + 0.5) * OVERSAMPLING - 0.5
    before = np.floor(sample).astype(np.int64)
    rows = np.arange(height)[:, None]
    last = right.shape[1] - 1
    nearest = np.minimum(
        right[rows, before.clip(0, last)], right[rows, (before + 1).clip(0, last)]
    )
    within = (position >= 0) & (position <= width - 1)
    visible: npt.NDArray[np.bool_] = within & (nearest <= left + TOLERANCE)
    return visible
