"""Convolutional blocks that every part of the network is made of.

Maps are (N, channels, h, w) tensors in channels-last memory order, so that the token view
(N, h, w, channels) of the attention blocks costs nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(in_channels: int, out_channels: int, kernel: int | tuple[int, int]) -> nn.Conv2d:
    """Return a convolution of stride 1 that keeps the size of its map."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    return nn.Conv2d(in_channels, out_channels, (height, width), padding=(height // 2, width // 2))


class GatedFusion(nn.Module):
    """Fuse two maps of equal width D: f(a, b) + g(a, b)·a + (1 − g(a, b))·b.

    (N, D, h, w), (N, D, h, w) -> (N, D, h, w)
    """

    def __init__(self, channels: int, kernel: int = 1) -> None:
        super().__init__()
        self.feature_gate = nn.Sequential(
            conv(2 * channels, channels, kernel),
            nn.GELU(),
            conv(channels, channels, 1),
        )
        self.feature_fusion = nn.Sequential(
            conv(2 * channels, 2 * channels, kernel),
            nn.GELU(),
            conv(2 * channels, channels, 1),
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        both = torch.cat((a, b), dim=1)
        gate = self.feature_gate(both).sigmoid().clamp(0.01, 0.99)
        fused: Tensor = self.feature_fusion(both)
        return fused.add_(torch.lerp(b, a, gate))


class ConvBlock(nn.Module):
    """Sum of a 3×3 and a 1×1 branch of two convolutions each, without an identity path.

    (N, D, h, w) -> (N, D, h, w)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            conv(channels, channels, 3), nn.GELU(), conv(channels, channels, 3)
        )
        self.convs_1x = nn.Sequential(
            conv(channels, channels, 1), nn.ReLU(inplace=True), conv(channels, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        wide: Tensor = self.convs(x)
        return wide.add_(self.convs_1x(x))


def down(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a layer that halves a map: 2×2 average, then a 1×1 convolution."""
    return nn.Sequential(nn.AvgPool2d(2), conv(in_channels, out_channels, 1))


class Up(nn.Sequential):
    """Double a map: bilinear, half-pixel centres, and a 1×1 convolution.

    The weights of the interpolation sum to one, so it commutes with the convolution, which
    therefore runs first, on a quarter of the pixels. Index 1 keeps the published key.

    (N, in, h, w) -> (N, out, 2h, 2w)
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Identity(), conv(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self[1](x), scale_factor=2.0, mode='bilinear', align_corners=False)


class FeedForward(nn.Module):
    """Residual two-layer perceptron on normalised tokens: (..., D) -> (..., D)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ffn = nn.Sequential(
            nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, channels)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        update: Tensor = self.ffn(normalise(tokens))
        return update.add_(tokens)


def normalise(tokens: Tensor) -> Tensor:
    """Layer normalisation over the last axis, ε = 1e−5, without parameters."""
    return F.layer_norm(tokens, tokens.shape[-1:])


def to_tokens(maps: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h, w, C), a view of the same memory."""
    return maps.permute(0, 2, 3, 1)


def to_maps(tokens: Tensor) -> Tensor:
    """(N, h, w, C) -> (N, C, h, w), a view of the same memory."""
    return tokens.permute(0, 3, 1, 2)
