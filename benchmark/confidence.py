"""Fit what confidence means, and check it on other pairs with truth.

Prints, for each network, its line of `TABLES` in `s2m2_ros/confidence_tables.py` (isotonic: each
bin at least as likely, and at most as uncertain, as the one below), and a reliability table of the
pairs to check. Only networks that the package knows by name have a line there; others get a table
of their own by `s2m2 weights fit-confidence`. Pairs are named as `s2m2 evaluate` takes them, or
`scenes:SEED:COUNTxHEIGHTxWIDTH` for procedural scenes of any seed. All sets count alike, whatever
their size.

    python -m benchmark.confidence --networks starter sgbm left_right_check \
        --fit motorcycle scenes:20271126:10x256x512 --check FOLDER scenes:20271127:6x256x512

Run it again whenever the weights of `starter` change.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from s2m2_ros.cli.evaluate import PROCEDURAL_SIZE, dataset_pairs
from s2m2_ros.cli.sizes import three_numbers
from s2m2_ros.confidence_tables import ConfidenceTable, meaning_of
from s2m2_ros.evaluation.confidence_fit import (
    MIN_PIXELS,
    MatchedPair,
    Sample,
    fit_table,
    reliability_table,
)
from s2m2_ros.evaluation.pairs import Picture, StereoPair
from s2m2_ros.inference import MatchResult, StereoMatcher
from s2m2_ros.inference.other_networks.left_right_check import check, mirrored
from s2m2_ros.training.procedural.placement import SceneOptions
from s2m2_ros.training.procedural.scenes import SceneGenerator


def pairs_of(name: str) -> Iterator[StereoPair]:
    """Yield the pairs of a set; see the module's description."""
    if not name.startswith('scenes:'):
        yield from dataset_pairs(name, size=PROCEDURAL_SIZE)
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

    checkpoint = backend = 'left_right_check'
    confidence_meaning = meaning_of('left_right_check')

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
    return Sample.joined(
        Sample.of_pairs(
            MatchedPair(*_maps(matcher, pair, dataset, cache), pair.disparity)
            for pair in pairs_of(dataset)
        )
        for dataset in datasets
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


def print_fit(name: str, table: ConfidenceTable) -> None:
    """Print a table as it stands in the code."""
    print(f'{name!r}: ConfidenceTable(')
    for field, knots in asdict(table).items():
        print(f'    {field}={knots},')
    print('),')


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
                print_fit(network, fit_table(sample(matcher, arguments.fit, arguments.cache)))
            for dataset in arguments.check:
                print(f'{network}, {dataset}:')
                found = sample(matcher, [dataset], arguments.cache)
                print(reliability_table(found, matcher.confidence_meaning))


if __name__ == '__main__':
    main()
