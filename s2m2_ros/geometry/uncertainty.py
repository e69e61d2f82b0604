"""How uncertain a depth is: its standard deviation in meters, from the confidence.

``sigma_Z = Z^2 / (f B) * sigma_d``, where the deviation of the disparity, sigma_d, follows from
the confidence by the table of `s2m2_ros.confidence_tables` that holds for the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from s2m2_ros.confidence_tables import Agreement, ConfidenceKind, ConfidenceMeaning

# Maps of confidence are looked up in this many steps.
STEPS = 4096


def calibrated_confidence(
    confidence: torch.Tensor, meaning: ConfidenceMeaning, agreement: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the probability that the error is below 4 px, as it was counted.

    Args:
        confidence: (..., H, W) float32 in [0, 1], as the matcher returned it.
        meaning: `StereoMatcher.confidence_meaning`; where it is not a counted one, the confidence
            comes back as it is.
        agreement: the same shape, int8 of `Agreement`; None: nothing was compared.

    """
    if meaning.kind is not ConfidenceKind.COUNTED:
        return confidence
    return _looked_up(confidence, _likely_steps(meaning, confidence.device), agreement)


def disparity_deviation(
    confidence: torch.Tensor,
    meaning: ConfidenceMeaning,
    agreement: torch.Tensor | None = None,
    *,
    scale: float = 1.0,
    refined_scale: float = 1.0,
) -> torch.Tensor:
    """Return the standard deviation of the disparity in pixels, infinite at confidence 0.

    Args:
        confidence: (..., H, W) float32, as `calibrated_confidence` returned it.
        meaning: the same as there.
        agreement: the same as there.
        scale: width of the images over the width at which they were matched, 1 or more.
        refined_scale: the same of semi-global matching, for what that confirmed.

    """
    steps = _deviation_steps(meaning, confidence.device, scale, refined_scale)
    return _looked_up(confidence, steps, agreement)


def depth_deviation(
    depth: torch.Tensor, deviation: torch.Tensor, *, focal_length: float, baseline: float
) -> torch.Tensor:
    """Return the standard deviation of the depth in meters, NaN where the depth is unknown.

    Args:
        depth: (..., H, W) float32 in meters, NaN where unknown.
        deviation: the same shape, of the disparity in pixels of the same images.
        focal_length: in pixels of these images.
        baseline: in meters.

    """
    return depth.square() * deviation / (focal_length * baseline)


def _looked_up(
    confidence: torch.Tensor, steps: torch.Tensor, agreement: torch.Tensor | None
) -> torch.Tensor:
    """Return the steps (tables, STEPS) at each confidence, in the table of its agreement."""
    # In place, and with small indices: the map is large, and memory is what takes the time.
    place = (confidence * (STEPS - 1)).nan_to_num_(0.0).clamp_(0, STEPS - 1).round_()
    index = place.to(torch.int32)
    if agreement is not None and len(steps) > 1:
        index += agreement.to(torch.int32) * STEPS
    return steps.flatten().index_select(0, index.flatten()).view(confidence.shape)


@lru_cache
def _likely_steps(meaning: ConfidenceMeaning, device: torch.device) -> torch.Tensor:
    # Confidence 0 stays 0, so that nothing becomes trusted.
    rows = [
        _steps((0.0, *table.confidence, 1.0), (0.0, *table.likely, table.likely[-1]))
        for table in meaning.tables
    ]
    return torch.stack(rows).to(device)


@lru_cache
def _deviation_steps(
    meaning: ConfidenceMeaning, device: torch.device, scale: float, refined_scale: float
) -> torch.Tensor:
    # By calibrated confidence, as the pipeline has it.
    is_calibrated = meaning.kind is ConfidenceKind.CALIBRATED
    rows = []
    for agreement, table in enumerate(meaning.tables):
        knots = table.confidence if is_calibrated else table.likely
        factor = refined_scale if agreement == Agreement.CONFIRMED else scale
        rows.append(_steps(knots, table.deviation) * factor)
        rows[-1][0] = torch.inf
    return torch.stack(rows).to(device)


def _steps(knots: Sequence[float], values: Sequence[float]) -> torch.Tensor:
    steps = np.interp(np.linspace(0, 1, STEPS), knots, values)
    return torch.from_numpy(steps.astype(np.float32))
