"""The relative positional code of the attention at 1/32, as two small tables."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

_PI = 3.1415  # not π: the published weights were trained with this number
_CHANNELS = 16
_SPACING = 5 / 32
_CACHED_SIZES = 32


@lru_cache(maxsize=_CACHED_SIZES)
def relative_codes(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the codes of column and row offsets, each including the factor 0.5.

    Returns: (w, w, 16) indexed by column of the query and of the key, and (h, h, 16) by row;
        float32.
    """
    with torch.inference_mode(False), torch.no_grad():
        return _offset_codes(width, device), _offset_codes(height, device)


@lru_cache(maxsize=_CACHED_SIZES)
def marginal_indicators(height: int, width: int, device: torch.device) -> Tensor:
    """Return (h·w, w + h): for each token, ones at its column and at its row, float32."""
    with torch.inference_mode(False), torch.no_grad():
        columns = torch.eye(width, device=device).expand(height, width, width)
        rows = torch.eye(height, device=device)[:, None].expand(height, width, height)
        return torch.cat((columns, rows), dim=-1).flatten(0, 1)


def _offset_codes(n: int, device: torch.device) -> Tensor:
    """Return (n, n, 16): the code of offset i − j for every pair of positions of one axis."""
    position = torch.arange(n, device=device)
    # Offset 0 is row n − 1 although the middle of the table is row n, as published.
    index = position[:, None] - position[None, :] + n - 1
    return 0.5 * _sinc_table(n, device)[index]


def _sinc_table(n: int, device: torch.device) -> Tensor:
    """Return (2n + 1, 16) float32: unit vectors of a sinc at tanh-spaced positions."""
    step = torch.arange(2 * n + 1, device=device, dtype=torch.float64)
    position = torch.tanh(-3.0 + 6.0 * step / (2 * n))
    centre = torch.arange(_CHANNELS, device=device, dtype=torch.float64) * (2 / 15) - 1.0
    z = (centre[None, :] - position[:, None]) / _SPACING
    near = z.abs() < 1e-6
    argument = _PI * torch.where(near, torch.ones_like(z), z)
    value = torch.where(near, torch.ones_like(z), argument.sin() / argument)
    return (value / value.norm(dim=1, keepdim=True).clamp_min(1e-12)).float()
