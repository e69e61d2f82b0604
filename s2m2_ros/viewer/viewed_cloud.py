"""What is drawn of a cloud: which of its points, and in which colors."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

# A browser draws so many points at full speed on a laptop without a graphics card.
MOST_POINTS = 400_000
# Points without a color.
GRAY = 160
# Of the values that get different colors: single points far away would leave one to the rest.
PERCENTILES = (2, 98)

Floats = npt.NDArray[np.float32]
Colors = npt.NDArray[np.uint8]


class ColorMode(str, Enum):
    """What the color of a point says."""

    IMAGE = 'image'
    DISTANCE = 'distance'
    HEIGHT = 'height'
    CONFIDENCE = 'confidence'


@dataclass(frozen=True, eq=False)
class ViewedCloud:
    """Points with what is known of them.

    Attributes:
        points: x, y, z in meters, float32 (N, 3), finite, N > 0.
        colors: RGB, uint8 (N, 3); None where the cloud has none.
        confidence: 0 to 1, float32 (N,); None where it is unknown.

    """

    points: Floats
    colors: Colors | None = None
    confidence: Floats | None = None

    @property
    def is_optical(self) -> bool:
        """Whether all lies before a camera that looks along z, with y down; else z is up."""
        return bool(self.points[:, 2].min() > 0)

    @property
    def distance(self) -> float:
        """Median distance of the points from the origin in meters."""
        return float(np.median(np.linalg.norm(self.points, axis=1)))

    def thinned(self, most: int = MOST_POINTS) -> ViewedCloud:
        """Return at most so many of the points, evenly from all of them."""
        step = -(-len(self.points) // most)
        return self if step == 1 else self._part(slice(None, None, step))

    def confident(self, minimum: float) -> ViewedCloud:
        """Return the points of at least this confidence; all where it is unknown or 0."""
        if self.confidence is None or minimum <= 0:
            return self
        return self._part(self.confidence >= minimum)

    def colored_by(self, mode: ColorMode) -> Colors:
        """Return RGB, uint8 (N, 3); blue is far, low or unsure, red is near, high or sure."""
        if mode is ColorMode.DISTANCE:
            return _turbo(_spread(-np.linalg.norm(self.points, axis=1)))
        if mode is ColorMode.HEIGHT:
            return _turbo(_spread(-self.points[:, 1] if self.is_optical else self.points[:, 2]))
        if mode is ColorMode.CONFIDENCE and self.confidence is not None:
            return _turbo(self.confidence)
        if self.colors is not None:
            return self.colors
        return np.full(self.points.shape, GRAY, np.uint8)

    def _part(self, chosen: Any) -> ViewedCloud:
        return ViewedCloud(
            self.points[chosen],
            None if self.colors is None else self.colors[chosen],
            None if self.confidence is None else self.confidence[chosen],
        )


def _spread(values: Floats) -> Floats:
    """Return values as 0 to 1 between their percentiles, clipped."""
    if not len(values):
        return values
    low, high = np.percentile(values, PERCENTILES)
    spread: Floats = (values - low) / max(high - low, 1e-6)
    return spread


def _turbo(values: Floats) -> Colors:
    """Return RGB (N, 3) of values from 0, blue, to 1, red."""
    if not len(values):
        return np.empty((0, 3), np.uint8)
    levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8).reshape(-1, 1)
    colored = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)
    return np.ascontiguousarray(colored[:, 0, ::-1])
