"""The relative positional code of the attention at 1/32, as two small tables."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from s2m2_ros.network.tables import kept

_PI = 3.1415  # not π: the published weights were trained with this number
_CHANNELS = 16
_SPACING = 5 / 32
# Entries of all rows of joint tables: 16 MiB of a half precision.
_MOST_JOINT = (1 << 23) // (2 * _CHANNELS)


class PositionalTables(NamedTuple):
    """What the attention over a map of h × w needs to add relative positions.

    The code of a query at (y, x) and a key at (y', x') is columns[x, x'] beside rows[y, y'].
    """

    columns: Tensor  # (w, w, 16), by column of the query and of the key
    rows: Tensor  # (h, h, 16), by row of the query and of the key
    indicators: Tensor  # (h·w, w + h), for each token ones at its column and at its row


def positional_tables(
    height: int, width: int, device: torch.device, dtype: torch.dtype = torch.float32
) -> PositionalTables:
    """Return the tables of a map size; they are kept for the next call with this size."""
    return kept(_make_tables, height, width, device, dtype)


class JointTables(NamedTuple):
    """The same for one product per token, which gives the mean codes of both axes at once.

    The length n is a multiple of 8, as products and attention of GPUs want it.
    """

    indicators: Tensor  # (h·w, n), n at least w + h
    codes: Tensor  # (N·h·w, n, 32), those of the columns and of the rows


def joint_tables(
    batch: int, height: int, width: int, device: torch.device, dtype: torch.dtype
) -> JointTables | None:
    """Return the tables of a batch of maps, or None if they would be too large to pay."""
    length = _up_to_eight(width + height)
    if batch * height * width * length > _MOST_JOINT:
        return None
    return kept(_make_joint_tables, batch, height, width, device, dtype)


def _make_joint_tables(
    batch: int, height: int, width: int, device: torch.device, dtype: torch.dtype
) -> JointTables:
    length = _up_to_eight(width + height)
    tables = _make_tables(height, width, device, torch.float32)
    codes = torch.zeros(height, width, length, 2 * _CHANNELS, device=device)
    codes[:, :, :width, :_CHANNELS] = tables.columns
    codes[:, :, width : width + height, _CHANNELS:] = tables.rows[:, None]
    indicators = functional.pad(tables.indicators, (0, length - width - height))
    return JointTables(indicators.to(dtype), codes.flatten(0, 1).to(dtype).repeat(batch, 1, 1))


def _up_to_eight(count: int) -> int:
    return -(-count // 8) * 8


def _make_tables(
    height: int, width: int, device: torch.device, dtype: torch.dtype
) -> PositionalTables:
    at_column = torch.eye(width, device=device).expand(height, width, width)
    at_row = torch.eye(height, device=device)[:, None].expand(height, width, height)
    indicators = torch.cat((at_column, at_row), dim=-1).flatten(0, 1)
    tables = _codes(width, device), _codes(height, device), indicators
    return PositionalTables(*(table.to(dtype) for table in tables))


def _codes(n: int, device: torch.device) -> Tensor:
    """Return (n, n, 16): half the code of offset i − j for every two positions of an axis."""
    position = torch.arange(n, device=device)
    # Offset 0 is row n − 1 although the middle of the table is row n, as published.
    index = position[:, None] - position[None, :] + n - 1
    return 0.5 * _sinc_table(n, device)[index]


def _sinc_table(n: int, device: torch.device) -> Tensor:
    """Return (2n + 1, 16) float32: unit vectors of a sinc at tanh-spaced positions."""
    step = torch.arange(2 * n + 1, device=device, dtype=torch.float64)
    position = torch.tanh(-3.0 + 6.0 * step / (2 * n))
    center = torch.arange(_CHANNELS, device=device, dtype=torch.float64) * (2 / 15) - 1.0
    z = (center[None, :] - position[:, None]) / _SPACING
    near = z.abs() < 1e-6
    argument = _PI * torch.where(near, 1.0, z)
    value = torch.where(near, 1.0, argument.sin() / argument)
    return functional.normalize(value, dim=1, eps=1e-12).float()
