"""Reading the correlation around the current disparity."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2m2_ros.network.tables import kept

RADIUS = 4
# Zeros beside a row: as many as a window of ten reads that lies just outside.
_MARGIN = 2 * RADIUS + 3


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


def cost_rows(correlation: Tensor, unit: float) -> Tensor:
    """Return both rows that ``look_up`` reads for each pixel, with zeros around them, in units.

    (B, h, w, w) float32 -> (B, h, w, 3·margin + w + w/2), a power of two being the unit.
    """
    width = correlation.shape[-1]
    first = _MARGIN + width + _MARGIN
    rows = correlation.new_zeros(*correlation.shape[:-1], first + width // 2 + _MARGIN)
    torch.mul(correlation, 1.0 / unit, out=rows[..., _MARGIN : _MARGIN + width])
    pooled = rows[..., first : first + width // 2]
    torch.add(correlation[..., 0::2], correlation[..., 1::2], out=pooled)
    pooled.mul_(0.5 / unit)
    return rows


def look_up_rows(rows: Tensor, disparity: Tensor) -> Tensor:
    """Read what ``look_up`` does of the correlation and of its pooled columns, in units.

    Args:
        rows: (B, h, w, n), what ``cost_rows`` returned.
        disparity: (B, 1, h, w) float32.

    Returns: tokens (B, h, w, 18).
    """
    tables = kept(_tables, disparity.shape[-1], rows.device)
    column = tables.column - disparity[:, 0]
    position = column[..., None] * tables.scale
    floor = position.floor()
    fraction = position.sub_(floor)
    # Far outside, every position reads only zeros: limiting it keeps the integer cast defined.
    start = floor.clamp_(tables.lowest, tables.highest).long()
    index = start[..., None] + tables.offset
    values = rows.gather(-1, index.flatten(-2)).view(index.shape)
    return torch.lerp(values[..., :-1], values[..., 1:], fraction[..., None]).flatten(-2)


class _Tables(NamedTuple):
    """Constants of ``look_up_rows`` for a width."""

    column: Tensor  # (w,) float32
    scale: Tensor  # (2,) float32, columns of each row for one of the correlation
    lowest: Tensor  # (2,) float32, limits of the positions
    highest: Tensor
    offset: Tensor  # (2, 10) int64, from a position to what is read


def _tables(width: int, device: torch.device) -> _Tables:
    start = torch.tensor([_MARGIN, 2 * _MARGIN + width], device=device)
    highest = torch.tensor([width, width // 2], device=device, dtype=torch.float32)
    return _Tables(
        torch.arange(width, device=device, dtype=torch.float32),
        torch.tensor([1.0, 0.5], device=device),
        torch.full((2,), -RADIUS - 2.0, device=device),
        highest + (RADIUS + 1),
        start[:, None] + torch.arange(-RADIUS, RADIUS + 2, device=device),
    )
