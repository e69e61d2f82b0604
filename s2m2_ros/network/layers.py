"""Convolutional blocks that every part of the network is made of.

Maps are (N, channels, h, w) tensors in channels-last memory order, so that their view as tokens,
(N, h, w, channels), costs nothing. 1×1 convolutions are matrix products of tokens.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2m2_ros.network import device_path
from s2m2_ros.network.bands import in_bands, in_overlapping_bands
from s2m2_ros.network.joined import KeepsWeights, MadeTensors, join, share
from s2m2_ros.network.precision import promoting_lerp
from s2m2_ros.network.products import convolve, convolve_alone, convolve_joined, project


def conv(in_channels: int, out_channels: int, kernel: int | tuple[int, int]) -> nn.Conv2d:
    """Return a convolution of stride 1 that keeps the size of its map."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    return nn.Conv2d(in_channels, out_channels, (height, width), padding=(height // 2, width // 2))


class ConvPair(nn.Sequential):
    """Two convolutions with a GELU between them; they have the keys 0 and 2, as published."""

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        super().__init__(first, nn.GELU(), second)

    @property
    def first(self) -> nn.Conv2d:
        """The convolution before the activation."""
        return cast(nn.Conv2d, self[0])

    @property
    def second(self) -> nn.Conv2d:
        """The convolution after the activation."""
        return cast(nn.Conv2d, self[2])

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) -> (N, out, h', w')."""
        return apply_conv(self.second, apply_conv(self.first, x, gelu=True))


def conv_pair(
    in_channels: int, hidden: int, out_channels: int, kernels: tuple[int, int]
) -> ConvPair:
    """Return two convolutions of stride 1 with a GELU between them."""
    return ConvPair(conv(in_channels, hidden, kernels[0]), conv(hidden, out_channels, kernels[1]))


class GatedFusion(KeepsWeights):
    """Fuse two maps of equal width D: f(a, b) + g(a, b)·a + (1 − g(a, b))·b."""

    def __init__(self, channels: int, kernel: int = 1) -> None:
        super().__init__()
        self.feature_gate = conv_pair(2 * channels, channels, channels, (kernel, 1))
        self.feature_fusion = conv_pair(2 * channels, 2 * channels, channels, (kernel, 1))
        self.pointwise = kernel == 1
        self.made = MadeTensors()

    def keep_device_weights(self) -> None:
        """Join both first layers, whose weights become views of the joined ones."""
        self.made.keep(self._make)
        first, _, second = self.made(self._make)
        widths = [pair.first.weight.shape[0] for pair in self._pairs]
        for pair, part in zip(self._pairs, torch.split(first[: sum(widths)], widths), strict=True):
            share(pair.first, part)
        last = self.feature_fusion.second
        share(last, second[:, : last.weight.shape[1]])

    @property
    def _pairs(self) -> tuple[ConvPair, ConvPair]:
        return self.feature_gate, self.feature_fusion

    def _make(self) -> tuple[Tensor, ...]:
        """Return the first weight and bias, and the second weight of the fusion."""
        weight, bias = join(tuple(pair.first for pair in self._pairs))
        second = self.feature_fusion.second
        wide, bias = device_path.with_constant(weight, bias)
        return (
            wide.contiguous(memory_format=torch.channels_last),
            bias,
            device_path.reading_constant(second.weight.flatten(1), device_path.bias_of(second)),
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(N, D, h, w), (N, D, h, w) -> (N, D, h, w)."""
        if device_path.serves(a):
            return to_maps(self._fuse_on_device(to_tokens(a), to_tokens(b)))
        if self.pointwise:
            return to_maps(in_bands(self._fuse_tokens, to_tokens(a), to_tokens(b)))
        return in_overlapping_bands(self._fuse_maps, a, b, halo=1, channels=2 * a.shape[1])

    def _fuse_on_device(self, a: Tensor, b: Tensor) -> Tensor:
        weight, bias, last = self.made(self._make)
        if self.pointwise:
            both = torch.cat((a, b), dim=-1)
            wide = device_path.gelu_product(both, weight.flatten(1), bias)
        else:
            maps = torch.cat((to_maps(a), to_maps(b)), dim=1)
            layer = self.feature_gate.first
            wide = to_tokens(torch.conv2d(maps, weight, bias, padding=cast(Any, layer.padding)))
            torch.ops.aten.gelu_(wide)
        split = self.feature_gate.first.weight.shape[0]
        second = self.feature_gate.second
        weight, bias = second.weight.flatten(1), device_path.bias_of(second)
        gate = device_path.product(wide[..., :split], weight, bias).sigmoid_().clamp_(0.01, 0.99)
        return device_path.add_product(torch.lerp(b, a, gate), wide[..., split:], last)

    def _fuse_maps(self, a: Tensor, b: Tensor) -> Tensor:
        wide = [convolve_joined((a, b), pair.first, 'gelu') for pair in self._pairs]
        return to_maps(in_bands(self._combine, *map(to_tokens, (a, b, *wide))))

    def _fuse_tokens(self, a: Tensor, b: Tensor) -> Tensor:
        both = torch.cat((a, b), dim=-1)
        gate = project(both, self.feature_gate.first, gelu=True)
        return self._combine(a, b, gate, project(both, self.feature_fusion.first, gelu=True))

    def _combine(self, a: Tensor, b: Tensor, gate: Tensor, fused: Tensor) -> Tensor:
        """Finish from what both first convolutions give after their activation."""
        gate_value = project(gate, self.feature_gate.second).sigmoid().clamp(0.01, 0.99)
        return project(fused, self.feature_fusion.second, add=promoting_lerp(b, a, gate_value))


class ConvBlock(KeepsWeights):
    """Sum of a 3×3 and a 1×1 branch of two convolutions each, without an identity path."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = conv_pair(channels, channels, channels, (3, 3))
        self.convs_1x = nn.Sequential(
            conv(channels, channels, 1), nn.ReLU(), conv(channels, channels, 1)
        )
        self.made = MadeTensors()

    def keep_device_weights(self) -> None:
        """Make the 1×1 branch, which brings the bias of both branches."""
        self.made.keep(self._make)
        weight, bias, second = self.made(self._make)
        channels = second.shape[0]
        share(self._narrow[0], weight[:channels], bias[:channels])
        share(self._narrow[1], second[:, :channels])

    @property
    def _narrow(self) -> tuple[nn.Conv2d, nn.Conv2d]:
        return cast(nn.Conv2d, self.convs_1x[0]), cast(nn.Conv2d, self.convs_1x[2])

    def _make(self) -> tuple[Tensor, ...]:
        return device_path.chain(*self._narrow, device_path.bias_of(self.convs.second))

    def forward(self, x: Tensor) -> Tensor:
        """(N, D, h, w) -> (N, D, h, w)."""
        if device_path.serves(x):
            return self.apply_on_device(x)
        return in_overlapping_bands(self._both_branches, x, halo=2)

    def _both_branches(self, x: Tensor) -> Tensor:
        wide = to_tokens(self.convs(x))
        return to_maps(in_bands(self._add_narrow, to_tokens(x), wide, out=wide))

    def followed_by(self, layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
        """Return the last weights of both branches for this block and a 1×1 layer after it."""
        last, second = self.made(self._make)[2], self.convs.second.weight
        after = layer.weight.flatten(1).float()
        wide = (after @ second.flatten(1).float()).view(-1, *second.shape[1:])
        narrow = after @ last.float()
        narrow[:, -device_path.MULTIPLE] += device_path.bias_of(layer) / device_path.CONSTANT
        wide = wide.to(second.dtype).contiguous(memory_format=torch.channels_last)
        return wide, narrow.to(last.dtype)

    def apply_on_device(
        self, x: Tensor, wide: Tensor | None = None, narrow: Tensor | None = None
    ) -> Tensor:
        """Apply the block, with other last weights where these are given."""
        weight, bias, last = self.made(self._make)
        hidden = convolve(x, self.convs.first, 'gelu')
        # Without a bias, which cuDNN would add in a pass of its own.
        second = self.convs.second.weight if wide is None else wide
        total = to_tokens(torch.conv2d(hidden, second, padding=[1, 1]))
        rest = device_path.relu_product(to_tokens(x), weight, bias)
        return to_maps(device_path.add_product(total, rest, last if narrow is None else narrow))

    def _add_narrow(self, x: Tensor, wide: Tensor) -> Tensor:
        first, second = self._narrow
        return project(project(x, first).relu_(), second, add=wide)


class Down(nn.Sequential):
    """Halve a map: 2×2 average, then a 1×1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.AvgPool2d(2), conv(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) -> (N, out, h/2, w/2)."""
        return apply_conv(cast(nn.Conv2d, self[1]), self[0](x))


class Up(nn.Sequential):
    """Double a map: bilinear, half-pixel centers, and a 1×1 convolution.

    The weights of the interpolation sum to one, so it commutes with the convolution, which
    therefore runs first, on a quarter of the pixels. Index 1 keeps the published key.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Identity(), conv(in_channels, out_channels, 1))

    @property
    def layer(self) -> nn.Conv2d:
        """The convolution."""
        return cast(nn.Conv2d, self[1])

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) -> (N, out, 2h, 2w)."""
        return doubled(apply_conv(self.layer, x))


class FeedForward(KeepsWeights):
    """Residual two-layer perceptron on normalized tokens, which it may overwrite (`owned`)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ffn = nn.Sequential(
            nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, channels)
        )
        self.made = MadeTensors()

    def keep_device_weights(self) -> None:
        """Make the second layer take its bias from a channel of the first."""
        self.made.keep(self._make)
        weight, bias, second = self.made(self._make)
        channels = second.shape[0]
        share(self._layers[0], weight[:channels], bias[:channels])
        share(self._layers[1], second[:, :channels])

    @property
    def _layers(self) -> tuple[nn.Linear, nn.Linear]:
        return cast(nn.Linear, self.ffn[0]), cast(nn.Linear, self.ffn[2])

    def _make(self) -> tuple[Tensor, ...]:
        return device_path.chain(*self._layers)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        if device_path.serves(tokens):
            weight, bias, last = self.made(self._make)
            hidden = device_path.gelu_product(normalize(tokens), weight, bias)
            return device_path.add_product(tokens, hidden, last)
        first, second = self._layers
        return project(project(normalize(tokens), first, gelu=True), second, add=tokens)


def apply_conv(layer: nn.Conv2d, maps: Tensor, *, gelu: bool = False) -> Tensor:
    """Apply a convolution, and a GELU if asked; a 1×1 one is a product of tokens.

    (N, in, h, w) -> (N, out, h', w')
    """
    if layer.kernel_size == (1, 1):
        return to_maps(in_bands(partial(project, layer=layer, gelu=gelu), to_tokens(maps)))
    return convolve(maps, layer, 'gelu') if gelu else convolve_alone(maps, layer)


def doubled(maps: Tensor) -> Tensor:
    """Double maps by bilinear interpolation: (N, C, h, w) -> (N, C, 2h, 2w)."""
    return functional.interpolate(maps, scale_factor=2.0, mode='bilinear')


def normalize(tokens: Tensor) -> Tensor:
    """Layer normalization over the last axis, ε = 1e−5, without parameters."""
    return functional.layer_norm(tokens, tokens.shape[-1:])


def to_tokens(maps: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h, w, C), a view of the same memory."""
    return maps.permute(0, 2, 3, 1)


def to_maps(tokens: Tensor) -> Tensor:
    """(N, h, w, C) -> (N, C, h, w), a view of the same memory."""
    return tokens.permute(0, 3, 1, 2)


def halves(stacked: Tensor) -> tuple[Tensor, Tensor]:
    """Return views of the left and of the right half of the first axis.

    Not ``chunk``, which exporters cannot apply to a batch of unknown size.
    """
    count = stacked.shape[0] // 2
    return stacked[:count], stacked[count:]
