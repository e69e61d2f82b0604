"""Bringing images to the size that a network works at, and its disparity back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from s2m2_ros.errors import ImageError
from s2m2_ros.inference.images import SMALLEST_SIDE
from s2m2_ros.inference.scaling import resize_images, resize_maps
from s2m2_ros.weights.other_networks import NetworkDescription
from s2m2_ros.weights.other_networks.description import MOST_PIXELS


@dataclass(frozen=True)
class Fit:
    """How images of one size come to that of a network.

    Images are scaled to `inner_height` x `inner_width`, then their lower and right edges are
    repeated up to `outer_height` x `outer_width`. Nothing is ever to the left or above: columns
    count from the same edge in both views, so the padding does not change the disparity.

    Attributes:
        height, width: of the images, in pixels.
        inner_height, inner_width: of the images as the network sees them.
        outer_height, outer_width: of the network's input.

    """

    height: int
    width: int
    inner_height: int
    inner_width: int
    outer_height: int
    outer_width: int

    @property
    def outer(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return self.outer_height, self.outer_width

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Return (B, C, H, W) images of any type as float32 of the network's size."""
        inner = (self.inner_height, self.inner_width)
        scaled = images.float()
        if inner != (self.height, self.width):
            scaled = resize_images(scaled, inner)
        below, beside = self.outer_height - inner[0], self.outer_width - inner[1]
        if below or beside:
            scaled = functional.pad(scaled, (0, beside, 0, below), mode='replicate')
        return scaled

    def undo(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps (N, h, w) of the network's input at the images' size.

        The first one is the disparity, in pixels of the input; it comes back in pixels of the
        images, and its edges stay sharp in all maps.
        """
        inner = maps[:, : self.inner_height, : self.inner_width]
        if (self.inner_height, self.inner_width) == (self.height, self.width):
            return inner.contiguous()
        resized = resize_maps(inner, (self.height, self.width))
        resized[0] *= self.disparity_scale
        return resized

    @property
    def disparity_scale(self) -> float:
        """What the network's disparity is multiplied by to be in pixels of the images."""
        return self.width / self.inner_width


def fit_for(description: NetworkDescription, height: int, width: int) -> Fit:
    """Return how images of a size come to a network.

    Raises ImageError if they would get too small for it.
    """
    fixed = (description.height, description.width)
    if description.fit == 'stretch':
        inner = tuple(
            side or _near_multiple(own, description.multiple)
            for side, own in zip(fixed, (height, width), strict=True)
        )
    else:
        factors = [side / own for side, own in zip(fixed, (height, width), strict=True) if side]
        if description.fit == 'pad':
            factors.append(1.0)
        factor = min(factors, default=1.0)
        scaled = (round(own * factor) for own in (height, width))
        inner = tuple(
            min(own, side) if side else own for side, own in zip(fixed, scaled, strict=True)
        )
    if min(inner) < SMALLEST_SIDE:
        raise ImageError(
            f'images of {width}x{height} become {inner[1]}x{inner[0]} for this network of '
            f'{fixed[1] or "any"}x{fixed[0] or "any"}: both sides must be at least '
            f'{SMALLEST_SIDE} pixels'
        )
    if inner[0] * inner[1] > max(MOST_PIXELS, height * width):
        raise ImageError(
            f'images of {width}x{height} become {inner[1]}x{inner[0]} for this network: more than '
            f'{MOST_PIXELS} pixels'
        )
    outer = tuple(
        side or -(-own // description.multiple) * description.multiple
        for side, own in zip(fixed, inner, strict=True)
    )
    return Fit(height, width, *inner, *outer)


def _near_multiple(side: int, multiple: int) -> int:
    return max(1, round(side / multiple)) * multiple
