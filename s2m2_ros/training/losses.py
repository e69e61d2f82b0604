"""Losses of every stage of the network (S2M2, arXiv 2507.13229, section 3.5).

The weights are ours: the paper does not publish its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from s2m2_ros.network import Prediction, Stages
from s2m2_ros.training.batch import StereoBatch

CELL = 4
"""Full-resolution pixels per side of a cell of the quarter-resolution maps."""

CONFIDENT_ERROR = 4.0
"""Confidence is 1 where the error is below this many full-resolution pixels (the paper)."""

PROBABILITY_FLOOR = 1e-4
"""Probabilities are kept this far from 0 and 1, where the cross entropy has no bound."""


@dataclass(frozen=True)
class LossWeights:
    """How much each loss counts, and its constants."""

    matching: float = 1.0
    initial_disparity: float = 0.1
    initial_visibility: float = 0.5
    initial_confidence: float = 0.2
    step_disparity: float = 0.15
    """Per refinement step, in full-resolution pixels, times ``decay`` to the steps left."""
    final_disparity: float = 0.15
    visibility: float = 0.2
    """Of each refinement step and the output."""
    confidence: float = 0.2
    decay: float = 0.9
    slack: float = 0.05
    """The paper's epsilon: probability that may lie elsewhere."""
    neighbors: int = 1
    """Columns to either side that count as the true one."""
    tail: float = 24.0
    """Above this many pixels an error counts with its logarithm."""


def total_loss(
    stages: Stages, truth: StereoBatch, *, weights: LossWeights, visible_only: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum and each of its parts, scalars, the parts detached.

    ``visible_only`` excludes pixels that the right view does not show from the disparity losses.
    """
    counted = truth.valid * truth.visibility if visible_only else truth.valid
    parts = {
        'matching': weights.matching * concentration_loss(stages.probability, truth, weights),
        'initial_disparity': weights.initial_disparity
        * cell_error(stages.matching.disparity, truth, counted, weights),
        'global_disparity': weights.initial_disparity
        * cell_error(stages.global_disparity, truth, counted, weights),
        'initial_visibility': weights.initial_visibility
        * visibility_loss(stages.matching.visibility, truth),
        'initial_confidence': weights.initial_confidence * confidence_loss(stages.matching, truth),
        'final_disparity': weights.final_disparity
        * pixel_error(stages.prediction.disparity, truth, counted, weights),
        'final_masks': mask_loss(stages.prediction, truth, weights),
    }
    steps = len(stages.iterations)
    for number, maps in enumerate(stages.iterations):
        part = weights.decay ** (steps - 1 - number) / steps
        error = cell_error(maps.disparity, truth, counted, weights)
        parts[f'step{number + 1}_disparity'] = weights.step_disparity * part * error
        parts[f'step{number + 1}_masks'] = part * mask_loss(maps, truth, weights)
    total = torch.stack(list(parts.values())).sum()
    return total, {name: value.detach() for name, value in parts.items()}


def concentration_loss(probability: Tensor, truth: StereoBatch, weights: LossWeights) -> Tensor:
    """Return the probability concentration loss L_PMC of the paper, a scalar.

    The mean, over cells with a visible pixel, of ``max(1 - sum T_ij(w) - slack, 0)``, where w
    runs over the true columns of the cell's visible pixels and their neighbors, each once.
    """
    columns = probability.shape[-1]
    allowed, counted = true_columns(truth, columns, neighbors=weights.neighbors)
    mass = (probability.float() * allowed).sum(-1)
    return masked_mean((1.0 - mass - weights.slack).clamp_min(0.0), counted.float())


@torch.no_grad()
def true_columns(truth: StereoBatch, columns: int, *, neighbors: int) -> tuple[Tensor, Tensor]:
    """Return which columns (B, h, w, columns) are true for each cell, and which cells count.

    Pixel (y, x) of disparity d matches the cell of column floor((x - d + 0.5) / 4): cell c spans
    the pixel centers 4c to 4c + 3, half a pixel beyond each side. Bools; cells (B, h, w).
    """
    width = truth.disparity.shape[-1]
    pixel = torch.arange(width, device=truth.disparity.device, dtype=torch.float32)
    column = ((pixel - truth.disparity + 0.5) / CELL).floor()
    seen = (truth.valid * truth.visibility) > 0
    column = (
        functional.pixel_unshuffle(torch.where(seen, column, -1e6), CELL).movedim(1, -1).long()
    )
    batch, height, cells, _ = column.shape
    # One more slot at the end takes everything that lies outside.
    allowed = torch.zeros(
        (batch, height, cells, columns + 1), dtype=torch.bool, device=column.device
    )
    for shift in range(-neighbors, neighbors + 1):
        near = column + shift
        near = torch.where((near >= 0) & (near < columns), near, columns)
        allowed.scatter_(-1, near, True)
    return allowed[..., :columns], functional.pixel_unshuffle(seen.float(), CELL).amax(1) > 0


def cell_error(
    disparity: Tensor, truth: StereoBatch, counted: Tensor, weights: LossWeights
) -> Tensor:
    """Return the mean absolute error in pixels of quarter maps against all 16 pixels of a cell.

    ``disparity`` (B, 1, h, w) in quarter pixels; ``counted`` (B, 1, 4h, 4w).
    """
    error = (CELL * disparity.float() - functional.pixel_unshuffle(truth.disparity, CELL)).abs()
    return masked_mean(soften(error, weights.tail), functional.pixel_unshuffle(counted, CELL))


def pixel_error(
    disparity: Tensor, truth: StereoBatch, counted: Tensor, weights: LossWeights
) -> Tensor:
    """Return the mean absolute error in pixels of full-resolution maps (B, 1, H, W)."""
    error = (disparity.float() - truth.disparity).abs()
    return masked_mean(soften(error, weights.tail), counted)


def soften(error: Tensor, tail: float) -> Tensor:
    """Return errors >= 0 as they are up to ``tail``, and ``tail (1 + ln(error / tail))`` above.

    Wild errors then pull weakly, but they do pull: with a hard limit nothing brings back an
    estimate that is far away.
    """
    return torch.where(error < tail, error, tail * (1 + (error.clamp_min(tail) / tail).log()))


def mask_loss(maps: Prediction, truth: StereoBatch, weights: LossWeights) -> Tensor:
    """Return the weighted losses of visibility and confidence."""
    return weights.visibility * visibility_loss(
        maps.visibility, truth
    ) + weights.confidence * confidence_loss(maps, truth)


def visibility_loss(visibility: Tensor, truth: StereoBatch) -> Tensor:
    """Return the cross entropy of the visibility; quarter maps meet the fraction of their cell."""
    labeled = truth.valid * truth.labeled
    target = truth.visibility
    if visibility.shape != target.shape:
        target, labeled = (
            functional.avg_pool2d(target, CELL),
            functional.avg_pool2d(labeled, CELL),
        )
    return cross_entropy(visibility, target, labeled)


def confidence_loss(maps: Prediction, truth: StereoBatch) -> Tensor:
    """Return the cross entropy of the confidence against its own disparity's error."""
    disparity = maps.disparity.detach().float()
    if disparity.shape == truth.disparity.shape:
        target = ((disparity - truth.disparity).abs() < CONFIDENT_ERROR).float()
        return cross_entropy(maps.confidence, target, truth.valid)
    error = (CELL * disparity - functional.pixel_unshuffle(truth.disparity, CELL)).abs()
    valid = functional.pixel_unshuffle(truth.valid, CELL)
    right = ((error < CONFIDENT_ERROR).float() * valid).sum(1, keepdim=True)
    known = valid.sum(1, keepdim=True)
    return cross_entropy(maps.confidence, right / known.clamp_min(1.0), known)


def cross_entropy(probability: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean binary cross entropy of probabilities, in nats."""
    p = probability.float().clamp(PROBABILITY_FLOOR, 1.0 - PROBABILITY_FLOOR)
    entropy = -(target * p.log() + (1.0 - target) * (1.0 - p).log())
    return masked_mean(entropy, weight)


def masked_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of ``values`` weighted by ``weight`` of the same shape; 0 if it is all 0."""
    weight = weight.float()
    return (torch.where(weight > 0, values, 0.0) * weight).sum() / weight.sum().clamp_min(1e-6)
