"""The U-net used by the feature pyramid and by both refiners."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from s2m2_ros.network import device_path
from s2m2_ros.network.attention import GlobalBlock
from s2m2_ros.network.joined import KeepsWeights, MadeTensors
from s2m2_ros.network.layers import ConvBlock, Down, GatedFusion, Up, doubled

_HEADS = 8


class Pyramid(NamedTuple):
    """Maps at 1/4, 1/8, 1/16 and 1/32 of the input resolution, each (N, channels, h, w)."""

    quarter: Tensor
    eighth: Tensor
    sixteenth: Tensor
    thirtysecond: Tensor


class UNet(KeepsWeights):
    """Convolution blocks at three resolutions with attention at the fourth.

    Args:
        widths: channels at 1/4, at 1/8, and at both 1/16 and 1/32.
        blocks: attention blocks before the bottom, and as many after it.
        positional: whether the blocks before the bottom use the relative positional code.
    """

    def __init__(
        self, widths: tuple[int, int, int], blocks: int, *, positional: bool = False
    ) -> None:
        super().__init__()
        first, second, third = widths
        self.down_conv0 = Down(first, second)
        self.down_conv1 = Down(second, third)
        self.down_conv2 = Down(third, third)
        self.up_conv0 = Up(second, first)
        self.up_conv1 = Up(third, second)
        self.up_conv2 = Up(third, third)
        self.concat_conv0 = GatedFusion(first)
        self.concat_conv1 = GatedFusion(second)
        self.concat_conv2 = GatedFusion(third)
        self.enc0 = ConvBlock(first)
        self.enc1 = ConvBlock(second)
        self.enc2 = ConvBlock(third)
        self.enc3s = nn.Sequential(
            *(GlobalBlock(third, _HEADS, positional=positional) for _ in range(blocks))
        )
        self.dec0 = ConvBlock(first)
        self.dec1 = ConvBlock(second)
        self.dec2 = ConvBlock(third)
        self.dec3s = nn.Sequential(*(GlobalBlock(third, _HEADS) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Pyramid:
        """(N, D0, h, w) with h and w multiples of 8 -> maps of D0, D1, D2 and D2 channels."""
        quarter, eighth, sixteenth, bottom = self._encode(x)
        sixteenth = self.dec2(self.concat_conv2(sixteenth, self.up_conv2(bottom)))
        eighth = self.dec1(self.concat_conv1(eighth, self.up_conv1(sixteenth)))
        quarter = self.dec0(self.concat_conv0(quarter, self.up_conv0(eighth)))
        return Pyramid(quarter, eighth, sixteenth, bottom)

    def _encode(self, x: Tensor) -> Pyramid:
        """Return the maps on the way down, the last one with all of its blocks."""
        quarter = self.enc0(x)
        eighth = self.enc1(self.down_conv0(quarter))
        sixteenth = self.enc2(self.down_conv1(eighth))
        return Pyramid(
            quarter, eighth, sixteenth, self.dec3s(self.enc3s(self.down_conv2(sixteenth)))
        )


class OuterUNet(UNet):
    """A U-net of whose maps only the one at 1/4 is used.

    On a GPU the 1×1 layer of an `Up` is part of the last layers of the block before it.
    """

    def __init__(self, widths: tuple[int, int, int], blocks: int) -> None:
        super().__init__(widths, blocks)
        self.made = MadeTensors()

    def keep_device_weights(self) -> None:
        """Make the last layers of the inner blocks."""
        self.made.keep(self._make)

    def _make(self) -> tuple[Tensor, ...]:
        return *self.dec2.followed_by(self.up_conv1.layer), *self.dec1.followed_by(
            self.up_conv0.layer
        )

    def at_quarter(self, x: Tensor) -> Tensor:
        """(N, D0, h, w) -> the map of D0 channels that ``forward`` returns first."""
        if not device_path.serves(x):
            result: Pyramid = self(x)
            return result.quarter
        wide2, narrow2, wide1, narrow1 = self.made(self._make)
        quarter, eighth, sixteenth, bottom = self._encode(x)
        fused = self.concat_conv2(sixteenth, self.up_conv2(bottom))
        small = self.dec2.apply_on_device(fused, wide2, narrow2)
        fused = self.concat_conv1(eighth, doubled(small))
        small = self.dec1.apply_on_device(fused, wide1, narrow1)
        result0: Tensor = self.dec0(self.concat_conv0(quarter, doubled(small)))
        return result0
