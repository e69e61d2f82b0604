"""Rays through free space: where each one ends, as a small cloud.

A costmap removes an obstacle only where a ray passes through it, so that it needs the points which
a cloud of obstacles leaves out: the floor, what is far away, and the sky.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from s2m2_ros.geometry.cloud import RigidTransform
from s2m2_ros.geometry.filters import DisparityMaps, FlyingPixelFilter, flying_pixels
from s2m2_ros.geometry.stereo_camera import StereoCamera

# The confidence is the probability that the error is under 4 px: a trusted disparity may lie so
# far beyond infinity; a point further beyond it is a wrong match.
LARGEST_TRUSTED_ERROR = 4.0
# Fractions of the decimation by which the first row and column move: 1 / g and 1 / g^2, where g is
# the real root of g^3 = g + 1. Any few consecutive phases are spread evenly over the pixels.
PHASE_STEPS = (0.7548776662466927, 0.5698402909980532)


@dataclass(frozen=True)
class ClearingOptions:
    """Which pixels give a ray, and how far it goes.

    ``decimation``: every n-th row and column. ``phase``: which of those; counted up from
    pair to pair, every direction gets its turn and no voxel stays between two rays. ``max_range``:
    the distance from the left camera, in meters, at which longer rays end. ``min_confidence`` and
    ``min_visibility`` are in [0, 1]; a pixel gives a ray from that value on. ``flying_pixels``:
    those that it removes give none.
    """

    decimation: int = 8
    phase: int = 0
    max_range: float = 10.0
    min_confidence: float = 0.5
    min_visibility: float = 0.5
    flying_pixels: FlyingPixelFilter = field(default_factory=FlyingPixelFilter)

    def __post_init__(self) -> None:
        if self.decimation < 1:
            raise ValueError(f'decimation = {self.decimation} must be at least 1')
        if not 0 < self.max_range < math.inf:
            raise ValueError(f'max_range = {self.max_range} m must be positive and finite')

    @property
    def first(self) -> tuple[int, int]:
        """Return the first row and column."""
        row, column = (int(self.decimation * (self.phase * s % 1.0)) for s in PHASE_STEPS)
        return row, column


def clearing_points(
    camera: StereoCamera,
    maps: DisparityMaps,
    options: ClearingOptions,
    transform: RigidTransform | None = None,
) -> torch.Tensor:
    """Return the end of each ray, float32 (H', W', 3) in meters, NaN where there is none.

    They lie in the left optical frame, with ``transform`` in its frame. ``maps``: (H, W). A ray
    ends at the surface, or at ``max_range`` where the surface lies beyond it or at infinity. A
    pixel whose disparity is unknown gives no ray, since unknown space is not free; `rays_only`
    leaves it out. Raises CalibrationError if the size is not the camera's.
    """
    height, width = maps.disparity.shape
    camera.require_size(width, height)
    step, (row, column) = options.decimation, options.first
    # Not `camera.adjusted`, which does not tell infinity from unknown.
    disparity = maps.disparity.float() - camera.principal_point_difference
    flying = flying_pixels(disparity, options.flying_pixels, step=step, first=options.first)
    disparity, raw, confidence, visibility = (
        values[row::step, column::step]
        for values in (disparity, maps.disparity, maps.confidence, maps.visibility)
    )
    trusted = (confidence >= options.min_confidence) & (visibility >= options.min_visibility)
    possible = (disparity >= -LARGEST_TRUSTED_ERROR) & (raw < width)
    x, y = camera.rays(disparity.device)
    x, y = x[column::step], y[row::step]
    # Not to 0, since -0 would become a depth of minus infinity.
    tiny = torch.finfo(disparity.dtype).tiny
    depth = camera.depth_from_adjusted(disparity.clamp(min=tiny))
    depth = torch.minimum(depth, options.max_range / (x * x + y * y + 1.0).sqrt())
    # Not chosen here: the host would have to wait for a device to learn how many there are.
    depth = torch.where(trusted & possible & ~flying, depth, torch.nan)
    points = torch.stack((depth * x, depth * y, depth), dim=-1)
    return points if transform is None else _transformed(points, transform)


def rays_only(points: np.ndarray) -> np.ndarray:
    """Return the ends that there are of (H', W', 3), row by row, as (N, 3)."""
    return np.asarray(points[~np.isnan(points[..., 2])])


def _transformed(points: torch.Tensor, transform: RigidTransform) -> torch.Tensor:
    """Return points (..., 3) in the transform's frame."""
    x, y, z = points.unbind(-1)
    # No matrix product: an accelerator may round its factors to ten bits.
    rows = [x * row[0] + y * row[1] + z * row[2] + row[3] for row in transform.matrix]
    return torch.stack(rows, dim=-1)
