"""Reading the correlation around the current disparity."""

from __future__ import annotations

import torch
from torch import Tensor

RADIUS = 4


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
