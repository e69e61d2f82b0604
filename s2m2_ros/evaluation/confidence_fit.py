"""Counting what the confidence of a network is worth, on pairs with truth.

A table of it is isotonic: each bin of confidence is at least as likely right, and at most as
uncertain, as the one below.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from s2m2_ros.confidence_tables import FEWEST_KNOTS, ConfidenceMeaning, ConfidenceTable
from s2m2_ros.errors import S2M2Error
from s2m2_ros.evaluation.evaluate import RIGHT_ERROR
from s2m2_ros.geometry.uncertainty import calibrated_confidence, disparity_deviation

FloatArray = npt.NDArray[np.float64]
FloatMap = npt.NDArray[np.float32]

ONE_SIGMA = 0.683
"""Of the errors, this fraction lies within one standard deviation of a normal distribution."""
CONFIDENCE_EDGES = np.array(
    (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 1.0001)
)
RELIABILITY_EDGES = np.array((0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0001))
MIN_PIXELS = 1000
"""Bins with fewer pixels of all sets are left out."""
SMALLEST_DEVIATION = 1e-3


@dataclass(frozen=True, eq=False)
class MatchedPair:
    """What a matcher makes of a pair with truth, maps of (H, W).

    Attributes:
        disparity: in pixels, not finite where unknown.
        confidence: of the network, as the matcher returned it.
        truth: disparity, not finite where unknown.
        scale: width of the images over the width at which they were matched.

    """

    disparity: FloatMap
    confidence: FloatMap
    truth: FloatMap
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Sample:
    """Pixels with truth, all arrays (N,).

    Attributes:
        confidence: of the network, 0 to 1.
        error: of the disparity in pixels of the images as they came, absolute.
        matched_error: the same in pixels of the images as they were matched.
        weight: how much each pixel counts.

    """

    confidence: FloatArray
    error: FloatArray
    matched_error: FloatArray
    weight: FloatArray

    @classmethod
    def of_pairs(cls, pairs: Iterable[MatchedPair]) -> Sample:
        """Return the sample of one set, whose pixels weigh 1 together.

        Pixels without an estimate or without truth are left out. Raises S2M2Error if that leaves
        none.
        """
        confidences, errors, matched = [], [], []
        for pair in pairs:
            error = np.abs(pair.disparity - pair.truth).astype(np.float64)
            known = np.isfinite(error)
            confidences.append(pair.confidence[known].astype(np.float64))
            errors.append(error[known])
            matched.append(error[known] / pair.scale)
        total = sum(map(len, errors))
        if not total:
            raise S2M2Error('no pixel of these pairs has both an estimate and a truth')
        confidence, error, matched_error = map(np.concatenate, (confidences, errors, matched))
        return cls(confidence, error, matched_error, np.full(total, 1 / total))

    @classmethod
    def joined(cls, samples: Iterable[Sample]) -> Sample:
        """Return all samples as one, in which each set counts alike, whatever its size."""
        columns = zip(*(sample.columns for sample in samples), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    @property
    def columns(self) -> tuple[FloatArray, ...]:
        """All arrays, in the order of the fields."""
        return self.confidence, self.error, self.matched_error, self.weight


def fit_table(found: Sample) -> ConfidenceTable:
    """Return the table of a sample.

    Raises S2M2Error if fewer than `FEWEST_KNOTS` bins of confidence hold `MIN_PIXELS` pixels.
    """
    parts = list(_bins(found, CONFIDENCE_EDGES))
    if len(parts) < FEWEST_KNOTS:
        raise S2M2Error(
            f'{len(found.error)} pixels with truth are too few to count what confidence means: '
            f'{len(parts)} of {len(CONFIDENCE_EDGES) - 1} bins of confidence hold {MIN_PIXELS} '
            f'pixels, and {FEWEST_KNOTS} must: give more pairs, with what is hard to match in them'
        )
    weights = np.array([part.weight.sum() for _, part in parts])
    knots = [np.average(part.confidence, weights=part.weight) for _, part in parts]
    likely = isotonic(np.array([_likely(part) for _, part in parts]), weights)
    deviations = [
        weighted_quantile(part.matched_error, part.weight, ONE_SIGMA) for _, part in parts
    ]
    falling = -isotonic(-np.array(deviations), weights)
    return ConfidenceTable(
        confidence=_rounded(knots, 4),
        likely=_rounded(likely, 4),
        deviation=_rounded(np.maximum(falling, SMALLEST_DEVIATION), 3),
    )


def reliability_table(found: Sample, meaning: ConfidenceMeaning) -> str:
    """Return in Markdown how often the errors of a sample are what its confidence says."""
    raw = torch.from_numpy(found.confidence.astype(np.float32))
    confidence = calibrated_confidence(raw, meaning)
    deviation = disparity_deviation(confidence, meaning).double().numpy()
    sigmas = found.matched_error / deviation
    checked = Sample(confidence.double().numpy(), found.error, sigmas, found.weight)
    lines = [
        '| confidence | of all | mean | within 4 px | within 1 sigma | within 2 sigma |',
        '| --- | ---: | ---: | ---: | ---: | ---: |',
    ]
    for label, part in _bins(checked, RELIABILITY_EDGES):
        mean = np.average(part.confidence, weights=part.weight)
        one, two = (np.average(part.matched_error < n, weights=part.weight) for n in (1, 2))
        lines.append(
            f'| {label} | {part.weight.sum() / found.weight.sum():.1%} | {mean:.3f} '
            f'| {_likely(part):.1%} | {one:.1%} | {two:.1%} |'
        )
    return '\n'.join(lines)


def weighted_quantile(values: FloatArray, weights: FloatArray, fraction: float) -> float:
    """Return the value below which this fraction of the weight lies."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, fraction * reached[-1])])


def isotonic(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the closest values that never fall (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (low, first, n), (high, second, m) = pools[-2:]
            total = first + second
            pools[-2:] = [((low * first + high * second) / total, total, n + m)]
    return np.concatenate([np.full(count, value) for value, _, count in pools])


def _bins(found: Sample, edges: FloatArray) -> Iterator[tuple[str, Sample]]:
    """Yield the pixels of each bin that holds enough of them, with its bounds in words."""
    for low, high in itertools.pairwise(edges):
        chosen = (found.confidence >= low) & (found.confidence < high)
        if chosen.sum() >= MIN_PIXELS:
            part = Sample(*(column[chosen] for column in found.columns))
            yield f'{low:g} to {min(high, 1):g}', part


def _likely(part: Sample) -> float:
    return float(np.average(part.error < RIGHT_ERROR, weights=part.weight))


def _deviation(part: Sample) -> float:
    return weighted_quantile(part.matched_error, part.weight, ONE_SIGMA)


def _rounded(values: Iterable[float], digits: int) -> tuple[float, ...]:
    return tuple(round(float(value), digits) for value in values)
