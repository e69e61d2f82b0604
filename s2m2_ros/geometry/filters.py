"""Which pixels of a disparity map may become points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.nn.functional import threshold

from s2m2_ros.geometry.stereo_camera import StereoCamera


@dataclass(frozen=True)
class FlyingPixelFilter:
    """Removes points that hang between foreground and background at a depth edge.

    A network draws a depth edge as a short ramp; the pixels on that ramp are surfaces that do not
    exist. A pixel goes if, along its row or its column, the disparity falls or rises
    *through* it: by more than ``min_step`` pixels and by more than ``min_relative_step`` of its
    own disparity (which is the relative change of depth) on each side. The absolute step keeps
    the floor near the horizon, the relative one keeps near, slanted surfaces; thin things, whose
    neighbors lie both in front or both behind, stay. Both sides must be known.
    """

    min_step: float = 0.5
    min_relative_step: float = 0.02

    def __post_init__(self) -> None:
        if not (self.min_step >= 0 and self.min_relative_step >= 0):
            raise ValueError(f'the steps of {self} must not be negative')


@dataclass(frozen=True)
class PixelFilter:
    """Which pixels with a known disparity are kept; by default all of them.

    Depths are meters along the optical axis, both limits included. ``min_confidence`` and
    ``min_visibility`` are in [0, 1]; a pixel is kept from that value on.
    """

    min_depth: float = 0.0
    max_depth: float = math.inf
    min_confidence: float = 0.0
    min_visibility: float = 0.0
    flying_pixels: FlyingPixelFilter | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_depth < self.max_depth:
            raise ValueError(
                f'the depth range {self.min_depth} to {self.max_depth} m must be ordered and '
                'begin at 0 or above'
            )
        for name in ('min_confidence', 'min_visibility'):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'{name} = {getattr(self, name)} must lie in [0, 1]')


class DisparityMaps(Protocol):
    """What a matcher returns of one pair, on one device; `inference.MatchResult` is one.

    Each is float32 (..., H, W): the raw disparity ``x_left - x_right`` in pixels, non-finite where
    unknown; visibility and confidence in [0, 1].
    """

    @property
    def disparity(self) -> torch.Tensor:
        """Return the raw disparity."""

    @property
    def visibility(self) -> torch.Tensor:
        """Return 1 where both cameras see the point, 0 where it is occluded."""

    @property
    def confidence(self) -> torch.Tensor:
        """Return the probability that the disparity is right."""


@dataclass(frozen=True)
class _Maps:
    disparity: torch.Tensor
    visibility: torch.Tensor
    confidence: torch.Tensor


def without_border(maps: DisparityMaps, fraction: float) -> DisparityMaps:
    """Return the maps with unknown disparity at each edge, as wide as a fraction of the width.

    Maps are (..., H, W); those given stay as they are.
    """
    border = round(fraction * maps.disparity.shape[-1])
    if border == 0:
        return maps
    inside = (..., slice(border, -border), slice(border, -border))
    disparity = torch.full_like(maps.disparity, math.nan)
    disparity[inside] = maps.disparity[inside]
    return _Maps(disparity, maps.visibility, maps.confidence)


def require_one_shape(maps: DisparityMaps) -> None:
    """Raise ValueError unless the three maps have one shape."""
    for name in ('visibility', 'confidence'):
        shape = getattr(maps, name).shape
        if shape != maps.disparity.shape:
            raise ValueError(f'{name} is {tuple(shape)}, disparity {tuple(maps.disparity.shape)}')


def flying_pixels(
    adjusted: torch.Tensor,
    options: FlyingPixelFilter,
    *,
    step: int = 1,
    first: tuple[int, int] = (0, 0),
) -> torch.Tensor:
    """Return where the disparity (..., H, W) passes through a depth edge, as bool.

    ``adjusted`` is what :meth:`StereoCamera.adjusted` returns. With ``step`` only every
    ``step``-th row and column is judged and returned, beginning with the ``first`` row and column,
    against its neighbors at full resolution.
    """
    return _crossings(adjusted, options, step, first) > 0


def filtered_depth(
    camera: StereoCamera,
    adjusted: torch.Tensor,
    maps: DisparityMaps,
    options: PixelFilter,
    *,
    step: int = 1,
) -> torch.Tensor:
    """Return the depth in meters of every ``step``-th row and column, NaN where filtered out.

    ``adjusted`` is what :meth:`StereoCamera.adjusted` made of the maps' disparity, (..., H, W).
    """
    depth = camera.depth_from_adjusted(adjusted[..., ::step, ::step])
    # No booleans: on a CPU, a comparison and a selection cost 30 times what a threshold does.
    if options.min_depth > 0:
        depth = _from(depth, options.min_depth)
    if options.max_depth < math.inf:
        depth = _from(depth.neg_(), -options.max_depth).neg_()
    if options.min_confidence > 0:
        _keep_where(depth, maps.confidence, options.min_confidence, step)
    if options.min_visibility > 0:
        _keep_where(depth, maps.visibility, options.min_visibility, step)
    if options.flying_pixels is not None:
        crossings = _crossings(adjusted, options.flying_pixels, step)
        depth += threshold(crossings.neg_(), -0.5, math.nan)
    return depth


def _from(values: torch.Tensor, minimum: float) -> torch.Tensor:
    """Return the values from a minimum on, NaN below it and where they are NaN."""
    below = np.nextafter(np.float32(minimum), np.float32(-np.inf))
    return threshold(values, float(below), math.nan)


def _keep_where(depth: torch.Tensor, values: torch.Tensor, minimum: float, step: int) -> None:
    """Set the depth to NaN where the values (..., H, W), all finite, are below a minimum."""
    depth.add_(_from(values[..., ::step, ::step], minimum), alpha=0)


def _crossings(
    adjusted: torch.Tensor,
    options: FlyingPixelFilter,
    step: int,
    first: tuple[int, int] = (0, 0),
) -> torch.Tensor:
    """Return along how many axes, 0 to 2, the disparity passes through a depth edge, float32."""
    row, column = first
    center = adjusted[..., row::step, column::step]
    least = (center * options.min_relative_step).clamp_(min=options.min_step)
    crossings = torch.zeros_like(least)
    _count_crossings(adjusted[..., row::step, :], least, crossings, step, column)
    _count_crossings(adjusted[..., :, column::step].mT, least.mT, crossings.mT, step, row)
    return crossings


def _count_crossings(
    lines: torch.Tensor, least: torch.Tensor, crossings: torch.Tensor, step: int, first: int
) -> None:
    """Add 1 where both changes at a pixel exceed the least ones in one direction.

    ``lines``: (..., L) disparities along rows or columns, of which every ``step``-th, beginning
    with the ``first``, is judged by its two neighbors; ``least`` and ``crossings``: (..., N), one
    for each of those. The ends of a line have one neighbor only. Unknown values are NaN, which
    exceeds nothing.
    """
    changes = lines.diff(dim=-1)
    second = first or step  # the first with a neighbor before it
    before, after = changes[..., second - 1 : -1 : step], changes[..., second::step]
    both = torch.maximum(torch.minimum(before, after), torch.maximum(before, after).neg_())
    start = 0 if first else 1
    inner = slice(start, start + both.shape[-1])
    crossings[..., inner] += torch.gt(both, least[..., inner], out=torch.empty_like(both))
