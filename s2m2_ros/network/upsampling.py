"""From maps at 1/4 to maps at full resolution, guided by the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2m2_ros.network import device_path, winograd
from s2m2_ros.network.bands import banding_pays
from s2m2_ros.network.device_upsampling import (
    double_into,
    doubling_weights,
    empty_maps,
    filtered,
    quadrupled,
    scale_into,
)
from s2m2_ros.network.joined import KeepsWeights, MadeTensors
from s2m2_ros.network.layers import apply_conv, conv, to_maps, to_tokens
from s2m2_ros.network.precision import full_precision, in_full_precision
from s2m2_ros.network.prediction import Prediction
from s2m2_ros.network.products import convolve_joined, product

_NEIGHBORS = 9
# Of the features at full resolution on a GPU; a power of two, so that dividing by it is exact.
_UNIT = 64.0
_parts = device_path.part_count


class Upsampler4x(KeepsWeights):
    """Weights of the window means that take maps from 1/4 to full resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_x = nn.ConvTranspose2d(channels, 64, 2, stride=2)
        self.conv_y = conv(channels, 64, 3)
        self.conv_concat = nn.Sequential(
            conv(128, 128, 3),
            nn.ReLU(),
            nn.ConvTranspose2d(128, _NEIGHBORS, 2, stride=2),
        )
        self.made = MadeTensors()

    def keep_device_weights(self) -> None:
        """Make the transposed convolutions products."""
        self.made.keep(self._make)

    def _make(self) -> tuple[Tensor, ...]:
        last = cast(nn.ConvTranspose2d, self.conv_concat[2])
        return *doubling_weights(self.conv_x), *doubling_weights(last)

    def upsample(self, maps: Tensor, hidden: Tensor, half: Tensor) -> Tensor:
        """Take maps (B, M, H/4, W/4) to full resolution."""
        if not device_path.serves(hidden):
            return window_means(maps, self(hidden, half), 4)
        weight, bias, last, last_bias = self.made(self._make)
        both = empty_maps((half.shape[0], 128, *half.shape[-2:]), half.dtype, half.device)
        double_into(both[:, :64], hidden, weight, bias)
        both[:, 64:] = self.conv_y(half)
        layer = cast(nn.Conv2d, self.conv_concat[0])
        mixed = device_path.relu_convolution(both, layer.weight, device_path.bias_of(layer))
        return quadrupled(maps, device_path.product(to_tokens(mixed), last, last_bias))

    def forward(self, hidden: Tensor, half: Tensor) -> Tensor:
        """(B, C, H/4, W/4), (B, C, H/2, W/2) -> logits (B, 9, H, W)."""
        parts = doubling(self.conv_x, hidden), apply_conv(self.conv_y, half)
        mixed = convolve_joined(parts, cast(nn.Conv2d, self.conv_concat[0]), 'relu')
        return doubling(cast(nn.ConvTranspose2d, self.conv_concat[2]), mixed)


class Upsampler1x(KeepsWeights):
    """Weights of the edge-guided filter at full resolution.

    It runs in float32 but for float16 on a GPU, where the disparity is read as two numbers that
    add up to float32.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_disp = nn.Sequential(nn.ConvTranspose2d(1, 16, 3, padding=1), nn.ReLU())
        self.conv_rgb = nn.Sequential(nn.ConvTranspose2d(3, 16, 3, padding=1), nn.ReLU())
        self.conv_ctx = nn.ConvTranspose2d(channels, 16, 2, stride=2)
        self.conv_concat = nn.Sequential(
            conv(48, 48, 3), nn.ReLU(), nn.ConvTranspose2d(48, _NEIGHBORS, 1)
        )
        self.made = MadeTensors()

    def keep_device_weights(self) -> None:
        """Make the weights, the first layers of disparity and image as one."""
        self.made.keep(self._make)

    @property
    def _device_type(self) -> torch.dtype:
        """What a GPU computes in: eight bits of bfloat16 would be too few for the logits."""
        dtype = self.conv_ctx.weight.dtype
        return torch.float16 if dtype is torch.float16 else torch.float32

    def _make(self) -> tuple[Tensor, ...]:
        """Return the weights and biases of all layers, for features in a unit.

        All of them are linear or ReLU, so the unit goes in with the first layers and out with the
        last one. In float16 it keeps disparities of thousands of pixels in range.
        """
        dtype = self._device_type
        firsts = [cast(nn.ConvTranspose2d, pair[0]) for pair in (self.conv_disp, self.conv_rgb)]
        first = device_path.block_diagonal(*(convolution_weight(f).float() for f in firsts))
        first_bias = torch.cat([device_path.bias_of(layer).float() for layer in firsts])
        # The image is read from the first part alone.
        rests = [functional.pad(first[:, :1], (0, 0, 0, 0, 0, 3))] * (_parts(dtype) - 1)
        first = torch.cat((first, *rests), dim=1)
        middle = cast(nn.Conv2d, self.conv_concat[0])
        last = cast(nn.ConvTranspose2d, self.conv_concat[2])
        # With channels more, where the features of the context will be written.
        more = middle.weight.shape[1] - first.shape[0]
        context, context_bias = doubling_weights(self.conv_ctx)
        order = torch.channels_last
        return (
            functional.pad(first / _UNIT, (0, 0, 0, 0, 0, 0, 0, more)).to(
                dtype, memory_format=order
            ),
            functional.pad(first_bias / _UNIT, (0, more)).to(dtype),
            context / _UNIT,
            context_bias / _UNIT,
            middle.weight.to(dtype, memory_format=order),
            (device_path.bias_of(middle).float() / _UNIT).to(dtype),
            (convolution_weight(last).float().flatten(1) * _UNIT).to(dtype),
            device_path.bias_of(last).to(dtype),
        )

    def _on_device(self, disparity: Tensor, image: Tensor, half: Tensor) -> Tensor:
        first, first_bias, *context, middle, middle_bias, last, last_bias = self.made(self._make)
        joined = device_path.relu_convolution(
            _join(disparity, image, first.dtype), first, first_bias
        )
        double_into(joined[:, -16:], half, *context)
        mixed = device_path.relu_convolution(joined, middle, middle_bias)
        # At full resolution these are the largest maps of all.
        del joined
        return to_maps(device_path.product(to_tokens(mixed), last, last_bias))

    def forward(self, disparity: Tensor, image: Tensor, half: Tensor) -> Tensor:
        """Compute the logits of the filter.

        Args:
            disparity: (B, 1, H, W) in input pixels, float32.
            image: (B, 3, H, W) left image scaled to −1..1, float32; on a GPU the image itself.
            half: (B, C, H/2, W/2) features of the left image.

        Returns: logits (B, 9, H, W) float32; on a GPU in its type, in channels-last order.
        """
        if device_path.serves(half):
            return self._on_device(disparity, image, half)
        context = doubling(self.conv_ctx, half).float()
        with full_precision(disparity):
            parts = (
                flipped(self.conv_disp[0], disparity).relu_(),
                flipped(self.conv_rgb[0], image).relu_(),
                context,
            )
            joined = join_maps(parts)
            # At full resolution these are the largest maps of all.
            del parts, context
            first = cast(nn.Conv2d, self.conv_concat[0])
            if winograd.serves((joined,), first):
                mixed = winograd.convolve((joined,), first, 'relu')
            else:
                mixed = in_full_precision(first, joined, first.weight).relu_()
            del joined
            return flipped(self.conv_concat[2], mixed)


def _join(disparity: Tensor, image: Tensor, dtype: torch.dtype) -> Tensor:
    """Return disparity and scaled image as maps (B, 4·n, H, W), the disparity in n parts.

    Every part has the image behind it, for channels in fours.
    """
    count = _parts(dtype)
    batch, _, height, width = disparity.shape
    both = empty_maps((batch, 4 * count, height, width), dtype, disparity.device)
    grouped = both.view(batch, count, 4, height, width)
    device_path.write_parts(grouped[:, :, :1].unbind(1), disparity)
    scale_into(grouped[:, :, 1:], image[:, None].expand(-1, count, -1, -1, -1))
    return both


def join_maps(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate along the channels, on a processor in channels-last order.

    Convolutions of few channels leave another order, in which the next takes thrice as long.
    """
    if banding_pays(parts[0]):
        parts = [part.contiguous(memory_format=torch.channels_last) for part in parts]
    return torch.cat(list(parts), dim=1)


def doubling(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """Apply a 2×2 transposed convolution of stride 2 as a product and a pixel shuffle."""
    bias = layer.bias.repeat_interleave(4) if layer.bias is not None else None
    wide = product(to_tokens(x), layer.weight.flatten(1).t(), bias)
    return functional.pixel_shuffle(to_maps(wide), 2)


def flipped(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a transposed convolution of stride 1 as a convolution, in float32."""
    transposed = cast(nn.ConvTranspose2d, layer)
    return in_full_precision(transposed, x, convolution_weight(transposed))


def convolution_weight(layer: nn.ConvTranspose2d) -> Tensor:
    """Return the weight (out, in, ...) of the convolution that equals a transposed one."""
    return layer.weight.flip(2, 3).transpose(0, 1)


def window_means(maps: Tensor, logits: Tensor, factor: int) -> Tensor:
    """Average 3×3 windows of maps with one set of weights for every output pixel.

    Args:
        maps: (B, M, h, w) float32. Windows at the border repeat the edge pixels.
        logits: (B, 9, factor·h, factor·w), softmax over the 9; element 3a + b belongs to the
            neighbor at row a − 1 and column b − 1 of the pixel that lies under the output pixel.

    Returns: (B, M, factor·h, factor·w) float32.
    """
    height, width = maps.shape[-2:]
    if factor == 1 and device_path.serves(maps):
        return filtered(maps, logits)
    padded = with_edges(maps)
    weights = logits.float().softmax(dim=1)
    weights = weights.view(-1, _NEIGHBORS, height, factor, width, factor)
    total: Tensor | None = None
    for index in range(_NEIGHBORS):
        row, column = divmod(index, 3)
        shifted = padded[..., row : row + height, column : column + width]
        neighbor, weight = shifted[:, :, :, None, :, None], weights[:, index : index + 1]
        total = neighbor * weight if total is None else total.addcmul_(neighbor, weight)
    assert total is not None  # noqa: S101
    return total.flatten(4, 5).flatten(2, 3)


def with_edges(maps: Tensor) -> Tensor:
    """Repeat the edge pixels of maps (B, M, h, w) once: (B, M, h + 2, w + 2).

    As `pad` with 'replicate' does, whose gradient the compiler cannot handle for maps in
    channels-last order.
    """
    tall = torch.cat((maps[..., :1, :], maps, maps[..., -1:, :]), dim=-2)
    return torch.cat((tall[..., :1], tall, tall[..., -1:]), dim=-1)


def separate(maps: Tensor) -> Prediction:
    """Return the three maps of (B, 3, h, w)."""
    return Prediction(*torch.split(maps, 1, dim=1))
