"""Scores of disparity, visibility and confidence, as the public stereo benchmarks define them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

BAD_THRESHOLDS = (0.5, 1.0, 2.0, 4.0)
"""Pixels; a pixel is bad if its error is above the threshold (Scharstein and Szeliski 2002)."""

D1_PIXELS, D1_SHARE = 3.0, 0.05
"""KITTI 2015: an outlier errs by more than 3 px and more than 5 % of the true disparity."""

SPARSIFICATION_STEPS = 20


@dataclass(frozen=True)
class DisparityScores:
    """Errors over a set of pixels; NaN if the set is empty."""

    epe: float
    """Mean absolute error of the pixels that have an estimate, in pixels."""
    bad_05: float
    """Fraction of pixels, 0..1, that err by more than 0.5 px or have no estimate."""
    bad_1: float
    bad_2: float
    bad_4: float
    d1: float
    density: float
    """Fraction of the pixels, 0..1, that have an estimate."""
    pixels: int


def disparity_scores(estimate: Tensor, truth: Tensor, chosen: Tensor) -> DisparityScores:
    """Return the scores over ``chosen`` pixels.

    All three tensors have one shape: estimate and truth in pixels, chosen boolean. A
    non-finite estimate is a hole: it counts as wrong in every fraction, and not in the EPE.
    """
    estimate, truth = estimate[chosen].double(), truth[chosen].double()
    pixels = estimate.numel()
    found = torch.isfinite(estimate)
    error = torch.where(found, (estimate - truth).abs(), torch.inf)
    outlier = (error > D1_PIXELS) & (error > D1_SHARE * truth.abs())
    bad = [_mean(error > threshold) for threshold in BAD_THRESHOLDS]
    return DisparityScores(
        epe=_mean(error[found]),
        bad_05=bad[0],
        bad_1=bad[1],
        bad_2=bad[2],
        bad_4=bad[3],
        d1=_mean(outlier),
        density=_mean(found),
        pixels=pixels,
    )


def average_precision(score: Tensor, positive: Tensor) -> float:
    """Return the area under the precision-recall curve, 0..1; NaN without positives.

    ``score`` and boolean ``positive`` are of one shape. Pixels of equal score enter together,
    so that the order of equal scores does not matter: ``sum (R_n - R_n-1) P_n`` over the
    distinct scores, the definition that scikit-learn uses.
    """
    score, positive = score.flatten().double(), positive.flatten()
    total = int(positive.sum())
    if total == 0:
        return float('nan')
    order = torch.argsort(score, descending=True)
    score, positive = score[order], positive[order]
    hits = positive.double().cumsum(0)
    last = torch.ones_like(positive, dtype=torch.bool)
    last[:-1] = score[1:] != score[:-1]
    rank = torch.arange(1, score.numel() + 1, dtype=torch.float64, device=score.device)
    precision, recall = (hits / rank)[last], (hits / total)[last]
    step = torch.diff(recall, prepend=recall.new_zeros(1))
    return float((step * precision).sum())


def sparsification_error(confidence: Tensor, error: Tensor) -> float:
    """Return the area between the sparsification curve and the oracle's (AUSE), in pixels.

    Both tensors have one shape; errors are >= 0. Pixels are removed in steps of 5 %, the least
    confident first (Ilg et al. 2018); the oracle removes the largest errors first. 0 means that
    the confidence ranks the errors perfectly. NaN without pixels.
    """
    confidence, error = confidence.flatten().double(), error.flatten().double()
    if error.numel() == 0:
        return float('nan')
    by_confidence = error[torch.argsort(confidence, descending=True)]
    by_error = error.sort().values
    gaps = [
        _kept_mean(by_confidence, step) - _kept_mean(by_error, step)
        for step in range(SPARSIFICATION_STEPS)
    ]
    return float(sum(gaps) / SPARSIFICATION_STEPS)


def mean_scores(scores: list[DisparityScores]) -> DisparityScores:
    """Return the mean over pairs, each pair weighing the same; ``pixels`` is their sum."""
    values = {
        f.name: torch.tensor([getattr(s, f.name) for s in scores], dtype=torch.float64)
        for f in fields(DisparityScores)
    }
    pixels = int(values.pop('pixels').sum())
    means = {name: float(value.nanmean()) for name, value in values.items()}
    return DisparityScores(**means, pixels=pixels)


def _kept_mean(ordered: Tensor, step: int) -> Tensor:
    kept = max(1, round(ordered.numel() * (1 - step / SPARSIFICATION_STEPS)))
    return ordered[:kept].mean()


def _mean(values: Tensor) -> float:
    return float(values.double().mean()) if values.numel() else float('nan')


def without_nan(value: Any) -> Any:
    """Return a value for JSON, which knows no NaN and no infinity: null instead."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
