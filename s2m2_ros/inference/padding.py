"""Margins that bring an image to multiples of 32, as the published demos make them.

The margin is not neutral: attention at 1/32 and the group norm see it, so another margin moves
every pixel of the result a little.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

MULTIPLE = 32


@dataclass(frozen=True)
class Padding:
    """Margins around an image of `height` x `width` pixels, both at least 32.

    The image sits in the middle; of an odd number of extra rows or columns the odd one is below
    or to the right.
    """

    height: int
    width: int

    @property
    def padded_height(self) -> int:
        """The next multiple of 32."""
        return -(-self.height // MULTIPLE) * MULTIPLE

    @property
    def padded_width(self) -> int:
        """The next multiple of 32."""
        return -(-self.width // MULTIPLE) * MULTIPLE

    @property
    def top(self) -> int:
        """Rows above the image."""
        return (self.padded_height - self.height) // 2

    @property
    def left(self) -> int:
        """Columns left of the image."""
        return (self.padded_width - self.width) // 2

    def pad(self, images: torch.Tensor) -> torch.Tensor:
        """Return (N, C, H, W) images of any type as float32 (N, C, H', W').

        Zeros around the image are averaged in, coarsely, and stretched back: the margin is a
        smooth, darkened continuation of the image. The image itself is unchanged.
        """
        values = images.float()
        if (self.padded_height, self.padded_width) == (self.height, self.width):
            return values
        below = self.padded_height - self.height - self.top
        beyond = self.padded_width - self.width - self.left
        bordered = functional.pad(values, (self.left, beyond, self.top, below))
        # The bins come from the size before padding, so they are larger than 32 where it grew.
        coarse = functional.adaptive_avg_pool2d(
            bordered, (self.height // MULTIPLE, self.width // MULTIPLE)
        )
        smooth = functional.interpolate(
            coarse, (self.padded_height, self.padded_width), mode='bilinear', align_corners=False
        )
        self.crop(smooth).copy_(values)
        return smooth

    def crop(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the view (..., H, W) of (..., H', W') maps that `pad` put the image into."""
        rows = slice(self.top, self.top + self.height)
        return maps[..., rows, self.left : self.left + self.width]
