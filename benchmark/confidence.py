"""Fit what confidence means, and check it on other pairs with truth.

Prints, for each network, its line of `TABLES` in `s2m2_ros/confidence_tables.py` (isotonic: each
bin at least as likely, and at most as uncertain, as the one below), and a reliability table of the
pairs to check. Only networks that the package knows by name have a line there; others get a table
of their own by `s2m2 weights fit-confidence`. Pairs are named as `s2m2 evaluate` takes them, or
`scenes:SEED:COUNTxHEIGHTxWIDTH` for procedural scenes of any seed. All sets count alike, whatever
their size.

    python -m benchmark.confidence --networks starter starter_refined sgbm left_right_check \
        --fit motorcycle scenes:20271126:10x256x512 --check FOLDER scenes:20271127:6x256x512

Run it again whenever the weights of `starter` change.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import fields, replace

import torch

from s2m2_ros.cli.evaluate import PROCEDURAL_SIZE, dataset_pairs
from s2m2_ros.cli.sizes import three_numbers
from s2m2_ros.confidence_tables import meaning_of
from s2m2_ros.evaluation.confidence_fit import (
    MIN_PIXELS,
    MatchedPair,
    Sample,
    fit_refined,
    fit_table,
    reliability_table,
)
from s2m2_ros.evaluation.pairs import Picture, StereoPair
from s2m2_ros.inference import MatchResult, StereoMatcher
from s2m2_ros.inference.other_networks.left_right_check import check, mirrored
from s2m2_ros.training.procedural.placement import SceneOptions
from s2m2_ros.training.procedural.scenes import SceneGenerator

REFINED_STARTER = 'starter_refined'


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
    """Return the matcher of `sgbm`, `left_right_check`, `starter_refined` or a checkpoint."""
    if name == 'sgbm':
        return StereoMatcher.open(backend='sgbm')
    if name == 'left_right_check':
        return LeftRightCheck()
    if name == REFINED_STARTER:
        return StereoMatcher.open('starter', sgbm_refinement=True)
    return StereoMatcher.open(name)


def sample(matcher: StereoMatcher | LeftRightCheck, datasets: list[str]) -> Sample:
    """Match all pairs of some sets."""
    return Sample.joined(
        Sample.of_pairs(measure(matcher, pair) for pair in pairs_of(dataset))
        for dataset in datasets
    )


def measure(matcher: StereoMatcher | LeftRightCheck, pair: StereoPair) -> MatchedPair:
    """Match one pair."""
    if isinstance(matcher, StereoMatcher):
        return MatchedPair.of(matcher, pair)
    result = matcher.match(pair.left, pair.right).cpu()
    return MatchedPair(result.disparity.numpy(), result.confidence.numpy(), pair.disparity)


def print_fit(network: str, found: Sample) -> None:
    """Print the tables as they stand in the code: of `REFINED_STARTER` those of refined pairs."""
    if network != REFINED_STARTER:
        print(f'{network!r}: {fit_table(found)},')
    elif refined := fit_refined(found):
        for field in fields(refined):
            print(f'{field.name}={getattr(refined, field.name)},')
    else:
        print('too few pixels of refined pairs')


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
    arguments = parser.parse_args()
    for network in arguments.networks:
        with open_network(network) as matcher:
            if arguments.fit:
                print_fit(network, sample(matcher, arguments.fit))
            for dataset in arguments.check:
                print(f'{network}, {dataset}:')
                found = sample(matcher, [dataset])
                print(reliability_table(found, matcher.confidence_meaning))


if __name__ == '__main__':
    main()
