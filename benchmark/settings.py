"""Time of a matcher against its accuracy, by its settings, which the presets stand for.

Prints the table that the presets were chosen from: seconds for a pair of `--size` on this
machine, best of `--repeats`, and the fraction of pixels off by more than 2 px (holes of sgbm
counted as wrong) on each data set, at the size its images have.

    python -m benchmark.settings
    python -m benchmark.settings --checkpoint S --precision float32 --steps 3 1
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import torch

from benchmark.confidence import pairs_of
from s2m2_ros.cli.matcher_options import PRECISIONS
from s2m2_ros.cli.sizes import three_numbers
from s2m2_ros.evaluation.metrics import disparity_scores, mean_scores
from s2m2_ros.evaluation.pairs import StereoPair
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.sgbm_options import REFINE_ALWAYS, REFINE_NEVER

DATASETS = ('motorcycle', 'scenes:20271127:8x480x640')


class Row(NamedTuple):
    """Seconds of a pair, and bad 2.0 of each data set."""

    seconds: float
    bad_2: tuple[float, ...]


def measure(
    matcher: StereoMatcher, datasets: Sequence[Sequence[StereoPair]], options: argparse.Namespace
) -> Row:
    """Return what one setting takes and gives."""
    _, height, width = three_numbers(f'1x{options.size}')
    images = np.random.default_rng(0).integers(0, 255, (2, height, width, 3), np.uint8)
    matcher.match(*images)
    seconds = float('inf')
    for _ in range(options.repeats):
        started = time.perf_counter()
        matcher.match(*images)
        seconds = min(seconds, time.perf_counter() - started)
    return Row(seconds, tuple(bad_2(matcher, pairs) for pairs in datasets))


def bad_2(matcher: StereoMatcher, pairs: Sequence[StereoPair]) -> float:
    """Return the mean fraction of pixels with truth that are off by more than 2 px."""
    scores = []
    for pair in pairs:
        known = torch.from_numpy(np.isfinite(pair.disparity))
        truth = torch.from_numpy(np.nan_to_num(pair.disparity))
        found = matcher.match(pair.left, pair.right).disparity
        scores.append(disparity_scores(found, truth, known))
    return mean_scores(scores).bad_2


def rows(options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the table."""
    datasets = [list(pairs_of(name)) for name in options.datasets]
    names = ''.join(f' {name} |' for name in options.datasets)
    settings = 'max_width | refine_iterations | upsampling | sgbm_refinement'
    yield f'| {settings} | s at HxW {options.size} |{names}'
    yield '| ---: ' * (5 + len(datasets)) + '|'
    finer = product([0], options.steps[:1], options.upsamplings)
    sizes = (*finer, *product(options.widths, options.steps, [1.0]))
    for (width, steps, upsampling), refinement in product(sizes, options.refinements):
        with StereoMatcher.open(
            options.checkpoint,
            device='cpu',
            precision=PRECISIONS[options.precision],
            refine_iterations=steps,
            max_width=width,
            upsampling=upsampling,
            sgbm_refinement=refinement == REFINE_ALWAYS,
        ) as matcher:
            setting = str(width), str(steps), f'{upsampling:g}', refinement
            yield line(*setting, row=measure(matcher, datasets, options))
    with StereoMatcher.open(backend='sgbm') as matcher:
        yield line('sgbm', '', '', '', row=measure(matcher, datasets, options))


def line(*setting: str, row: Row) -> str:
    """Return one line of the table."""
    bad = ''.join(f' {value:.1%} |' for value in row.bad_2)
    return f'| {" | ".join(setting)} | {row.seconds:.3f} |{bad}'


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    made.add_argument('--checkpoint', default='starter')
    made.add_argument('--precision', choices=PRECISIONS, default='auto')
    made.add_argument('--widths', type=int, nargs='+', default=[0, 512, 448, 384, 320])
    made.add_argument('--steps', type=int, nargs='+', default=[3, 2, 1, 0])
    made.add_argument('--upsamplings', type=float, nargs='*', default=[2.0, 1.5])
    made.add_argument(
        '--refinements',
        choices=(REFINE_NEVER, REFINE_ALWAYS),
        nargs='+',
        default=[REFINE_NEVER, REFINE_ALWAYS],
    )
    made.add_argument('--datasets', nargs='+', default=DATASETS, help='see confidence.py')
    made.add_argument('--size', default='480x640', help='HEIGHTxWIDTH of the pair that is timed')
    made.add_argument('--repeats', type=int, default=3)
    made.add_argument('--threads', type=int, help='of the processor')
    return made


def main() -> None:
    """Print the table, line by line."""
    options = parser().parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    for text in rows(options):
        print(text, flush=True)


if __name__ == '__main__':
    main()
