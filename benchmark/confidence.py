"""Fit what confidence means, and check it on other pairs with truth.

Prints, for each network, its line of `TABLES` in `s2m2_ros/geometry/uncertainty.py` (isotonic:
each bin at least as likely, and at most as uncertain, as the one below), and a reliability table
of the pairs to check. Only networks that the package knows by name have a line there; of others,
check what their confidence is worth. Pairs are named as `s2m2 evaluate` takes them, or
`scenes:SEED:COUNTxHEIGHTxWIDTH` for procedural scenes of any seed. All sets count alike, whatever
their size.

    python -m benchmark.confidence --networks starter sgbm left_right_check \
        --fit motorcycle scenes:20271126:10x256x512 --check FOLDER scenes:20271127:6x256x512

Run it again whenever the weights of `starter` change.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from s2m2_ros.cli.evaluate import dataset_pairs
from s2m2_ros.cli.sizes import three_numbers
from s2m2_ros.errors import S2M2Error
from s2m2_ros.evaluation.pairs import Picture, StereoPair
from s2m2_ros.geometry.uncertainty import calibrated_confidence, disparity_deviation
from s2m2_ros.inference import MatchResult, StereoMatcher
from s2m2_ros.inference.other_networks.left_right_check import check, mirrored
from s2m2_ros.training.procedural.placement import SceneOptions
from s2m2_ros.training.procedural.scenes import SceneGenerator

FloatArray = npt.NDArray[np.float64]

# Of `procedural`.
VALIDATION = '24x256x512'
ERROR_LIMIT = 4.0
# Of the errors, this fraction lies within one standard deviation of a normal distribution.
ONE_SIGMA = 0.683
CONFIDENCE_EDGES = np.array(
    (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 1.0001)
)
RELIABILITY_EDGES = np.array((0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0001))
# Bins with fewer pixels of all sets are left out.
MIN_PIXELS = 1000


@dataclass(frozen=True, eq=False)
class Sample:
    """Confidence and absolute error in pixels of known pixels, and how much each counts."""

    confidence: FloatArray
    error: FloatArray
    weight: FloatArray


def pairs_of(name: str) -> Iterator[StereoPair]:
    """Yield the pairs of a set; see the module's description."""
    if not name.startswith('scenes:'):
        yield from dataset_pairs(name, size=VALIDATION)
        return
    _, seed, size = name.split(':')
    count, height, width = three_numbers(size)
    scenes = SceneGenerator(int(seed), options=SceneOptions(negative_fraction=0.0), bank_size=36)
    for index in range(count):
        batch = scenes.batch(index, 1, height, width)
        left, right = (
            view[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
            for view in (batch.left, batch.right)
        )
        truth = torch.where(batch.valid > 0, batch.disparity, torch.nan)[0, 0].numpy()
        yield StereoPair(f'scene {index}', left, right, truth, None)


class LeftRightCheck:
    """`starter`, with the confidence that other networks get from comparing the views."""

    checkpoint = backend = confidence_table = 'left_right_check'

    def __init__(self) -> None:
        self._matcher = StereoMatcher.open('starter')

    def __enter__(self) -> LeftRightCheck:
        return self

    def __exit__(self, *_: object) -> None:
        self._matcher.close()

    def match(self, left: Picture, right: Picture) -> MatchResult:
        """Match both views of a pair."""
        result = self._matcher.match(left, right)
        mirror = self._matcher.match(right[:, ::-1].copy(), left[:, ::-1].copy())
        agreement = check(result.disparity, mirrored(mirror.disparity))
        return replace(result, confidence=agreement.confidence)


def open_network(name: str) -> StereoMatcher | LeftRightCheck:
    """Return the matcher of `sgbm`, of `left_right_check` or of a checkpoint."""
    if name == 'sgbm':
        return StereoMatcher.open(backend='sgbm')
    if name == 'left_right_check':
        return LeftRightCheck()
    return StereoMatcher.open(name)


def sample(
    matcher: StereoMatcher | LeftRightCheck, datasets: list[str], cache: Path | None
) -> Sample:
    """Match all pairs of some sets; maps are kept in the folder `cache`, if there is one."""
    parts = []
    for dataset in datasets:
        confidences, errors = [], []
        for pair in pairs_of(dataset):
            disparity, confidence = _maps(matcher, pair, dataset, cache)
            error = np.abs(disparity - pair.disparity).astype(np.float64)
            known = np.isfinite(error)
            confidences.append(confidence[known].astype(np.float64))
            errors.append(error[known])
        weights = np.full(sum(map(len, errors)), 1 / sum(map(len, errors)))
        parts.append(Sample(np.concatenate(confidences), np.concatenate(errors), weights))
    return Sample(
        np.concatenate([p.confidence for p in parts]),
        np.concatenate([p.error for p in parts]),
        np.concatenate([p.weight for p in parts]),
    )


def _maps(
    matcher: StereoMatcher | LeftRightCheck, pair: StereoPair, dataset: str, cache: Path | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    name = f'{matcher.checkpoint or matcher.backend}-{dataset}-{pair.name}'.replace('/', '_')
    file = cache / f'{name}.npz' if cache else None
    if file and file.is_file():
        kept = np.load(file)
        return kept['disparity'], kept['confidence']
    result = matcher.match(pair.left, pair.right).cpu()
    disparity, confidence = result.disparity.numpy(), result.confidence.numpy()
    if file:
        np.savez(file, disparity=disparity, confidence=confidence)
    return disparity, confidence


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


def print_fit(name: str, found: Sample) -> None:
    """Print the table of both maps as it stands in the code."""
    rows = _bins(found, CONFIDENCE_EDGES, _fit_of_bin)
    if not rows:
        raise S2M2Error(f'--fit: no bin of confidence holds {MIN_PIXELS} pixels with truth')
    mean, likely, deviation, weight = (np.array(column) for column in zip(*rows, strict=True))
    fields = {
        'confidence': mean.round(4),
        'likely': isotonic(likely, weight).round(4),
        'deviation': -isotonic(-deviation, weight).round(3),
    }
    print(f'{name!r}: ConfidenceTable(')
    for field, knots in fields.items():
        print(f'    {field}={tuple(float(x) for x in knots)},')
    print('),')


def print_check(network: str, found: Sample) -> None:
    """Print the reliability of calibrated confidence and of the deviation."""
    raw = torch.from_numpy(found.confidence.astype(np.float32))
    confidence = calibrated_confidence(raw, network)
    deviation = disparity_deviation(confidence, network).double().numpy()
    checked = Sample(confidence.double().numpy(), found.error / deviation, found.weight)
    within = Sample(checked.confidence, found.error, found.weight)
    print('| confidence | of all | mean | within 4 px | within 1 sigma | within 2 sigma |')
    print('| --- | ---: | ---: | ---: | ---: | ---: |')
    rows = zip(
        _bins(within, RELIABILITY_EDGES, _reliability_of_bin),
        _bins(checked, RELIABILITY_EDGES, _deviations_of_bin),
        strict=True,
    )
    for (label, part, mean, likely), (one, two) in rows:
        print(f'| {label} | {part:.1%} | {mean:.3f} | {likely:.1%} | {one:.1%} | {two:.1%} |')


def _bins(
    found: Sample, edges: FloatArray, of_bin: Callable[[Sample, float, float], tuple[object, ...]]
) -> list[tuple[object, ...]]:
    rows = []
    for low, high in itertools.pairwise(edges):
        chosen = (found.confidence >= low) & (found.confidence < high)
        if chosen.sum() < MIN_PIXELS:
            continue
        part = Sample(found.confidence[chosen], found.error[chosen], found.weight[chosen])
        rows.append(of_bin(part, low, high))
    return rows


def _fit_of_bin(part: Sample, low: float, high: float) -> tuple[object, ...]:
    del low, high
    likely = np.average(part.error < ERROR_LIMIT, weights=part.weight)
    deviation = weighted_quantile(part.error, part.weight, ONE_SIGMA)
    mean = np.average(part.confidence, weights=part.weight)
    return mean, likely, deviation, part.weight.sum()


def _reliability_of_bin(part: Sample, low: float, high: float) -> tuple[object, ...]:
    likely = np.average(part.error < ERROR_LIMIT, weights=part.weight)
    mean = np.average(part.confidence, weights=part.weight)
    return f'{low:g} to {min(high, 1):g}', part.weight.sum(), mean, likely


def _deviations_of_bin(part: Sample, low: float, high: float) -> tuple[object, ...]:
    del low, high
    return tuple(np.average(part.error < limit, weights=part.weight) for limit in (1, 2))


def main() -> None:
    """Print fits and checks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--networks', nargs='+', default=['starter', 'sgbm'])
    parser.add_argument(
        '--fit', nargs='*', default=[], metavar='DATASET', help='print the table of these pairs'
    )
    parser.add_argument(
        '--check',
        nargs='*',
        default=[],
        metavar='DATASET',
        help=f'print how right each confidence was, where {MIN_PIXELS} pixels had it',
    )
    parser.add_argument('--cache', type=Path, help='folder that keeps what was matched')
    arguments = parser.parse_args()
    if arguments.cache:
        arguments.cache.mkdir(parents=True, exist_ok=True)
    for network in arguments.networks:
        with open_network(network) as matcher:
            if arguments.fit:
                print_fit(network, sample(matcher, arguments.fit, arguments.cache))
            for dataset in arguments.check:
                print(f'{network}, {dataset}:')
                found = sample(matcher, [dataset], arguments.cache)
                print_check(matcher.confidence_table, found)


if __name__ == '__main__':
    main()
