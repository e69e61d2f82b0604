"""Which pixels of a disparity map may become points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

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
    neighbours lie both in front or both behind, stay. Both sides must be known.
    """

    min_step: float = 0.5
    min_relative_step: float = 0.02

    def __post_init__(self) -> None:
        if not (self.min_step >= 0 and self.min_relative_step >= 0):
            raise ValueError(f'the steps of {self} must not be negative')


@dataclass(frozen=True)
class PixelFilter:
    """Which pixels with a known disparity are kept; by default all of them.

    Depths are metres along the optical axis, both limits included. ``min_confidence`` and
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


@dataclass(frozen=True)
class Estimate:
    """One pair's estimate on one device: raw disparity, visibility, confidence, each (..., H, W).

    ``disparity`` is ``x_left - x_right`` in pixels; ``visibility`` and ``confidence`` lie in
    [0, 1]. The last two may be missing where neither a filter nor an output asks for them.
    """

    disparity: torch.Tensor
    visibility: torch.Tensor | None = None
    confidence: torch.Tensor | None = None

    def __post_init__(self) -> None:
        for name in ('visibility', 'confidence'):
            values = getattr(self, name)
            if values is not None and values.shape != self.disparity.shape:
                raise ValueError(
                    f'{name} is {tuple(values.shape)}, disparity {tuple(self.disparity.shape)}'
                )

    def required(self, name: Literal['visibility', 'confidence']) -> torch.Tensor:
        """Return that tensor; ValueError if this estimate came without it."""
        values: torch.Tensor | None = getattr(self, name)
        if values is None:
            raise ValueError(f'this needs a {name}, and the estimate has none')
        return values


def flying_pixels(
    adjusted: torch.Tensor, options: FlyingPixelFilter, *, step: int = 1
) -> torch.Tensor:
    """Return where the disparity (..., H, W) passes through a depth edge, as bool.

    ``adjusted`` is what :meth:`StereoCamera.adjusted` returns. With ``step`` only every
    ``step``-th row and column is judged and returned, against its neighbours at full resolution.
    """
    return _crossings(adjusted, options, step) > 0


def filtered_depth(
    camera: StereoCamera,
    adjusted: torch.Tensor,
    estimate: Estimate,
    options: PixelFilter,
    *,
    step: int = 1,
) -> torch.Tensor:
    """Return the depth in metres of every ``step``-th row and column, NaN where filtered out.

    ``adjusted`` is what :meth:`StereoCamera.adjusted` made of the estimate's disparity, (..., H,
    W). Raises ValueError if a threshold is set on a confidence or visibility that is missing.
    """
    depth = camera.depth_from_adjusted(adjusted[..., ::step, ::step])
    # No booleans: on a CPU, a comparison and a selection cost 30 times what a threshold does.
    if options.min_depth > 0:
        depth = _from(depth, options.min_depth)
    if options.max_depth < math.inf:
        depth = _from(depth.neg_(), -options.max_depth).neg_()
    if options.min_confidence > 0:
        _keep_where(depth, estimate.required('confidence'), options.min_confidence, step)
    if options.min_visibility > 0:
        _keep_where(depth, estimate.required('visibility'), options.min_visibility, step)
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


def _crossings(adjusted: torch.Tensor, options: FlyingPixelFilter, step: int) -> torch.Tensor:
    """Return along how many axes, 0 to 2, the disparity passes through a depth edge, float32."""
    centre = adjusted[..., ::step, ::step]
    least = (centre * options.min_relative_step).clamp_(min=options.min_step)
    crossings = torch.zeros_like(least)
    _count_crossings(adjusted[..., ::step, :], least, crossings, step)
    _count_crossings(adjusted[..., :, ::step].mT, least.mT, crossings.mT, step)
    return crossings


def _count_crossings(
    lines: torch.Tensor, least: torch.Tensor, crossings: torch.Tensor, step: int
) -> None:
    """Add 1 where both changes at a pixel exceed the least ones in one direction.

    ``lines``: (..., L) disparities along rows or columns, of which every ``step``-th is judged by
    its two neighbours; ``least`` and ``crossings``: (..., ceil(L / step)). The ends of a line
    have one neighbour only. Unknown values are NaN, which exceeds nothing.
    """
    changes = lines.diff(dim=-1)
    before, after = changes[..., step - 1 : -1 : step], changes[..., step::step]
    both = torch.maximum(torch.minimum(before, after), torch.maximum(before, after).neg_())
    inner = slice(1, 1 + both.shape[-1])
    crossings[..., inner] += torch.gt(both, least[..., inner], out=torch.empty_like(both))
