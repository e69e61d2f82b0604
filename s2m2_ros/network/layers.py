"""Convolutional blocks that every part of the network is made of.

Maps are (N, channels, h, w) tensors in channels-last memory order, so that their view as tokens,
(N, h, w, channels), costs nothing. 1×1 convolutions are matrix products of tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2m2_ros.network.bands import in_bands


def conv(in_channels: int, out_channels: int, kernel: int | tuple[int, int]) -> nn.Conv2d:
    """Return a convolution of stride 1 that keeps the size of its map."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    return nn.Conv2d(in_channels, out_channels, (height, width), padding=(height // 2, width // 2))


class GatedFusion(nn.Module):
    """Fuse two maps of equal width D: f(a, b) + g(a, b)·a + (1 − g(a, b))·b."""

    def __init__(self, channels: int, kernel: int = 1) -> None:
        super().__init__()
        self.feature_gate = two_convs(2 * channels, channels, channels, (kernel, 1))
        self.feature_fusion = two_convs(2 * channels, 2 * channels, channels, (kernel, 1))
        self.pointwise = kernel == 1

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(N, D, h, w), (N, D, h, w) -> (N, D, h, w)."""
        if self.pointwise:
            return to_maps(in_bands(self._fuse_tokens, to_tokens(a), to_tokens(b)))
        both = torch.cat((a, b), dim=1)
        wide = self.feature_gate[0](both), self.feature_fusion[0](both)
        return to_maps(in_bands(self._combine, *map(to_tokens, (a, b, *wide))))

    def _fuse_tokens(self, a: Tensor, b: Tensor) -> Tensor:
        both = torch.cat((a, b), dim=-1)
        gate, fused = self.feature_gate[0], self.feature_fusion[0]
        return self._combine(a, b, pointwise(gate, both), pointwise(fused, both))

    def _combine(self, a: Tensor, b: Tensor, gate: Tensor, fused: Tensor) -> Tensor:
        """Finish from the results of both first convolutions."""
        gate = pointwise(self.feature_gate[2], functional.gelu(gate))
        fused = pointwise(self.feature_fusion[2], functional.gelu(fused))
        return fused.add_(torch.lerp(b, a, gate.sigmoid().clamp(0.01, 0.99)))


class ConvBlock(nn.Module):
    """Sum of a 3×3 and a 1×1 branch of two convolutions each, without an identity path."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = two_convs(channels, channels, channels, (3, 3))
        self.convs_1x = nn.Sequential(
            conv(channels, channels, 1), nn.ReLU(), conv(channels, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, D, h, w) -> (N, D, h, w)."""
        wide = to_tokens(self.convs(x))
        return to_maps(in_bands(self._add_narrow, to_tokens(x), wide, out=wide))

    def _add_narrow(self, x: Tensor, wide: Tensor) -> Tensor:
        first, _, second = self.convs_1x
        return pointwise(second, pointwise(first, x).relu_()).add_(wide)


def two_convs(
    in_channels: int, hidden: int, out_channels: int, kernels: tuple[int, int]
) -> nn.Sequential:
    """Return two convolutions of stride 1 with a GELU between them."""
    return nn.Sequential(
        conv(in_channels, hidden, kernels[0]), nn.GELU(), conv(hidden, out_channels, kernels[1])
    )


class Down(nn.Sequential):
    """Halve a map: 2×2 average, then a 1×1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.AvgPool2d(2), conv(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) -> (N, out, h/2, w/2)."""
        return pointwise_map(self[1], self[0](x))


class Up(nn.Sequential):
    """Double a map: bilinear, half-pixel centres, and a 1×1 convolution.

    The weights of the interpolation sum to one, so it commutes with the convolution, which
    therefore runs first, on a quarter of the pixels. Index 1 keeps the published key.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Identity(), conv(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) -> (N, out, 2h, 2w)."""
        small = pointwise_map(self[1], x)
        return functional.interpolate(small, scale_factor=2.0, mode='bilinear')


class FeedForward(nn.Module):
    """Residual two-layer perceptron on normalised tokens."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ffn = nn.Sequential(
            nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, channels)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        update: Tensor = self.ffn(normalise(tokens))
        return update.add_(tokens)


def pointwise(layer: nn.Conv2d, tokens: Tensor) -> Tensor:
    """Apply a 1×1 convolution to tokens: (..., in) -> (..., out)."""
    return functional.linear(tokens, layer.weight.flatten(1), layer.bias)


def pointwise_map(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    """Apply a 1×1 convolution: (N, in, h, w) -> (N, out, h, w)."""
    return to_maps(in_bands(lambda tokens: pointwise(layer, tokens), to_tokens(maps)))


def normalise(tokens: Tensor) -> Tensor:
    """Layer normalisation over the last axis, ε = 1e−5, without parameters."""
    return functional.layer_norm(tokens, tokens.shape[-1:])


def to_tokens(maps: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h, w, C), a view of the same memory."""
    return maps.permute(0, 2, 3, 1)


def to_maps(tokens: Tensor) -> Tensor:
    """(N, h, w, C) -> (N, C, h, w), a view of the same memory."""
    return tokens.permute(0, 3, 1, 2)
