"""Reading the correlation around the current disparity."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2m2_ros.network.tables import kept

RADIUS = 4
# What `grid_sampler_2d` calls interpolation and padding.
_BILINEAR, _ZEROS = 0, 0


def pool_columns(correlation: Tensor) -> Tensor:
    """Average pairs of right columns: (B, h, w, w) -> (B, h, w, w/2)."""
    return (correlation[..., 0::2] + correlation[..., 1::2]) * 0.5


def look_up(correlation: Tensor, position: Tensor) -> Tensor:
    """Read nine values at unit steps around a position of each pixel's row.

    The nine positions share one fraction, so ten neighboring values serve them all.

    Args:
        correlation: (B, h, w, n) float32, a row of n values for each pixel.
        position: (B, 1, h, w) float32, in columns of that row; any value.

    Returns: (B, 9, h, w) float32 linear interpolations at position − 4 … position + 4, where
        values outside the row count as 0.
    """
    columns = correlation.shape[-1]
    floor = position.floor()
    # Far outside, every position reads only zeros: limiting it keeps the integer cast defined.
    first = floor.clamp(-RADIUS - 2, columns + RADIUS + 1).long()[:, 0, ..., None] - RADIUS
    index = first + torch.arange(2 * RADIUS + 2, device=position.device)
    values = correlation.gather(-1, index.clamp(0, columns - 1))
    values = torch.where((index >= 0) & (index < columns), values, 0.0)
    fraction = (position - floor)[:, 0, ..., None]
    return torch.lerp(values[..., :-1], values[..., 1:], fraction).permute(0, 3, 1, 2)


def look_up_twice(out: Tensor, correlation: Tensor, disparity: Tensor, unit: float) -> None:
    """Read what ``look_up`` does of the correlation and of its pooled columns, in units.

    PyTorch's sampling of images does it: a pixel's row is an image of height 1 or, for the pooled
    columns, one of height 2, the even and the odd columns, which is read halfway between both.

    Args:
        out: tokens (B, h, w, 18) of any type.
        correlation: (B, h, w, w) float32.
        disparity: (B, 1, h, w) float32.
        unit: a power of two, by which the values are divided.
    """
    *shape, width = correlation.shape
    tables = kept(_tables, width, correlation.device)
    reads = 2 * RADIUS + 1
    grid = torch.addcmul(tables.start, disparity[:, 0, ..., None, None], tables.slope)
    grid = grid.view(-1, 1, 2 * reads, 2)
    images = (
        correlation.view(-1, 1, 1, width),
        correlation.view(-1, 1, width // 2, 2).transpose(2, 3),
    )
    for index, image in enumerate(images):
        part = slice(index * reads, (index + 1) * reads)
        read = torch.grid_sampler_2d(image, grid[:, :, part], _BILINEAR, _ZEROS, False)
        torch.mul(read.view(*shape, reads), 1.0 / unit, out=out[..., part])


class _Tables(NamedTuple):
    """Where ``look_up_twice`` reads in a map of a width, −1..1 from side to side of an image."""

    start: Tensor  # (w, 18, 2) float32, x and y at disparity 0
    slope: Tensor  # (2,) float32, what a disparity of 1 adds


def _tables(width: int, device: torch.device) -> _Tables:
    column = torch.arange(width, device=device, dtype=torch.float64)[:, None]
    steps = torch.arange(-RADIUS, RADIUS + 1, device=device, dtype=torch.float64)
    # The middle of pixel i of n is at (2i + 1) / n − 1.
    full = (2 * (column + steps) + 1) / width - 1
    pooled = (2 * (column / 2 + steps) + 1) / (width / 2) - 1
    x = torch.cat((full, pooled), dim=1)
    return _Tables(
        torch.stack((x, torch.zeros_like(x)), dim=-1).float(),
        torch.tensor([-2.0 / width, 0.0], device=device),
    )
