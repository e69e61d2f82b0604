"""Padding that brings an image to multiples of 32.

The padding is not neutral: attention at 1/32 and the group norm see it, so another padding moves
every pixel of the result a little. What lies left of the image matters most: a network that was
trained without padding there fills the left border, whose pixels the right view does not show,
from the wrong side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch.nn import functional

MULTIPLE = 32

PaddingMode = Literal['center', 'bottom_right']
"""`center`: the image is in the middle and the padding smooth and darkened, as the published demos
make it. `bottom_right`: the lower and right edges are repeated, for networks trained without
padding."""


class AxisTables(NamedTuple):
    """The averaging and the stretching along one axis, as matrices; float32.

    Both are linear and act on each axis by itself, so nothing but the padding has to be computed.
    """

    pool: torch.Tensor  # (bins, size): means over the bins, the zeros around the image counted
    stretch: torch.Tensor  # (padded size, bins): linear interpolation between the bins


@lru_cache(maxsize=16)
def axis_tables(size: int, padded: int, before: int, device: torch.device) -> AxisTables:
    """Return the matrices for an axis of `size` pixels that begins at `before` of `padded`.

    The bins are those of PyTorch's adaptive average pooling of the padded axis to size // 32, the
    interpolation is that of half-pixel centers.
    """
    # Tensors made in inference mode would be of no use outside it.
    with torch.inference_mode(False):
        bins = size // MULTIPLE
        index = torch.arange(bins, device='cpu')[:, None]
        first = index * padded // bins
        end = -(-(index + 1) * padded // bins)
        position = torch.arange(padded, device='cpu')
        pool = ((position >= first) & (position < end)).double() / (end - first)
        center = ((position.double() + 0.5) * bins / padded - 0.5).clamp(0, bins - 1)
        stretch = (1 - (center[:, None] - index.T).abs()).clamp_min(0)
        return AxisTables(
            pool[:, before : before + size].float().to(device), stretch.float().to(device)
        )


@dataclass(frozen=True)
class Padding:
    """Padding of an image of `height` x `width` pixels, both at least 32.

    With `center` the image is in the middle; of an odd number of extra rows or columns the odd
    one is below or to the right. With `bottom_right` it is in the upper left corner.
    """

    height: int
    width: int
    mode: PaddingMode = 'center'

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
        return (self.padded_height - self.height) // 2 if self.mode == 'center' else 0

    @property
    def left(self) -> int:
        """Columns left of the image."""
        return (self.padded_width - self.width) // 2 if self.mode == 'center' else 0

    def pad(self, images: torch.Tensor) -> torch.Tensor:
        """Return (N, C, H, W) images of any type as float32 (N, C, H', W').

        The image itself is unchanged. `center`: zeros around it are averaged in, coarsely, and
        stretched back, so that the padding is a smooth, darkened continuation of the image.
        """
        if (self.padded_height, self.padded_width) == (self.height, self.width):
            return images.float()
        if self.mode == 'bottom_right':
            below, right = self.padded_height - self.height, self.padded_width - self.width
            return functional.pad(images.float(), (0, right, 0, below), mode='replicate')
        return self._surrounded(images)

    def _surrounded(self, images: torch.Tensor) -> torch.Tensor:
        shape = (*images.shape[:2], self.padded_height, self.padded_width)
        padded = torch.empty(shape, dtype=torch.float32, device=images.device)
        inside = self.crop(padded).copy_(images)
        rows = axis_tables(self.height, self.padded_height, self.top, images.device)
        columns = axis_tables(self.width, self.padded_width, self.left, images.device)
        coarse = rows.pool @ (inside @ columns.pool.T)
        top, bottom = slice(0, self.top), slice(self.top + self.height, None)
        middle, everything = slice(self.top, self.top + self.height), slice(None)
        before, after = slice(0, self.left), slice(self.left + self.width, None)
        for strip in ((top, everything), (bottom, everything), (middle, before), (middle, after)):
            stretched = rows.stretch[strip[0]] @ coarse @ columns.stretch[strip[1]].T
            padded[..., strip[0], strip[1]] = stretched
        return padded

    def crop(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the view (..., H, W) of (..., H', W') maps that `pad` put the image into."""
        rows = slice(self.top, self.top + self.height)
        return maps[..., rows, self.left : self.left + self.width]
