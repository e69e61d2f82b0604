"""The multi-resolution transformer: attention at four resolutions, fused down and up."""

from __future__ import annotations

from torch import Tensor, nn

from s2m2_ros.network.attention import CrossBlock
from s2m2_ros.network.layers import Down, GatedFusion, Up
from s2m2_ros.network.unet import Pyramid


class MultiResolutionTransformer(nn.Module):
    """Row-wise attention at 1/4, 1/8 and 1/16 and global attention at 1/32, down and up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.down_conv0 = Down(channels, channels)
        self.down_conv1 = Down(channels, wide)
        self.down_conv2 = Down(wide, wide)
        self.up_conv0 = Up(channels, channels)
        self.up_conv1 = Up(wide, channels)
        self.up_conv2 = Up(wide, wide)
        self.down_concat1 = GatedFusion(channels)
        self.down_concat2 = GatedFusion(wide)
        self.down_concat3 = GatedFusion(wide)
        self.up_concat0 = GatedFusion(channels)
        self.up_concat1 = GatedFusion(channels)
        self.up_concat2 = GatedFusion(wide)
        self.enc_attn0 = CrossBlock(channels, 1, rows=True)
        self.enc_attn1 = CrossBlock(channels, 2, rows=True)
        self.enc_attn2 = CrossBlock(wide, 4, rows=True)
        self.enc_attn3s = nn.Sequential(*(CrossBlock(wide, 8, rows=False) for _ in range(2)))
        self.dec_attn0 = CrossBlock(channels, 1, rows=True)
        self.dec_attn1 = CrossBlock(channels, 2, rows=True)
        self.dec_attn2 = CrossBlock(wide, 4, rows=True)
        self.dec_attn3s = nn.Sequential(*(CrossBlock(wide, 8, rows=False) for _ in range(2)))

    def forward(self, maps: Pyramid) -> Pyramid:
        """Transform maps of C, C, 2C and 2C channels of stacked images; shapes stay.

        On a GPU the map at 1/4 is overwritten.
        """
        z0 = self.enc_attn0(maps.quarter)
        z1 = self.enc_attn1(self.down_concat1(maps.eighth, self.down_conv0(z0)))
        z2 = self.enc_attn2(self.down_concat2(maps.sixteenth, self.down_conv1(z1)))
        z3 = self.down_concat3(maps.thirtysecond, self.down_conv2(z2))
        z3 = self.dec_attn3s(self.enc_attn3s(z3))
        z2 = self.dec_attn2(self.up_concat2(z2, self.up_conv2(z3)))
        z1 = self.dec_attn1(self.up_concat1(z1, self.up_conv1(z2)))
        z0 = self.dec_attn0(self.up_concat0(z0, self.up_conv0(z1)))
        return Pyramid(z0, z1, z2, z3)


class TransformerStack(nn.Module):
    """Multi-resolution transformers one after the other."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.uformer_list = nn.Sequential(
            *(MultiResolutionTransformer(channels) for _ in range(count))
        )

    def forward(self, maps: Pyramid) -> Tensor:
        """Return the (2B, C, H/4, W/4) map that is matched, from those of stacked images."""
        result: Pyramid = self.uformer_list(maps)
        return result.quarter
