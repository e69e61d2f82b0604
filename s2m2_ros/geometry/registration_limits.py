"""Limits of registration, for torch and for the compiled loops alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from s2m2_ros.geometry.stereo_camera import StereoCamera

# Neighbors lie on one surface if their disparities differ by at most so many pixels, or by this
# fraction: as the filter of flying pixels takes it.
SAME_SURFACE_STEP = 0.5
SAME_SURFACE_FRACTION = 0.02
# Nothing nearer to the other camera than this, in meters, is projected.
NEAREST = 0.01
# A pixel covers at most so many pixels to each side: more comes from points at the lens.
LARGEST_EXTENT = 16.0
# A pixel covers one of a coarser image as well.
SMALLEST_EXTENT = 0.5
# There its surface goes on for so many times its own size at most.
LARGEST_REACH = 8.0
# A rectangle is covered so many left pixels beyond the surface of a pixel that is turned in it, so
# that no gaps stay between pixels whose shapes differ.
OVERLAP = 0.1
# A pixel that covers less than this, in square pixels, is seen edge-on.
EDGE_ON = 1e-6


@dataclass(frozen=True)
class DepthRange:
    """Left depths that are kept, meters along the left optical axis, both limits included."""

    nearest: float = 0.0
    farthest: float = math.inf


@dataclass(frozen=True)
class Tolerance:
    """How far inverse depths on one surface differ between neighbors: the larger of the two."""

    step: float
    fraction: float = SAME_SURFACE_FRACTION

    @classmethod
    def of(cls, camera: StereoCamera) -> Tolerance:
        """Return the tolerance of a stereo camera."""
        return cls(SAME_SURFACE_STEP / (camera.focal_length * camera.baseline))

    def agree(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return where two inverse depths may be of one surface; False where one is NaN."""
        allowed = (torch.maximum(a, b) * self.fraction).clamp_(min=self.step)
        return (a - b).abs() <= allowed
