"""Upsampling on a GPU: maps are written where they are read, and never joined by a copy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2m2_ros.network import device_path
from s2m2_ros.network.layers import to_tokens
from s2m2_ros.network.tables import kept

_NEIGHBORS = 9
_FACTOR = 4


def doubling_weights(layer: nn.ConvTranspose2d) -> tuple[Tensor, Tensor]:
    """Return a 2×2 transposed convolution of stride 2 as a weight (4·out, in) and a bias.

    Outputs are ordered by row, column and channel.
    """
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()
    return weight, device_path.bias_of(layer).repeat(4)


def double_into(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Apply ``doubling_weights`` to maps (B, in, h, w) and write them to (B, out, 2h, 2w)."""
    wide = device_path.product(to_tokens(x), weight, bias)
    pixels = wide.view(*wide.shape[:3], 2, 2, -1)
    batch, height, width = wide.shape[:3]
    target = to_tokens(out).view(batch, height, 2, width, 2, -1)
    target.copy_(pixels.transpose(2, 3))


def empty_maps(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return maps (B, channels, h, w) without values, in channels-last order."""
    order = torch.channels_last
    return torch.empty(tuple(shape), dtype=dtype, device=device, memory_format=order)


def scale_into(out: Tensor, images: Tensor) -> None:
    """Write images (B, 3, H, W) of 0..255 as −1..1, computed in float32."""
    minus_one = kept(_minus_one, images.device)
    torch.add(minus_one, images, alpha=2.0 / 255.0, out=out)


def _minus_one(device: torch.device) -> Tensor:
    # With an axis, so that it decides about the type of the sum.
    return torch.full((1,), -1.0, device=device)


def quadrupled(maps: Tensor, wide: Tensor) -> Tensor:
    """Average 3×3 windows of maps for 4×4 output pixels under each of theirs.

    Args:
        maps: (B, M, h, w) float32.
        wide: (B, 2h, 2w, 36), the tokens whose channels are row, column and neighbor of the
            logits of 2×2 output pixels each.

    Returns: (B, M, 4h, 4w) float32, as ``window_means`` of the logits.
    """
    batch, count, height, width = maps.shape
    parts = wide.view(batch, height, 2, width, 2, 2, 2, _NEIGHBORS)
    # By neighbor, then by row and column among the 4×4 pixels.
    ordered = parts.permute(0, 1, 3, 7, 2, 5, 4, 6)
    weights = functional.softmax(
        ordered.reshape(batch * height * width, _NEIGHBORS, _FACTOR**2),
        dim=1,
        dtype=torch.float32,
    )
    means = (
        windows(maps).permute(0, 2, 3, 1, 4, 5).reshape(batch * height * width, count, _NEIGHBORS)
        @ weights
    )
    spread = means.view(batch, height, width, count, _FACTOR, _FACTOR)
    return spread.permute(0, 3, 1, 4, 2, 5).reshape(batch, count, _FACTOR * height, -1)


def filtered(maps: Tensor, logits: Tensor) -> Tensor:
    """Return ``window_means`` of maps and logits at the same resolution."""
    weights = functional.softmax(to_tokens(logits), dim=-1, dtype=torch.float32)
    by_neighbor = weights.view(*weights.shape[:-1], 3, 3)[:, None]
    return (windows(maps) * by_neighbor).sum(dim=(-2, -1))


def windows(maps: Tensor) -> Tensor:
    """Return the 3×3 windows of maps, edges repeated: (B, M, h, w) -> (B, M, h, w, 3, 3)."""
    return windows_within(functional.pad(maps, (1, 1, 1, 1), mode='replicate'))


def windows_within(padded: Tensor) -> Tensor:
    """Return the 3×3 windows of maps with a border: (B, M, h + 2, w + 2) -> (B, M, h, w, 3, 3)."""
    return padded.unfold(2, 3, 1).unfold(3, 3, 1)
