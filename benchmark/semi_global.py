"""Score SGBM: as most people run it, as the node runs it, and at smaller working widths.

Plain, what lies left of the search range has no estimate, and a hole counts as wrong. The other
rows count errors of known pixels only, since the node leaves unknown pixels out.

    python -m benchmark.semi_global motorcycle FOLDER --plain --disparities 64
    python -m benchmark.semi_global motorcycle scenes:20271127:4x512x1024 --shrink 1 1.5 2 2.4 4.8
    python -m benchmark.semi_global --time
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import cv2
import numpy as np
import torch

from benchmark.confidence import pairs_of
from s2m2_ros.evaluation.metrics import disparity_scores, mean_scores
from s2m2_ros.evaluation.pairs import StereoPair
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.sgbm_options import SgbmOptions

SIZES = ((640, 480), (1280, 720), (1920, 1080), (3840, 2160))
REPEATS = 5


def disparity(pair: StereoPair, options: SgbmOptions) -> np.ndarray:
    """Return the disparity (H, W) in pixels, NaN where unknown."""
    with StereoMatcher.open(backend='sgbm', sgbm=options) as matcher:
        return matcher.match(pair.left, pair.right).disparity.numpy()


def plain_scores(pairs: Iterator[StereoPair], disparities: int) -> str:
    """Return the scores of OpenCV's matcher alone; holes count as wrong."""
    scores = []
    for pair in pairs:
        options = SgbmOptions.plain(search_fraction=disparities / pair.left.shape[1])
        known = torch.from_numpy(np.isfinite(pair.disparity))
        truth = torch.from_numpy(np.nan_to_num(pair.disparity))
        found = torch.from_numpy(disparity(pair, options))
        scores.append(disparity_scores(found, truth, known))
    mean = mean_scores(scores)
    return (
        f'plain: bad 1.0 {mean.bad_1:.1%}, bad 2.0 {mean.bad_2:.1%}, bad 4.0 {mean.bad_4:.1%}, '
        f'known {mean.density:.1%}'
    )


def shrunken_scores(pairs: Iterator[StereoPair], shrink: float) -> str:
    """Return the errors of known pixels when matching at 1 / `shrink` of the width."""
    errors, known = [], []
    for pair in pairs:
        width = round(pair.left.shape[1] / shrink)
        found = disparity(pair, SgbmOptions(working_width=width))
        known.append(np.isfinite(found).mean())
        error = np.abs(found - pair.disparity)
        errors.append(error[np.isfinite(error)])
    error = np.concatenate(errors)
    bad = ', '.join(f'bad {limit}.0 {(error > limit).mean():.1%}' for limit in (1, 2, 4))
    return (
        f'width / {shrink:g}: known {np.mean(known):.1%}, median error {np.median(error):.2f} px, '
        f'{bad}'
    )


def print_times() -> None:
    """Print what one pair takes at common sizes with the default options."""
    pair = next(pairs_of('motorcycle'))
    with StereoMatcher.open(backend='sgbm') as matcher:
        for size in SIZES:
            left, right = cv2.resize(pair.left, size), cv2.resize(pair.right, size)
            matcher.match(left, right)
            wall, processor = [], []
            for _ in range(REPEATS):
                started, used = time.perf_counter(), time.process_time()
                matcher.match(left, right)
                wall.append(time.perf_counter() - started)
                processor.append(time.process_time() - used)
            print(
                f'{size[0]}x{size[1]}: {np.median(wall):.2f} s, processor time '
                f'{np.median(processor):.2f} s'
            )


def main() -> None:
    """Print a line for each data set and setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('datasets', nargs='*', help='see benchmark/confidence.py')
    parser.add_argument('--plain', action='store_true', help="OpenCV's matcher alone")
    parser.add_argument('--disparities', type=int, default=64, help='of --plain')
    parser.add_argument('--shrink', type=float, nargs='*', default=[1.0], help='working widths')
    parser.add_argument('--time', action='store_true', help='measure common sizes')
    arguments = parser.parse_args()
    for dataset in arguments.datasets:
        pairs = list(pairs_of(dataset))
        if arguments.plain:
            print(f'{dataset}, {plain_scores(iter(pairs), arguments.disparities)}')
            continue
        for shrink in arguments.shrink:
            print(f'{dataset}, {shrunken_scores(iter(pairs), shrink)}')
    if arguments.time:
        print_times()


if __name__ == '__main__':
    main()
