"""Stereo pairs of known disparity, and what a network makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from s2m2_ros.inference import MatchResult, StereoMatcher

# Disparity of the pair in pixels.
SHIFT = 12


def shifted_pair(height: int = 96, width: int = 160, shift: int = SHIFT) -> list[np.ndarray]:
    """Return left and right color images of a wall at `shift` px."""
    wide = np.random.default_rng(3).integers(0, 256, (height, width + shift, 3), np.uint8)
    return [wide[:, :width].copy(), wide[:, shift:].copy()]


def matched(path: Path, images: list[np.ndarray], **options: object) -> MatchResult:
    """Return what a network makes of a pair."""
    with StereoMatcher.open(path, device='cpu', **options) as matcher:  # type: ignore[arg-type]
        return matcher.match(*images)


def median(values: torch.Tensor) -> float:
    """Return the median of what is known."""
    return float(values[values.isfinite()].median())
