"""Which pixels of a disparity map may become points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import torch

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

    def rows(self, start: int, stop: int) -> Estimate:
        """Return the estimate of the rows ``start`` to ``stop - 1``, sharing memory."""

        def cut(values: torch.Tensor | None) -> torch.Tensor | None:
            return None if values is None else values[..., start:stop, :]

        return Estimate(
            self.disparity[..., start:stop, :], cut(self.visibility), cut(self.confidence)
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
    rows = adjusted[..., ::step, :]
    columns = adjusted[..., :, ::step].transpose(-1, -2)
    threshold = (rows[..., ::step] * options.min_relative_step).clamp_(min=options.min_step)
    along_rows = _passes_through(rows, threshold, step=step)
    along_columns = _passes_through(columns, threshold.transpose(-1, -2), step=step)
    return along_rows | along_columns.transpose(-1, -2)


def _passes_through(lines: torch.Tensor, threshold: torch.Tensor, *, step: int) -> torch.Tensor:
    """Return where both changes at a pixel exceed the threshold in one direction.

    ``lines``: (..., L) disparities along rows or columns, of which every ``step``-th is judged by
    its two neighbours; ``threshold`` and the result: (..., ceil(L / step)). The ends of a line
    have one neighbour only. Unknown values are NaN, which exceeds nothing.
    """
    changes = lines.diff(dim=-1)
    before, after = changes[..., step - 1 : -1 : step], changes[..., step::step]
    rise = torch.minimum(before, after)
    fall = torch.maximum(before, after).neg_()
    inner = slice(1, 1 + rise.shape[-1])
    flying = torch.zeros_like(threshold, dtype=torch.bool)
    flying[..., inner] = torch.maximum(rise, fall) > threshold[..., inner]
    return flying


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
    keep: list[torch.Tensor] = []
    if options.min_depth > 0:
        keep.append(depth >= options.min_depth)
    if options.max_depth < math.inf:
        keep.append(depth <= options.max_depth)
    if options.min_confidence > 0:
        keep.append(estimate.required('confidence')[..., ::step, ::step] >= options.min_confidence)
    if options.min_visibility > 0:
        keep.append(estimate.required('visibility')[..., ::step, ::step] >= options.min_visibility)
    if options.flying_pixels is not None:
        keep.append(~flying_pixels(adjusted, options.flying_pixels, step=step))
    if not keep:
        return depth
    return torch.where(reduce(torch.logical_and, keep), depth, torch.nan)
