"""What the pixels around one say of it: along its row, and on the same surface."""

from __future__ import annotations

import torch
from torch.nn import functional

# A smaller weight than that of the farthest pixels that count says nothing.
_LEAST_SUPPORT = 1e-3
# Cells along the range of the guide, at most: bounds the memory.
_MOST_LAYERS = 128


def farther_neighbors(disparity: torch.Tensor) -> torch.Tensor:
    """Return the smaller one of the next known disparities left and right of each unknown pixel.

    That is the usual guess for what only one view shows, the surface behind an edge (Middlebury's
    own scripts make it).

    Args:
        disparity: (..., H, W), not finite where unknown.

    Returns: the same shape, known pixels as they are; NaN in rows where nothing is known.

    """
    width = disparity.shape[-1]
    known = disparity.isfinite()
    columns = torch.arange(width, device=disparity.device).expand(disparity.shape)
    before = torch.where(known, columns, -1).cummax(dim=-1).values
    after = torch.where(known, columns, width).flip(-1).cummin(dim=-1).values.flip(-1)
    left, right = (
        torch.where(inside, disparity.gather(-1, place.clamp(0, width - 1)), torch.nan)
        for place, inside in ((before, before >= 0), (after, after < width))
    )
    # Unlike `minimum`, `fmin` takes the other one for NaN.
    return torch.where(known, disparity, torch.fmin(left, right))


def mean_on_surface(
    values: torch.Tensor,
    known: torch.Tensor,
    guide: torch.Tensor,
    wanted: torch.Tensor,
    *,
    cell: float,
    step: float,
) -> torch.Tensor:
    """Return the mean of the known values around some pixels whose guide is nearly the same.

    A bilateral grid: values are gathered in cells of the image and of the guide, blurred there,
    and read back by interpolation (Chen, Paris and Durand 2007).

    Args:
        values: (H, W) float32 on the host; only those that are known count.
        known: (H, W) bool.
        guide: (H, W) float32, finite.
        wanted: (H, W) bool, the N pixels to give means for.
        cell: side of a cell in pixels; values within some two cells count.
        step: height of a cell in units of the guide.

    Returns: (N,) float32 in the order of the rows, 0 where nothing known is near.

    """
    low = guide.min()
    span = float(guide.max() - low)
    step = max(step, span / _MOST_LAYERS)
    height, width = guide.shape

    def place(mask: torch.Tensor) -> torch.Tensor:
        """Return layer, row and column in the grid of some pixels, (3, N)."""
        rows, columns = mask.nonzero(as_tuple=True)
        return torch.stack(((guide[mask] - low) / step, rows / cell, columns / cell))

    shape = [int(limit) + 2 for limit in (span / step, (height - 1) / cell, (width - 1) / cell)]
    grid = _blurred(_gathered(values[known], place(known), shape))
    # Of `grid_sample`: x, y, z from -1 to 1.
    last = torch.tensor(shape, device=guide.device).sub(1).unsqueeze(1)
    points = (2 * place(wanted) / last - 1).flip(0).t()
    sampled = functional.grid_sample(grid, points[None, None, None], align_corners=True)
    total, support = sampled.view(2, -1)
    return torch.where(support > _LEAST_SUPPORT, total / support.clamp_min(_LEAST_SUPPORT), 0.0)


def _gathered(values: torch.Tensor, place: torch.Tensor, shape: list[int]) -> torch.Tensor:
    """Return the sums of the values, and how many there are, in each cell: (1, 2, *shape)."""
    layer, row, column = place.round().long()
    index = (layer * shape[1] + row) * shape[2] + column
    size = shape[0] * shape[1] * shape[2]
    sums = torch.bincount(index, values.double(), minlength=size)
    counts = torch.bincount(index, minlength=size)
    return torch.stack((sums, counts)).float().view(1, 2, *shape)


def _blurred(grid: torch.Tensor) -> torch.Tensor:
    """Blur by 1/4, 1/2, 1/4 along each of the last three axes."""
    for axis in (-3, -2, -1):
        padding = [0] * 6
        padding[2 * (-axis - 1)] = padding[2 * (-axis - 1) + 1] = 1
        wide, count = functional.pad(grid, padding), grid.shape[axis]
        before, middle, after = (wide.narrow(axis, start, count) for start in range(3))
        grid = (before + after) / 4 + middle / 2
    return grid
