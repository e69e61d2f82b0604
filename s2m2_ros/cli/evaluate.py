"""`s2m2 evaluate`: score a checkpoint on real or procedural pairs, with SGBM beside it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from s2m2_ros.cli.matcher_options import add_matcher_arguments, matcher_options
from s2m2_ros.cli.sizes import three_numbers
from s2m2_ros.errors import S2M2Error
from s2m2_ros.text_safety import safe_text

if TYPE_CHECKING:
    from s2m2_ros.evaluation.evaluate import Match, PairReport
    from s2m2_ros.evaluation.pairs import StereoPair
    from s2m2_ros.inference import StereoMatcher

SUMMARY = 'score a checkpoint on pairs with ground truth, beside OpenCV SGBM'
PROCEDURAL_SIZE = '24x256x512'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    parser.add_argument(
        'dataset',
        help='folder in the layout of Middlebury, ETH3D, KITTI or Scene Flow; "procedural" for '
        'the fixed scenes that validate training; "motorcycle" for the pair of scikit-image',
    )
    add_matcher_arguments(parser)
    parser.add_argument('--limit', type=int, default=0, help='only so many pairs; 0: all')
    parser.add_argument(
        '--size', default=PROCEDURAL_SIZE, help='COUNTxHEIGHTxWIDTH, procedural only'
    )
    parser.add_argument(
        '--no-sgbm', action='store_true', help='skip SGBM (ignored with --backend sgbm)'
    )
    parser.add_argument('--json', type=Path, help='write all numbers to this file')
    parser.add_argument('--pictures', type=Path, help='write pictures of errors to this folder')


def run(arguments: argparse.Namespace) -> int:
    """Print the table; write the files that were asked for.

    Where a pair cannot be scored, those before it are, and its error is raised after that.
    """
    from s2m2_ros.evaluation.baseline import open_baseline
    from s2m2_ros.evaluation.evaluate import evaluate_pairs, pipeline_match
    from s2m2_ros.evaluation.report import make_folder, table, write_json

    if arguments.limit < 0:
        raise S2M2Error(f'--limit must be 0 or more, not {arguments.limit}')
    if arguments.pictures:
        make_folder(arguments.pictures)
    with ExitStack() as stack:
        matching = matcher_options(arguments)
        matcher = stack.enter_context(matching.open())
        match: Match | None = pipeline_match(matcher)
        sgbm: Match | None = None
        if matcher.backend == 'sgbm':
            match, sgbm = None, pipeline_match(matcher)
        elif not arguments.no_sgbm:
            sgbm = pipeline_match(stack.enter_context(open_baseline()))
        pairs = dataset_pairs(arguments.dataset, size=arguments.size, limit=arguments.limit)
        scored = evaluate_pairs(pairs, match, name=_network_name(matcher), sgbm=sgbm)
        reports, ended_by = _collected(scored, arguments.pictures)
        about = {
            'dataset': arguments.dataset,
            'checkpoint': arguments.checkpoint,
            'backend': matcher.backend,
            'precision': matcher.precision,
            'device': str(matcher.device),
            'refine_iterations': matching.refine_iterations,
            'max_width': matching.max_width,
            'upsampling': matching.upsampling,
            'sgbm_refinement': matching.sgbm_refinement,
            'ended_by': str(ended_by) if ended_by else '',
        }
    print(table(reports))
    if arguments.json:
        write_json(arguments.json, reports, about)
    if ended_by:
        raise ended_by
    return 0


def _collected(
    scored: Iterable[PairReport], pictures: Path | None
) -> tuple[list[PairReport], S2M2Error | None]:
    """Return the reports, and what ended them too early; the first pair's error is raised."""
    from s2m2_ros.evaluation.report import write_picture

    reports: list[PairReport] = []
    try:
        for report in scored:
            reports.append(report)
            if pictures:
                write_picture(pictures, report)
    except S2M2Error as error:
        if not reports:
            raise
        # What was scored so far may have taken hours.
        return reports, error
    return reports, None


def _network_name(matcher: StereoMatcher) -> str:
    """Return what the table calls the network: S2M2, or what its description or file is called."""
    description = matcher.network_description
    if not description:
        return 'S2M2'
    name = description.get('name') or Path(matcher.checkpoint).stem
    # A bar would end the cell.
    return safe_text(name, 30).replace('|', '/')


def dataset_pairs(dataset: str, *, size: str, limit: int = 0) -> Iterator[StereoPair]:
    """Yield the pairs of a data set as it is named on the command line; ``limit`` 0: all.

    Raises DatasetError if there is none, S2M2Error if ``size`` is not COUNTxHEIGHTxWIDTH.
    """
    from s2m2_ros.evaluation.datasets import find_labeled_pairs
    from s2m2_ros.evaluation.samples import motorcycle
    from s2m2_ros.evaluation.truth import load_pair
    from s2m2_ros.training.validation import procedural_pairs

    if dataset == 'procedural':
        pairs = procedural_pairs(*three_numbers(size))
    elif dataset == 'motorcycle':
        pairs = iter([motorcycle()])
    else:
        pairs = (load_pair(files) for files in find_labeled_pairs(Path(dataset)))
    for number, pair in enumerate(pairs):
        if limit and number >= limit:
            return
        yield pair
