"""Count what the flying-pixel filter removes from ramps at depth edges, and from surfaces.

Forty ellipses of constant depth stand before a floor; their disparity is blurred as networks
blur edges. A pixel hangs in the air if its depth is over 5 % away from every true surface within
4 pixels, and lies on a surface if it is under 2 % away from one.

    python -m benchmark.flying_pixels
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

from s2m2_ros.geometry import FlyingPixelFilter
from s2m2_ros.geometry.filters import flying_pixels

WIDTH, HEIGHT = 1280, 720


def main() -> None:
    """Print one line for each way of blurring."""
    rng = np.random.default_rng(0)
    for name, scale in (
        ('3x3 mean', 1),
        ('half size, bilinear', 2),
        ('quarter size, bilinear', 4),
    ):
        truth = scene(rng)
        disparity = blurred(truth, scale)
        error = distance_to_surfaces(disparity, truth)
        hanging, surface = error > 0.05, error < 0.02
        removed = flying_pixels(torch.from_numpy(disparity), FlyingPixelFilter()).numpy()
        print(
            f'{name:24s} removed {removed[hanging].mean():8.3%} of {hanging.sum()} hanging and '
            f'{removed[surface].mean():8.4%} of {surface.sum()} surface pixels'
        )


def scene(rng: np.random.Generator) -> np.ndarray:
    """Return disparities of ellipses before a floor, float32 (H, W)."""
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    disparity = np.repeat(6 + 0.02 * rows, WIDTH, axis=1)
    for _ in range(40):
        center = (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT)))
        axes = (int(rng.integers(15, 120)), int(rng.integers(15, 120)))
        value = float(rng.uniform(8, 90))
        cv2.ellipse(disparity, center, axes, float(rng.uniform(0, 180)), 0, 360, value, -1)
    return disparity


def blurred(disparity: np.ndarray, scale: int) -> np.ndarray:
    """Return the disparity with soft edges: averaged, or scaled down and up again."""
    if scale == 1:
        return cv2.blur(disparity, (3, 3))
    small = disparity[::scale, ::scale]
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)


def distance_to_surfaces(
    disparity: np.ndarray, truth: np.ndarray, *, radius: int = 4
) -> np.ndarray:
    """Return the least relative difference to any true disparity within the radius."""
    least = np.full(truth.shape, np.inf, np.float32)
    offsets = range(-radius, radius + 1)
    for shift in ((dy, dx) for dy in offsets for dx in offsets):
        surface = np.roll(truth, shift, (0, 1))
        np.minimum(least, np.abs(disparity - surface) / surface, out=least)
    return least


if __name__ == '__main__':
    main()
