"""One point a voxel: the points of a cloud that lie in one cube become their mean.

The cubes are those of a grid whose corner is the origin of the cloud's frame. A point at `p` lies
in the cube of index ``floor(p / size)``; cubes of level k have ``2 ** k`` times the edge and the
index ``floor(p / size) >> k``, so that each holds eight of the level below.

Coordinates are summed in whole steps of ``2 ** -20`` m (about 1 um), other values in steps of
``2 ** -16``: whole numbers add up to the same in any order, so that a processor, a device and two
runs give the same bits. `compiled/voxel_grid.h` does the same in one pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch

STEPS_OF_METER = 2**20
STEPS_OF_VALUE = 2**16
# Points farther away than this along an axis, in meters, are removed: sums would overflow.
FARTHEST = 2.0**19
# Bits of an index in a key; beyond them the level rises, for 0.05 m at 13 km.
INDEX_BITS = 19
FAR_LEVELS = 12
# The edge grows to at most 2 ** 6 times the smallest.
GROWN_LEVELS = 6
SMALLEST_SIZE = 0.001
LARGEST_SIZE = 100.0
LARGEST_GROWTH = 100.0


class Reduction(IntEnum):
    """How the values of several points become that of their voxel."""

    MEAN = 0
    HIGHEST = 1
    LOWEST = 2


# The color of a field rgb is the mean of each channel.
REDUCTIONS: Mapping[str, Reduction] = {
    'intensity': Reduction.MEAN,
    'confidence': Reduction.HIGHEST,
    'uncertainty': Reduction.LOWEST,
}


@dataclass(frozen=True)
class VoxelGrid:
    """The edge of the smallest voxels in meters, and how it grows.

    With ``growth`` the voxel of a point has the least edge ``size * 2 ** k``, k from 0 to 6, that
    is at least ``growth`` times the standard deviation of the point's depth.
    """

    size: float
    growth: float = 0.0

    def __post_init__(self) -> None:
        if not SMALLEST_SIZE <= self.size <= LARGEST_SIZE:
            raise ValueError(
                f'the voxel size {self.size} m must lie in {SMALLEST_SIZE:g} to {LARGEST_SIZE:g} m'
            )
        if not 0 <= self.growth <= LARGEST_GROWTH:
            raise ValueError(f'the voxel growth {self.growth} must lie in 0 to {LARGEST_GROWTH:g}')


def merge(
    records: torch.Tensor,
    columns: Mapping[str, int],
    grid: VoxelGrid,
    deviation: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return a record for each voxel, (M, n) float32, in the order of their first points.

    Args:
        records: (N, n) float32, x, y, z first, none of them NaN.
        columns: where the further fields lie: rgb (packed), intensity, confidence, uncertainty.
        grid: the voxels.
        deviation: (N,) float32, standard deviation of the depth in meters, for voxels that grow.

    """
    near = (records[:, :3].abs() < FARTHEST).all(dim=1)
    records = records[near]
    levels = None if deviation is None or not grid.growth else _grown(deviation[near], grid)
    number, counts = _numbered(_keys(records[:, :3], grid, levels))
    merged = records.new_zeros((len(counts), records.shape[1]))
    merged[:, :3] = _means(records[:, :3], number, counts, STEPS_OF_METER)
    for name, column in columns.items():
        if name == 'rgb':
            merged[:, column] = _mean_color(records[:, column], number, counts)
        elif REDUCTIONS[name] is Reduction.MEAN:
            values = _means(records[:, column, None], number, counts, STEPS_OF_VALUE)
            merged[:, column] = values[:, 0]
        else:
            how = 'amax' if REDUCTIONS[name] is Reduction.HIGHEST else 'amin'
            merged[:, column] = merged[:, column].scatter_reduce(
                0, number, records[:, column], how, include_self=False
            )
    return merged


def _grown(deviation: torch.Tensor, grid: VoxelGrid) -> torch.Tensor:
    """Return the level of each point from its deviation (N,), int32."""
    edge = deviation * grid.growth
    levels = torch.zeros_like(edge, dtype=torch.int32)
    for level in range(GROWN_LEVELS):
        levels += edge > float(np.float32(grid.size)) * 2**level
    return levels


def _keys(points: torch.Tensor, grid: VoxelGrid, levels: torch.Tensor | None) -> torch.Tensor:
    """Return a number (N,) int64 of the voxel of each point (N, 3)."""
    inverse = float(np.float32(1) / np.float32(grid.size))
    index = (points * inverse).floor().to(torch.int32)
    far = torch.where(index < 0, ~index, index).amax(dim=1)
    level = torch.zeros_like(far)
    half = 2 ** (INDEX_BITS - 1)
    for step in range(FAR_LEVELS):
        level += far >= half * 2**step
    if levels is not None:
        level = torch.maximum(level, levels)
    x, y, z = ((index >> level[:, None]) + half).long().unbind(dim=1)
    keys: torch.Tensor = ((level.long() << INDEX_BITS | x) << INDEX_BITS | y) << INDEX_BITS | z
    return keys


def _numbered(keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the voxel's number of each point, counted as they first appear, and their counts."""
    found, number, counts = torch.unique(keys, return_inverse=True, return_counts=True)
    places = torch.arange(len(keys), device=keys.device)
    first = places.new_zeros(len(found)).scatter_reduce(
        0, number, places, 'amin', include_self=False
    )
    order = first.argsort()
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=keys.device)
    return rank[number], counts[order]


def _means(
    values: torch.Tensor, number: torch.Tensor, counts: torch.Tensor, steps: int
) -> torch.Tensor:
    """Return the means of values (N, k) in each voxel, to the nearest step."""
    return _whole_means((values * steps).long(), number, counts).float() / steps


def _mean_color(packed: torch.Tensor, number: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return the mean of each byte of a packed color."""
    # A copy, since a single number of a column counts as contiguous with its old stride.
    channels = packed.clone(memory_format=torch.contiguous_format).view(torch.uint8).view(-1, 4)
    means = _whole_means(channels.long(), number, counts).to(torch.uint8)
    return means.contiguous().view(torch.float32)[:, 0]


def _whole_means(values: torch.Tensor, number: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return the mean of whole numbers (N, k) in each voxel, rounded, a half upwards."""
    sums = values.new_zeros((len(counts), values.shape[1])).index_add_(0, number, values)
    doubled = 2 * sums + counts[:, None]
    return torch.div(doubled, 2 * counts[:, None], rounding_mode='floor')
