"""Counting what the confidence of a network is worth, on pairs with truth.

A table of it is isotonic: each bin of confidence is at least as likely right, and at most as
uncertain, as the one below.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from s2m2_ros.confidence_tables import (
    FEWEST_KNOTS,
    Agreement,
    ConfidenceMeaning,
    ConfidenceTable,
    RefinedTables,
)
from s2m2_ros.errors import S2M2Error
from s2m2_ros.evaluation.evaluate import RIGHT_ERROR
from s2m2_ros.evaluation.pairs import FloatMap, StereoPair
from s2m2_ros.geometry.uncertainty import calibrated_confidence, disparity_deviation
from s2m2_ros.inference import StereoMatcher

FloatArray = npt.NDArray[np.floating[Any]]

ONE_SIGMA = 0.683
"""Of the errors, this fraction lies within one standard deviation of a normal distribution."""
CONFIDENCE_EDGES = np.array(
    (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 1.0001)
)
RELIABILITY_EDGES = np.array((0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0001))
MIN_PIXELS = 1000
"""Bins with fewer pixels of all sets are left out."""
MOST_PIXELS = 400_000
"""Of a pair with more, every second, third, ... pixel counts: hundreds of pairs fit in memory."""
SMALLEST_DEVIATION = 1e-3


@dataclass(frozen=True, eq=False)
class MatchedPair:
    """What a matcher makes of a pair with truth, maps of (H, W).

    Attributes:
        disparity: in pixels, not finite where unknown.
        confidence: of the network, as the matcher returned it.
        truth: disparity, not finite where unknown.
        scale: width of the images over the width at which they were matched.
        agreement: of `Agreement`, where semi-global matching refined the disparity.
        refined_scale: the scale of semi-global matching.

    """

    disparity: FloatMap
    confidence: FloatMap
    truth: FloatMap
    scale: float = 1.0
    agreement: npt.NDArray[np.int8] | None = None
    refined_scale: float = 1.0

    @classmethod
    def of(cls, matcher: StereoMatcher, pair: StereoPair) -> MatchedPair:
        """Match a pair, and return what the matcher makes of it."""
        result = matcher.match(pair.left, pair.right).cpu()
        height, width = pair.disparity.shape
        agreement = result.agreement
        return cls(
            result.disparity.numpy(),
            result.confidence.numpy(),
            pair.disparity,
            width / matcher.matched_width(height, width),
            None if agreement is None else agreement.numpy(),
            width / matcher.refined_width(height, width),
        )

    def matched_error(self) -> FloatMap:
        """Return the error in pixels of the images as they were matched, (H, W)."""
        scale = np.full(self.truth.shape, self.scale, np.float32)
        if self.agreement is not None:
            scale[self.agreement == Agreement.CONFIRMED] = self.refined_scale
        return np.asarray(np.abs(self.disparity - self.truth) / scale)


@dataclass(frozen=True, eq=False)
class Sample:
    """Pixels with truth, all arrays (N,).

    Attributes:
        confidence: of the network, 0 to 1.
        error: of the disparity in pixels of the images as they came, absolute.
        matched_error: the same in pixels of the images as they were matched.
        weight: how much each pixel counts.
        agreement: of `Agreement`, int8.

    """

    confidence: FloatArray
    error: FloatArray
    matched_error: FloatArray
    weight: FloatArray
    agreement: npt.NDArray[np.int8]

    @classmethod
    def of_pairs(cls, pairs: Iterable[MatchedPair]) -> Sample:
        """Return the sample of one set, whose pixels weigh 1 together.

        Pixels without an estimate or without truth are left out. Raises S2M2Error if that leaves
        none.
        """
        parts = [cls._of_pair(pair) for pair in pairs]
        total = sum(len(part.error) for part in parts)
        if not total:
            raise S2M2Error('no pixel of these pairs has both an estimate and a truth')
        return replace(cls.joined(parts), weight=np.full(total, 1 / total))

    @classmethod
    def _of_pair(cls, pair: MatchedPair) -> Sample:
        error = np.abs(pair.disparity - pair.truth)
        known = np.isfinite(error)
        step = math.ceil(np.count_nonzero(known) / MOST_PIXELS) or 1
        agreement = pair.agreement
        if agreement is None:
            agreement = np.full(error.shape, Agreement.NOT_COMPARED, np.int8)
        maps = pair.confidence, error, pair.matched_error(), np.ones(error.shape), agreement
        return cls(*(one[known][::step] for one in maps))

    @classmethod
    def joined(cls, samples: Iterable[Sample]) -> Sample:
        """Return all samples as one, in which each set counts alike, whatever its size."""
        columns = zip(*(sample.columns() for sample in samples), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """Return all arrays, in the order of the fields."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def chosen(self, mask: npt.NDArray[np.bool_]) -> Sample:
        """Return some of the pixels."""
        return Sample(*(column[mask] for column in self.columns()))


def fit_table(found: Sample) -> ConfidenceTable:
    """Return the table of a sample.

    Raises S2M2Error if fewer than `FEWEST_KNOTS` bins of confidence hold `MIN_PIXELS` pixels.
    """
    parts = [part for _, part in _bins(found, CONFIDENCE_EDGES)]
    if len(parts) < FEWEST_KNOTS:
        raise S2M2Error(
            f'{len(found.error)} pixels with truth are too few to count what confidence means: '
            f'{len(parts)} of {len(CONFIDENCE_EDGES) - 1} bins of confidence hold {MIN_PIXELS} '
            f'pixels, and {FEWEST_KNOTS} must: give more pairs, with what is hard to match in them'
        )
    weights = np.array([part.weight.sum() for part in parts])
    knots = np.array([np.average(part.confidence, weights=part.weight) for part in parts])
    likely = isotonic(np.array([_likely(part) for part in parts]), weights)
    falling = -isotonic(-_deviations(parts, likely), weights)
    return ConfidenceTable(
        # Above 0, and apart, also where a network hardly distinguishes pixels.
        confidence=_rounded(np.maximum(knots, 1e-6), 6),
        likely=_rounded(likely, 4),
        deviation=_rounded(np.maximum(falling, SMALLEST_DEVIATION), 3),
    )


def fit_refined(found: Sample) -> RefinedTables | None:
    """Return the tables of refined pairs; None where there are too few pixels for one of them."""
    kinds = Agreement.CONFIRMED, Agreement.CONTRADICTED, Agreement.UNCONFIRMED
    parts = [found.chosen(found.agreement == kind) for kind in kinds]
    if any(len(list(_bins(part, CONFIDENCE_EDGES))) < FEWEST_KNOTS for part in parts):
        return None
    return RefinedTables(*map(fit_table, parts))


def reliability_table(found: Sample, meaning: ConfidenceMeaning) -> str:
    """Return in Markdown how often the errors of a sample are what its confidence says."""
    raw = torch.from_numpy(found.confidence.astype(np.float32))
    agreement = torch.from_numpy(found.agreement)
    confidence = calibrated_confidence(raw, meaning, agreement)
    deviation = disparity_deviation(confidence, meaning, agreement).double().numpy()
    checked = replace(
        found,
        confidence=confidence.double().numpy(),
        matched_error=found.matched_error / deviation,
    )
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
            yield f'{low:g} to {min(high, 1):g}', found.chosen(chosen)


def _deviations(parts: Sequence[Sample], likely: FloatArray) -> FloatArray:
    """Return the deviation of each bin; those that are equally likely share it.

    It is looked up by how likely a pixel is right.
    """
    found = np.empty_like(likely)
    for value in np.unique(likely):
        alike = [part for part, own in zip(parts, likely, strict=True) if own == value]
        pooled = Sample.joined(alike)
        found[likely == value] = weighted_quantile(pooled.matched_error, pooled.weight, ONE_SIGMA)
    return found


def _likely(part: Sample) -> float:
    return float(np.average(part.error < RIGHT_ERROR, weights=part.weight))


def _rounded(values: Iterable[float], digits: int) -> tuple[float, ...]:
    return tuple(round(float(value), digits) for value in values)
