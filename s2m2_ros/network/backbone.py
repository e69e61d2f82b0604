"""The convolutional backbone: from images to features at 1/2 and 1/4."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from s2m2_ros.network import device_path
from s2m2_ros.network.bands import banding_pays, in_overlapping_bands
from s2m2_ros.network.joined import KeepsWeights, MadeTensors
from s2m2_ros.network.layers import ConvPair, apply_conv, conv, conv_pair, to_maps, to_tokens
from s2m2_ros.network.products import convolve, convolve_onto

# Pixels of one pass at full resolution. More are taken image by image: that is as fast once the
# images are large, and the maps at 1/2 are the largest of the network.
_PIXELS_AT_ONCE = 1 << 18
_HALO = 2  # of the 5×5 convolution


class Backbone(KeepsWeights):
    """Features of images scaled to −1..1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = conv_pair(3, 16, 16, (1, 1))
        self.conv1_down = ConvPair(
            nn.Conv2d(16, 64, 5, stride=2, padding=2), conv(64, channels, 3)
        )
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv2 = conv_pair(channels, channels, channels, (3, 3))
        self.conv2_down = nn.Sequential(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
        self.made = MadeTensors()

    def keep_device_weights(self) -> None:
        """Make one layer of two without an activation between them."""
        self.made.keep(self._make)

    def _make(self) -> tuple[Tensor, ...]:
        """Return the first weight and bias, and the weight that shrinks their maps.

        The bias between comes from a constant channel, which is 0 outside the image as the maps
        of the published network are.
        """
        first, second = self.conv0.first, self.conv0.second
        shrinking = self.conv1_down.first.weight
        weight, bias = device_path.with_constant(first.weight.flatten(1), first.bias)
        middle = device_path.reading_constant(
            second.weight.flatten(1).float(), device_path.bias_of(second).float()
        )
        composed = torch.einsum('omyx,mi->oiyx', shrinking.float(), middle).to(shrinking.dtype)
        return weight, bias, composed.contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features of stacked images, left ones first.

        Args:
            images: (2B, 3, H, W).

        Returns: the features (B, C, H/2, W/2) of the left images, which alone are used at this
            resolution later, and the features (2B, C, H/4, W/4) of all.
        """
        count = images.shape[0]
        if not banding_pays(images) or images[:, 0].numel() <= _PIXELS_AT_ONCE:
            half = self.features(images)
            return half[: count // 2], self.conv2_down(half)
        halves, quarters = [], []
        for index in range(count):
            half = self.features(images[index : index + 1])
            quarters.append(self.conv2_down(half))
            if index < count // 2:
                halves.append(half)
        return join(halves), join(quarters)

    def features(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, C, H/2, W/2)."""
        shrunk = in_overlapping_bands(self._shrink, images, halo=_HALO, channels=16)
        normed = self._normalize(apply_conv(self.conv1_down.second, shrunk))
        del shrunk
        return convolve_onto(normed, convolve(normed, self.conv2.first, 'gelu'), self.conv2.second)

    def _shrink(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 64, H/2, W/2)."""
        if _fuses_on_device(images):
            weight, bias, shrinking = self.made(self._make)
            wide = to_maps(device_path.gelu_product(to_tokens(images), weight, bias))
            layer = self.conv1_down.first
            return convolve(wide, layer, 'gelu', (shrinking, layer.bias))
        return convolve(self.conv0(images), self.conv1_down.first, 'gelu')

    def _normalize(self, maps: Tensor) -> Tensor:
        """Normalize groups of channels: (N, C, h, w) -> (N, C, h, w).

        On a GPU, PyTorch's own operator wants another memory order and gives it back.
        """
        norm = self.norm1
        if not _fuses_on_device(maps):
            result: Tensor = norm(maps)
            return result
        tokens = to_tokens(maps)
        grouped = tokens.view(
            tokens.shape[0], -1, norm.num_groups, maps.shape[1] // norm.num_groups
        )
        variance, mean = torch.var_mean(grouped, dim=(1, 3), correction=0, keepdim=True)
        shape = grouped.shape[2:]
        scale = variance.add_(norm.eps).rsqrt_() * norm.weight.view(shape)
        shift = torch.addcmul(norm.bias.view(shape), mean, scale, value=-1.0)
        return to_maps(torch.addcmul(shift, grouped, scale).view(tokens.shape))


def _fuses_on_device(maps: Tensor) -> bool:
    """Return whether layers are one and groups are normalized by their own statistics.

    Not in bfloat16: its eight bits are too few for weights made of others, where their errors
    are the same for all pixels, and for statistics, which PyTorch rounds to the type of the maps.
    """
    return device_path.serves(maps) and maps.dtype is not torch.bfloat16


def join(parts: list[Tensor]) -> Tensor:
    """Concatenate along the first axis, without a copy of a single part."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)
