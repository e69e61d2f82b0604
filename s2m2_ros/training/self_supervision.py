"""Learn from pairs without truth: the right image, warped by the disparity, must be the left one.

Godard et al. 2017 (arXiv 1609.03677) compare structure and color; masks exclude pixels whose
disparities in both views disagree, which the right image does not show or which are wrong.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from s2m2_ros.network import S2M2, Stages
from s2m2_ros.training.batch import StereoBatch
from s2m2_ros.training.losses import masked_mean


@dataclass(frozen=True)
class PhotometricWeights:
    """How much each part counts."""

    photometric: float = 1.0
    structure: float = 0.85
    """Of the photometric difference; the rest is absolute."""
    smoothness: float = 0.05
    tolerance: float = 1.0
    """Disparities of both views may differ by so many pixels ..."""
    relative_tolerance: float = 0.02
    """... plus this fraction of the disparity."""


def self_supervised_loss(
    stages: Stages, right_disparity: Tensor, pairs: StereoBatch, weights: PhotometricWeights
) -> dict[str, Tensor]:
    """Return the photometric and the smoothness loss, weighted, of pairs without truth.

    Args:
        stages: of the network on the pairs.
        right_disparity: (B, 1, H, W) pixels of the right view, without gradient.
        pairs: only the images are used.
        weights: how much each part counts.

    """
    disparity = stages.prediction.disparity.float()
    left, right = pairs.left / 255, pairs.right / 255
    mask = consistent(disparity.detach(), right_disparity, weights)
    difference = photometric_difference(left, warp(right, disparity), weights.structure)
    return {
        'photometric': weights.photometric * masked_mean(difference, mask),
        'smoothness': weights.smoothness * smoothness(disparity, left),
    }


def warp(right: Tensor, disparity: Tensor) -> Tensor:
    """Return the right images (B, C, H, W) as seen from the left, linear between the columns.

    ``disparity`` (B, 1, H, W) in pixels; beyond the border, the last column is repeated.
    """
    width = right.shape[-1]
    columns = torch.arange(width, device=right.device, dtype=torch.float32)
    place = (columns - disparity).clamp(0, width - 1)
    before = place.detach().floor().clamp(max=width - 2).long()
    fraction = place - before
    shape = (-1, right.shape[1], -1, -1)
    first = right.gather(-1, before.expand(shape))
    second = right.gather(-1, (before + 1).expand(shape))
    return torch.lerp(first, second, fraction)


def photometric_difference(left: Tensor, warped: Tensor, structure: float) -> Tensor:
    """Return how different two images (B, 3, H, W), 0..1, are at each pixel, (B, 1, H, W).

    ``structure`` is the fraction that structural similarity (SSIM, Wang et al. 2004) has in
    it, in windows of 3x3; the rest is the absolute difference of colors.
    """
    absolute = (left - warped).abs().mean(1, keepdim=True)
    mean_a, mean_b = _blur(left), _blur(warped)
    variance_a = _blur(left * left) - mean_a * mean_a
    variance_b = _blur(warped * warped) - mean_b * mean_b
    covariance = _blur(left * warped) - mean_a * mean_b
    first, second = 0.01**2, 0.03**2
    similarity = ((2 * mean_a * mean_b + first) * (2 * covariance + second)) / (
        (mean_a**2 + mean_b**2 + first) * (variance_a + variance_b + second)
    )
    dissimilarity = ((1 - similarity) / 2).clamp(0, 1).mean(1, keepdim=True)
    return structure * dissimilarity + (1 - structure) * absolute


def _blur(images: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), mode='reflect'), 3, 1)


def smoothness(disparity: Tensor, image: Tensor) -> Tensor:
    """Return how much the disparity changes where the image does not, a scalar.

    Relative to the mean disparity, so that near and far scenes count alike.
    """
    relative = disparity / disparity.detach().mean((2, 3), keepdim=True).clamp_min(1.0)
    total = disparity.new_zeros(())
    for axis in (2, 3):
        change = relative.diff(dim=axis).abs()
        edges = image.diff(dim=axis).abs().mean(1, keepdim=True)
        total = total + (change * torch.exp(-10 * edges)).mean()
    return total


def consistent(
    left_disparity: Tensor, right_disparity: Tensor, weights: PhotometricWeights
) -> Tensor:
    """Return 1 where both views' disparities (B, 1, H, W) agree, else 0."""
    width = left_disparity.shape[-1]
    columns = torch.arange(width, device=left_disparity.device, dtype=torch.float32)
    place = columns - left_disparity
    other = warp(right_disparity, left_disparity)
    allowed = weights.tolerance + weights.relative_tolerance * left_disparity.abs()
    inside = (place >= 0) & (place <= width - 1)
    return (inside & ((left_disparity - other).abs() <= allowed)).float()


@torch.no_grad()
def disparity_of_right_view(network: S2M2, pairs: StereoBatch) -> Tensor:
    """Return the right view's disparity (B, 1, H, W): that of both images mirrored and swapped."""
    stages = network.forward_all(pairs.right.flip(-1), pairs.left.flip(-1))
    return stages.prediction.disparity.float().flip(-1)


@torch.no_grad()
def label_free_scores(network: S2M2, pairs: StereoBatch) -> tuple[float, float]:
    """Return the photometric difference where both views agree, and the fraction that agrees.

    Of pairs that were not trained on: the first is to fall and the second to rise.
    """
    weights = PhotometricWeights()
    used = copy.deepcopy(network).eval()
    disparity = used.forward_all(pairs.left, pairs.right).prediction.disparity.float()
    mask = consistent(disparity, disparity_of_right_view(used, pairs), weights)
    warped = warp(pairs.right / 255, disparity)
    difference = photometric_difference(pairs.left / 255, warped, weights.structure)
    return float(masked_mean(difference, mask)), float(mask.mean())
