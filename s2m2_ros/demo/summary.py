"""What the demo measured, as figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from s2m2_ros.demo.subscriber import ReceivedPair, disparity, pixels, read_cloud

# A pixel counts for the comparison where both matchers are at least this confident.
CONFIDENT = 0.5
# Smaller fractions of common pixels are no basis for a comparison.
LEAST_COMMON_FRACTION = 0.01


def node_summary(pairs: Sequence[ReceivedPair]) -> dict[str, Any]:
    """Return rates, latencies and counts of one node, from outside and from its own stats."""
    stats = [pair.messages['stats'] for pair in pairs]
    elapsed = pairs[-1].arrived - pairs[0].arrived
    clouds = [len(read_cloud(pair.messages['points'])) for pair in pairs]
    confidences = [float(pixels(pair.messages['confidence']).mean()) for pair in pairs]
    return {
        'backend': stats[-1].backend,
        'precision': stats[-1].precision,
        'checkpoint': stats[-1].checkpoint,
        'width': stats[-1].width,
        'height': stats[-1].height,
        'pairs': len(pairs),
        'rate_hz': _rounded((len(pairs) - 1) / elapsed if elapsed > 0 else math.nan),
        'latency_ms_seen': _rounded(1e3 * median(pair.latency_s for pair in pairs)),
        'latency_ms_reported': _rounded(median(stat.latency_ms for stat in stats)),
        'inference_ms': _rounded(median(stat.inference_ms for stat in stats)),
        'pairs_dropped': int(stats[-1].pairs_dropped),
        'points_per_cloud': round(median(clouds)),
        'mean_confidence': _rounded(sum(confidences) / len(confidences)),
    }


def agreement(one: ReceivedPair, other: ReceivedPair) -> dict[str, float | None]:
    """Return how far two matchers' disparities of the same pair are apart, in pixels.

    Only where both are confident; None where that is too little of the image.
    """
    trusted = np.logical_and(
        *(pixels(p.messages['confidence']) >= CONFIDENT for p in (one, other))
    )
    apart = np.abs(disparity(one.messages['disparity']) - disparity(other.messages['disparity']))
    common = apart[trusted & np.isfinite(apart)]
    fraction = common.size / apart.size
    enough = fraction >= LEAST_COMMON_FRACTION
    return {
        'common_share': _rounded(fraction),
        'median_difference_px': _rounded(float(np.median(common))) if enough else None,
        'share_within_2_px': _rounded(float((common < 2).mean())) if enough else None,
    }


def _rounded(value: float) -> float | None:
    """Return four significant digits; None for NaN, which JSON does not know."""
    return float(f'{value:.4g}') if math.isfinite(value) else None
