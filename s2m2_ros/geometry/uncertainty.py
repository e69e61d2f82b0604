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


TABLES: dict[str, ConfidenceTable] = {}
# Networks without a table of their own: published and users' weights.
FALLBACK = 'starter'


def calibrated_confidence(confidence: torch.Tensor, network: str) -> torch.Tensor:
    """Return the probability that the error is below 4 px, as it was counted.

    Args:
        confidence: (..., H, W) float32 in [0, 1], as the matcher returned it.
        network: the checkpoint's name in the registry, or 'sgbm'; of others, and of sgbm, whose
            backend calibrates it, the confidence comes back as it is.

    """
    if network not in TABLES or network == 'sgbm':
        return confidence
    return _looked_up(confidence, _likely_steps(network))


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
    return _looked_up(confidence, _deviation_steps(table)) * scale


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


def _looked_up(confidence: torch.Tensor, steps: Sequence[float]) -> torch.Tensor:
    table = torch.tensor(steps, dtype=torch.float32, device=confidence.device)
    place = (confidence.nan_to_num(0.0).clamp(0, 1) * (STEPS - 1)).round().long()
    return table[place]


@lru_cache
def _likely_steps(network: str) -> tuple[float, ...]:
    table = TABLES[network]
    knots = (0.0, *table.confidence, 1.0)
    # Confidence 0 stays 0, so that nothing becomes trusted.
    values = (0.0, *table.likely, max(table.likely))
    return tuple(np.interp(np.linspace(0, 1, STEPS), knots, values))


@lru_cache
def _deviation_steps(network: str) -> tuple[float, ...]:
    table = TABLES[network]
    # By calibrated confidence, as the pipeline has it; several knots may share one.
    likely = table.confidence if network == 'sgbm' else table.likely
    values = np.interp(np.linspace(0, 1, STEPS), likely, table.deviation)
    values[0] = np.inf
    return tuple(values)
