"""How uncertain a depth is: its standard deviation in meters, from the confidence.

``sigma_Z = Z^2 / (f B) * sigma_d``, where the deviation of the disparity, sigma_d, follows from
the confidence by a table for each network. Tables are fitted by ``benchmark/confidence.py`` on
pairs with truth that were not trained on; ``doc/accuracy.md`` names them, and shows how well the
tables hold on others. Refit them when weights change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

# Maps of confidence are looked up in this many steps.
STEPS = 4096


@dataclass(frozen=True)
class ConfidenceTable:
    """What the confidence of one network means, between knots by straight lines.

    Attributes:
        confidence: the network's own confidence, rising.
        likely: fraction of errors below 4 px at each of these knots.
        deviation: standard deviation of the disparity at each knot in pixels: 68.3 % of the
            errors are smaller.

    """

    confidence: tuple[float, ...]
    likely: tuple[float, ...]
    deviation: tuple[float, ...]


# Fitted on Middlebury's motorcycle (741x500) and ten procedural scenes of 512x256 with seed
# 20271126, which no training drew, each set counting half:
# python -m benchmark.confidence --fit motorcycle scenes:20271126:10x256x512
# fmt: off
TABLES = {
    'starter': ConfidenceTable(
        confidence=(
            0.0564, 0.1515, 0.2492, 0.3504, 0.4516, 0.5522, 0.6527, 0.753, 0.8552, 0.9284,
            0.9676, 0.9858, 0.9934, 0.9964, 0.9985,
        ),
        likely=(
            0.137, 0.1741, 0.23, 0.2965, 0.4061, 0.5859, 0.6441, 0.7026, 0.7827, 0.8637,
            0.937, 0.9561, 0.9759, 0.9874, 1.0,
        ),
        deviation=(
            24.139, 22.443, 19.043, 15.219, 9.812, 5.47, 4.439, 3.68, 2.513, 1.665, 1.16,
            0.952, 0.649, 0.394, 0.304,
        ),
    ),
    'sgbm': ConfidenceTable(
        confidence=(0.4717, 0.559, 0.6574, 0.7543, 0.8551, 0.9251, 0.9662, 0.9871, 0.996),
        likely=(0.4989, 0.5661, 0.6532, 0.7555, 0.8563, 0.9254, 0.9599, 0.9881, 0.9955),
        deviation=(14.376, 10.088, 6.175, 1.499, 0.641, 0.418, 0.364, 0.237, 0.182),
    ),
    # Of networks of others without a confidence of their own: counted with the disparity of
    # starter, whose own confidence was left aside. How exact another network is, is not known:
    # the deviation is the larger one of two versions of starter.
    'left_right_check': ConfidenceTable(
        confidence=(
            0.0093, 0.1509, 0.2516, 0.3524, 0.4524, 0.5525, 0.6528, 0.7525, 0.8516, 0.9251,
        ),
        likely=(
            0.5796, 0.7746, 0.8466, 0.8841, 0.9193, 0.9435, 0.9601, 0.9703, 0.9773, 0.9809,
        ),
        deviation=(
            7.43, 2.532, 1.868, 1.484, 1.089, 0.851, 0.689, 0.563, 0.487, 0.45,
        ),
    ),
}
# fmt: on
# Their backend returns calibrated confidence.
CALIBRATED_ALREADY = ('sgbm',)
# Networks without a table of their own: published and users' weights.
FALLBACK = 'starter'


def calibrated_confidence(confidence: torch.Tensor, network: str) -> torch.Tensor:
    """Return the probability that the error is below 4 px, as it was counted.

    Args:
        confidence: (..., H, W) float32 in [0, 1], as the matcher returned it.
        network: the checkpoint's name in the registry, 'sgbm', or 'left_right_check' where the
            confidence comes from that; of others, and of sgbm, whose backend calibrates it, the
            confidence comes back as it is.

    """
    if network not in TABLES or network in CALIBRATED_ALREADY:
        return confidence
    return _looked_up(confidence, _likely_steps(network, confidence.device))


def disparity_deviation(
    confidence: torch.Tensor, network: str, *, scale: float = 1.0
) -> torch.Tensor:
    """Return the standard deviation of the disparity in pixels, infinite at confidence 0.

    Args:
        confidence: (..., H, W) float32, as `calibrated_confidence` returned it.
        network: the checkpoint's name, or 'sgbm'; others are taken as `starter`.
        scale: width of the images over the width at which they were matched, 1 or more.

    """
    table = network if network in TABLES else FALLBACK
    return _looked_up(confidence, _deviation_steps(table, confidence.device)) * scale


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


def _looked_up(confidence: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    # In place, and with small indices: the map is large, and memory is what takes the time.
    place = (confidence * (STEPS - 1)).nan_to_num_(0.0).clamp_(0, STEPS - 1).round_()
    return steps.index_select(0, place.to(torch.int32).flatten()).view(confidence.shape)


@lru_cache
def _likely_steps(network: str, device: torch.device) -> torch.Tensor:
    table = TABLES[network]
    # Confidence 0 stays 0, so that nothing becomes trusted.
    knots, values = (0.0, *table.confidence, 1.0), (0.0, *table.likely, table.likely[-1])
    return _steps(knots, values).to(device)


@lru_cache
def _deviation_steps(network: str, device: torch.device) -> torch.Tensor:
    table = TABLES[network]
    # By calibrated confidence, as the pipeline has it.
    knots = table.confidence if network in CALIBRATED_ALREADY else table.likely
    steps = _steps(knots, table.deviation)
    steps[0] = torch.inf
    return steps.to(device)


def _steps(knots: Sequence[float], values: Sequence[float]) -> torch.Tensor:
    steps = np.interp(np.linspace(0, 1, STEPS), knots, values)
    return torch.from_numpy(steps.astype(np.float32))
