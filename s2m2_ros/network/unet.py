"""The U-net used by the feature pyramid and by both refiners."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from s2m2_ros.network.attention import GlobalBlock
from s2m2_ros.network.layers import ConvBlock, Down, GatedFusion, Up

_HEADS = 8


class Pyramid(NamedTuple):
    """Maps at 1/4, 1/8, 1/16 and 1/32 of the input resolution, each (N, channels, h, w)."""

    quarter: Tensor
    eighth: Tensor
    sixteenth: Tensor
    thirtysecond: Tensor


class UNet(nn.Module):
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
        quarter = self.enc0(x)
        eighth = self.enc1(self.down_conv0(quarter))
        sixteenth = self.enc2(self.down_conv1(eighth))
        bottom = self.dec3s(self.enc3s(self.down_conv2(sixteenth)))
        sixteenth = self.dec2(self.concat_conv2(sixteenth, self.up_conv2(bottom)))
        eighth = self.dec1(self.concat_conv1(eighth, self.up_conv1(sixteenth)))
        quarter = self.dec0(self.concat_conv0(quarter, self.up_conv0(eighth)))
        return Pyramid(quarter, eighth, sixteenth, bottom)
