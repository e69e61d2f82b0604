"""From maps at 1/4 to maps at full resolution, guided by the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2m2_ros.network.bands import banding_pays
from s2m2_ros.network.layers import conv, to_maps, to_tokens
from s2m2_ros.network.precision import full_precision, in_full_precision
from s2m2_ros.network.prediction import Prediction
from s2m2_ros.network.products import product

_NEIGHBORS = 9


class Upsampler4x(nn.Module):
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

    def forward(self, hidden: Tensor, half: Tensor) -> Tensor:
        """(B, C, H/4, W/4), (B, C, H/2, W/2) -> logits (B, 9, H, W)."""
        both = torch.cat((doubling(self.conv_x, hidden), self.conv_y(half)), dim=1)
        mixed = self.conv_concat[0](both).relu_()
        return doubling(cast(nn.ConvTranspose2d, self.conv_concat[2]), mixed)


class Upsampler1x(nn.Module):
    """Weights of the edge-guided filter at full resolution; float32 throughout."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_disp = nn.Sequential(nn.ConvTranspose2d(1, 16, 3, padding=1), nn.ReLU())
        self.conv_rgb = nn.Sequential(nn.ConvTranspose2d(3, 16, 3, padding=1), nn.ReLU())
        self.conv_ctx = nn.ConvTranspose2d(channels, 16, 2, stride=2)
        self.conv_concat = nn.Sequential(
            conv(48, 48, 3), nn.ReLU(), nn.ConvTranspose2d(48, _NEIGHBORS, 1)
        )

    def forward(self, disparity: Tensor, image: Tensor, half: Tensor) -> Tensor:
        """Compute the logits of the filter.

        Args:
            disparity: (B, 1, H, W) in input pixels, float32.
            image: (B, 3, H, W) left image scaled to −1..1, float32.
            half: (B, C, H/2, W/2) features of the left image.

        Returns: logits (B, 9, H, W) float32.
        """
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
            mixed = in_full_precision(first, joined, first.weight)
            del joined
            return flipped(self.conv_concat[2], mixed.relu_())


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
    return in_full_precision(transposed, x, transposed.weight.flip(2, 3).transpose(0, 1))


def window_means(maps: Tensor, logits: Tensor, factor: int) -> Tensor:
    """Average 3×3 windows of maps with one set of weights for every output pixel.

    Args:
        maps: (B, M, h, w) float32. Windows at the border repeat the edge pixels.
        logits: (B, 9, factor·h, factor·w), softmax over the 9; element 3a + b belongs to the
            neighbor at row a − 1 and column b − 1 of the pixel that lies under the output pixel.

    Returns: (B, M, factor·h, factor·w) float32.
    """
    height, width = maps.shape[-2:]
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
