"""Stereo pairs made for checks: a textured plane with a nearer rectangle in front of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from s2m2_ros.inference.export import ImageSize

BACKGROUND_SHIFT, FOREGROUND_SHIFT = 0.06, 0.12  # of the width
# Those of a planted scene: fraction of the width, and pixels at least.
BEHIND, FRONT = (1 / 32, 2), (1 / 16, 5)
# Fraction of the largest disparity that its nearer plane may have.
OF_LARGEST = 0.75
OCTAVES = ((16, 0.4), (4, 0.35), (1, 0.25))  # cell in pixels, weight


@dataclass(frozen=True)
class PlantedScene:
    """Where the two planes are, in the left image.

    Attributes:
        height, width: of the images in pixels.
        behind, front: disparities of plane and rectangle, in whole pixels.

    """

    height: int
    width: int
    behind: int
    front: int

    @property
    def rows(self) -> slice:
        """The rows of the rectangle."""
        return slice(self.height // 4, self.height - self.height // 4)

    @property
    def columns(self) -> slice:
        """The columns of the rectangle in the left image."""
        return slice(self.width * 3 // 8, self.width * 3 // 4)

    def images(self, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """Return left and right images (B, 3, H, W) float32 in 0..255, always the same.

        The pairs of a batch differ.
        """
        generator = torch.Generator().manual_seed(0)
        shape = (batch, 3, self.height, self.width)
        behind, front = _texture(shape, generator), _texture(shape, generator)
        first, last = self.columns.start, self.columns.stop
        left, right = behind.clone(), behind.roll(-self.behind, dims=-1)
        left[..., self.rows, first:last] = front[..., self.rows, first:last]
        shown = slice(first - self.front, last - self.front)
        right[..., self.rows, shown] = front[..., self.rows, first:last]
        return left, right


def planted_scene(height: int, width: int, largest: float = 0.0) -> PlantedScene:
    """Return a scene for a network that finds disparities up to `largest` px; 0: unknown."""
    behind, front = (max(least, round(width * part)) for part, least in (BEHIND, FRONT))
    if largest:
        front = min(front, max(2, int(largest * OF_LARGEST)))
        behind = min(behind, front // 2)
    return PlantedScene(height, width, behind, front)


def made_pair(size: ImageSize) -> tuple[torch.Tensor, torch.Tensor]:
    """Return left and right images (B, 3, H, W) float32 in 0..255, the same in every process."""
    shifts = (max(1, round(s * size.width)) for s in (BACKGROUND_SHIFT, FOREGROUND_SHIFT))
    return PlantedScene(size.height, size.width, *shifts).images(size.batch)


def _texture(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    height, width = shape[2:]
    total = torch.zeros(shape, dtype=torch.float32, device='cpu')
    for cell, weight in OCTAVES:
        coarse = (*shape[:2], -(-height // cell), -(-width // cell))
        noise = torch.rand(coarse, generator=generator, dtype=torch.float32, device='cpu')
        total += weight * functional.interpolate(noise, (height, width), mode='bilinear')
    return total * 255
