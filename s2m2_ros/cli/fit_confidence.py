"""`s2m2 weights fit-confidence`: count what the confidence of a checkpoint is worth."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from s2m2_ros.cli.evaluate import PROCEDURAL_SIZE, dataset_pairs
from s2m2_ros.cli.matcher_options import add_matcher_arguments, matcher_options
from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference.sgbm_options import REFINE_ALWAYS, REFINE_NEVER

if TYPE_CHECKING:
    from s2m2_ros.confidence_tables import RefinedTables
    from s2m2_ros.evaluation.confidence_fit import Sample
    from s2m2_ros.inference import StereoMatcher
    from s2m2_ros.inference.matcher_options import MatcherOptions

_logger = logging.getLogger(__name__)

SUMMARY = 'count what the confidence of a checkpoint is worth on pairs with truth'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this action."""
    parser.add_argument(
        'data',
        nargs='+',
        help='pairs with truth that no training saw, as `s2m2 evaluate` takes them; each set '
        'counts alike',
    )
    parser.add_argument(
        '--check',
        nargs='+',
        default=[],
        metavar='DATA',
        help='other pairs: print how often the errors there are what the confidence says',
    )
    parser.add_argument('--replace', action='store_true', help='replace an earlier table')
    add_matcher_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the table beside the checkpoint; print what it is worth."""
    from s2m2_ros.confidence_files import (
        CountedConfidence,
        has_table,
        table_path,
        write_table,
    )
    from s2m2_ros.evaluation.confidence_fit import Sample, fit_table, reliability_table
    from s2m2_ros.inference.counted_confidence import is_starter, weights_sha256
    from s2m2_ros.weights import find_checkpoint

    uses_sgbm = arguments.backend == 'sgbm'
    file = find_checkpoint(arguments.checkpoint)
    if uses_sgbm or is_starter(file):
        name = 'sgbm' if uses_sgbm else 'starter'
        raise S2M2Error(
            f'{name} has a table in this package: name by --checkpoint the weights that you '
            'trained or added'
        )
    path = table_path(file)
    if path.is_dir() or (has_table(file) and not arguments.replace):
        raise S2M2Error(f'{path}: there is a table already: --replace replaces it')
    _require_pairs([*arguments.data, *arguments.check])
    options = matcher_options(arguments)
    alone = replace(options, sgbm_refinement=REFINE_NEVER)
    with alone.open(counted_confidence=False) as matcher:
        samples = [_sample(matcher, name) for name in arguments.data]
        table = fit_table(Sample.joined(samples))
        weights = weights_sha256(file, matcher.network_description)
    refined = None
    if options.sgbm_refinement == REFINE_ALWAYS:
        refined = _fit_refined(options, arguments.data)
    counted_on = tuple(
        f'{name}: {len(sample.error)} pixels'
        for name, sample in zip(arguments.data, samples, strict=True)
    )
    write_table(path, CountedConfidence(table, weights, counted_on, refined))
    print(f'{path}: corrects the confidence of {arguments.checkpoint} from now on')
    if arguments.check:
        with options.open() as matcher:
            for name in arguments.check:
                found = _sample(matcher, name)
                print(f'\n{name}:\n{reliability_table(found, matcher.confidence_meaning)}')
    return 0


def _fit_refined(options: MatcherOptions, data: Sequence[str]) -> RefinedTables | None:
    """Return the tables of pairs that semi-global matching refines, if there are enough pixels."""
    from s2m2_ros.evaluation.confidence_fit import Sample, fit_refined

    with options.open(counted_confidence=False) as matcher:
        refined = fit_refined(Sample.joined([_sample(matcher, name) for name in data]))
    if refined is None:
        _logger.warning(
            'there are too few pixels to count refined pairs by what semi-global matching says: '
            'their confidence is corrected as that of others'
        )
    return refined


def _require_pairs(names: Sequence[str]) -> None:
    """Raise DatasetError for a set without pairs, before anything is matched."""
    for name in names:
        next(iter(dataset_pairs(name, size='1x64x128' if name == 'procedural' else '')))


def _sample(matcher: StereoMatcher, dataset: str) -> Sample:
    from s2m2_ros.evaluation.confidence_fit import MatchedPair, Sample

    pairs = dataset_pairs(dataset, size=PROCEDURAL_SIZE)
    return Sample.of_pairs(MatchedPair.of(matcher, pair) for pair in pairs)
