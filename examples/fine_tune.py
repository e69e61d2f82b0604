"""Fine-tune a network on one's own pairs, and say whether it helped; see doc/fine_tuning.md.

    python examples/fine_tune.py lidar POINTS.npy SCENE --calibration f,cx,cy,baseline
    python examples/fine_tune.py train RUN --data TRAIN --check CHECK --minutes 30
    python examples/fine_tune.py train RUN --unlabeled TRAIN --check CHECK --minutes 30

TRAIN and CHECK are folders of rectified pairs, which must not show the same places. With
--data, both hold truth in a layout that `s2m2 evaluate` reads (dense or sparse); without, CHECK
may hold truth or not.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from s2m2_ros.cli.main import main as s2m2
from s2m2_ros.errors import S2M2Error
from s2m2_ros.evaluation.datasets import TRUTH_NAMES, find_labeled_pairs
from s2m2_ros.evaluation.metrics import disparity_scores
from s2m2_ros.evaluation.pairs import DatasetError, StereoFiles
from s2m2_ros.evaluation.truth import load_pair
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.io.images.image_files import read_image, write_pfm
from s2m2_ros.io.sources.stereo_sources import ImagePair
from s2m2_ros.network import load_network, read_config
from s2m2_ros.training.checkpoints import load_last, require_no_run, save_weights
from s2m2_ros.training.folders import UnlabeledSource
from s2m2_ros.training.self_supervision import label_free_scores
from s2m2_ros.weights import find_checkpoint

TUNED = 'fine_tuned.pth'
# Fewer pairs do not tell a gain from chance.
LEAST_PAIRS = 5
# A score has changed if its mean did by more than so many standard errors of the differences
# between pairs (Student's t: in 19 of 20 cases, from five pairs up) and by this fraction.
CLEAR, LEAST_CHANGE = 2.2, 0.01

Scores = dict[str, npt.NDArray[np.float64]]
"""Of each pair, by name; all are better the lower they are."""


def project(
    points: npt.NDArray[np.float64],
    size: tuple[int, int],
    calibration: tuple[float, float, float, float],
) -> npt.NDArray[np.float32]:
    """Return the sparse disparity (H, W) of points (N, 3), NaN where there is none.

    ``calibration`` is f, cx, cy in pixels and the baseline in meters.
    Points are meters in the frame of the left rectified camera (x right, y down, z forward);
    of several in one pixel the nearest counts. Points that the camera does not see because
    something stands before them must be removed first: LiDAR and camera look from two places.
    """
    (height, width), (f, cx, cy, baseline) = size, calibration
    ahead = points[points[:, 2] > 0.05]
    column = np.rint(f * ahead[:, 0] / ahead[:, 2] + cx)
    row = np.rint(f * ahead[:, 1] / ahead[:, 2] + cy)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = row[inside].astype(int), column[inside].astype(int)
    disparity = np.zeros((height, width), np.float32)
    np.maximum.at(disparity, place, (f * baseline / ahead[inside, 2]).astype(np.float32))
    return np.where(disparity > 0, disparity, np.float32(np.nan))


def read_points(file: Path) -> npt.NDArray[np.float64]:
    """Return the finite points (N, 3) of a .npy file."""
    try:
        points = np.load(file, allow_pickle=False)
    except OSError as error:
        raise S2M2Error(f"'{file}' cannot be read ({error.strerror})") from error
    except (ValueError, EOFError) as error:
        raise S2M2Error(f"'{file}' does not hold numbers as numpy.save writes them") from error
    shape = getattr(points, 'shape', ('several', 'arrays'))
    if len(shape) != 2 or shape[1] != 3 or points.dtype.kind not in 'fiu':
        raise S2M2Error(
            f"'{file}' holds ({', '.join(map(str, shape))}), not (N, 3) numbers: save x, y, z in "
            'meters alone'
        )
    finite = np.isfinite(points).all(1)
    if not finite.all():
        print(f'{(~finite).sum()} of {len(points)} points are not finite, and left out')
    return np.asarray(points[finite], np.float64)


def calibration(text: str) -> tuple[float, float, float, float]:
    """Return f, cx, cy and the baseline."""
    try:
        f, cx, cy, baseline = (float(word) for word in text.split(','))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f'{text!r} are not four numbers f,cx,cy,baseline'
        ) from error
    if not (all(map(math.isfinite, (f, cx, cy, baseline))) and f > 0 and baseline > 0):
        raise argparse.ArgumentTypeError(f'{text!r}: f and baseline must be above 0')
    return f, cx, cy, baseline


def lidar(arguments: argparse.Namespace) -> int:
    """Write disp0.pfm beside im0.png and im1.png of a scene."""
    image = read_image(arguments.scene / 'im0.png')
    for name in TRUTH_NAMES:
        if (arguments.scene / name).exists():
            raise S2M2Error(
                f"'{arguments.scene / name}' is a truth already: delete it, or move it away, if "
                'that of the points is to replace it'
            )
    disparity = project(read_points(arguments.points), image.shape[:2], arguments.calibration)
    known = np.isfinite(disparity)
    if not known.any():
        raise S2M2Error(
            f"no point of '{arguments.points}' lies in the image: points must be meters in the "
            'frame of the left camera (x right, y down, z forward); check --calibration, too'
        )
    write_pfm(arguments.scene / 'disp0.pfm', disparity)
    print(f'{known.mean():.1%} of the pixels have truth')
    return 0


def labeled_check(arguments: argparse.Namespace) -> list[StereoFiles]:
    """Return the pairs of CHECK with truth, none if it has no truth and needs none."""
    try:
        return find_labeled_pairs(arguments.check)
    except DatasetError as error:
        if arguments.data or not arguments.check.is_dir():
            raise
        print(f'the views are compared, since there is no truth: {error}')
        return []


def check(checkpoint: str, folder: Path, labeled: list[StereoFiles]) -> Scores:
    """Return what is to fall on pairs that were not trained on: errors if there is truth."""
    if not labeled:
        return check_without_truth(checkpoint, folder)
    rows = []
    with StereoMatcher.open(checkpoint) as matcher:
        for pair in map(load_pair, labeled):
            found = matcher.match(pair.left, pair.right).cpu().disparity
            known = torch.from_numpy(np.isfinite(pair.disparity))
            if not known.any():
                raise S2M2Error(f"no pixel of '{pair.name}' in '{folder}' has truth: remove it")
            scores = disparity_scores(found, torch.from_numpy(pair.disparity).nan_to_num(), known)
            rows.append((scores.epe, 100 * scores.bad_1, 100 * scores.bad_2))
    return dict(zip(('EPE (px)', 'bad 1.0 (%)', 'bad 2.0 (%)'), np.array(rows).T, strict=True))


def check_without_truth(checkpoint: str, folder: Path) -> Scores:
    """Return the difference of the views and the fraction that contradicts itself."""
    network = load_network(find_checkpoint(checkpoint))
    source = UnlabeledSource([folder], seed=0)
    rows = []
    for pair in source.files:
        source.files = [pair]  # one crop of each, the same before and after
        rows.append(label_free_scores(network, source.batch(0, 1, 256, 384)))
    difference, agreeing = np.array(rows).T
    return {
        'difference of the views (%)': 100 * difference,
        'views disagree (%)': 100 * (1 - agreeing),
    }


def require_unseen(arguments: argparse.Namespace, labeled: list[StereoFiles]) -> None:
    """Check that no left image of CHECK is trained on, be it under another name."""

    def unlabeled(folder: Path) -> list[ImagePair]:
        return UnlabeledSource([folder], seed=0).files

    def digest(file: Path) -> bytes:
        return hashlib.sha256(file.read_bytes()).digest()

    learned = [pair.left for folder in arguments.data for pair in find_labeled_pairs(folder)]
    learned += [pair.left for folder in arguments.unlabeled for pair in unlabeled(folder)]
    checked = [pair.left for pair in labeled or unlabeled(arguments.check)]
    seen = set(map(digest, learned))
    both = [file for file in checked if digest(file) in seen]
    if both:
        raise S2M2Error(
            f"{len(both)} of {len(checked)} pairs of --check are trained on as well ('{both[0]}' "
            'is the first): what they gain says nothing of other places; take them out of one'
        )


def change(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> int:
    """Return whether a score fell clearly (-1), rose clearly (1), or neither."""
    differences = after - before
    error = differences.std(ddof=1) / math.sqrt(len(differences))
    limit = max(CLEAR * error, LEAST_CHANGE * before.mean())
    return int(np.sign(differences.mean())) if abs(differences.mean()) > limit else 0


def verdict(before: Scores, after: Scores) -> str:
    """Say whether it helped: every score must have fallen, by more than chance does it."""
    count = len(next(iter(before.values())))
    if count < LEAST_PAIRS:
        return f'{count} pairs cannot say whether it helped: give --check at least {LEAST_PAIRS}'
    # What was and is without any error cannot fall.
    counted = [name for name in before if before[name].any() or after[name].any()]
    changes = {name: change(before[name], after[name]) for name in counted}
    if worse := [name for name, sign in changes.items() if sign > 0]:
        return f'worse in {", ".join(worse)}: do not use it blindly'
    if unclear := [name for name, sign in changes.items() if sign == 0]:
        return f'not clearly better in {", ".join(unclear)}: that may be chance'
    return 'it helped' if changes else 'there was no error before, and is none now'


def train(arguments: argparse.Namespace) -> int:
    """Score, train, score again, and say what changed."""
    if not arguments.data and not arguments.unlabeled:
        raise S2M2Error('give pairs to learn from: --data (with truth) or --unlabeled (without)')
    tuned = arguments.run / TUNED
    if arguments.resume:
        load_last(arguments.run)
    else:
        require_no_run(arguments.run, TUNED)
    labeled = labeled_check(arguments)
    require_unseen(arguments, labeled)
    before = check(arguments.init, arguments.check, labeled)
    if s2m2(training_words(arguments)):
        return 1
    # The trainer keeps the best by procedural scenes; what counts here are one's own pairs.
    last = load_last(arguments.run)
    facts = {'variant': 'fine-tuned', 'license': last['options'].get('license', '')}
    save_weights(tuned, last['average'], facts)
    after = check(str(tuned), arguments.check, labeled)
    done = last['state']
    print(f'{done["step"]} steps, {done["pairs"]} pairs, {done["elapsed"] / 60:.1f} minutes')
    print(f'of the {len(next(iter(before.values())))} pairs of {arguments.check}:')
    for name, values in before.items():
        print(f'{name}: {values.mean():.2f} before, {after[name].mean():.2f} after')
    print(f'{verdict(before, after)}: {tuned}')
    if labeled:
        words = f's2m2 weights fit-confidence {arguments.check} --checkpoint {tuned}'
        print(f'if you use it, count what its confidence is worth: {words}')
    return 0


def training_words(arguments: argparse.Namespace) -> list[str]:
    """Return the command line of `s2m2 train`."""
    start = find_checkpoint(arguments.init)
    words = ['train', str(arguments.run), '--init', str(start)]
    words += ['--variant', read_config(start).name, '--minutes', str(arguments.minutes)]
    words += ['--learning-rate', str(arguments.learning_rate), '--average', '0.99']
    words += ['--crops', arguments.crops, '--scenes-fraction', str(arguments.scenes_fraction)]
    for option in ('data', 'unlabeled'):
        folders = getattr(arguments, option)
        words += [f'--{option}', *map(str, folders)] if folders else []
    words += ['--resume'] if arguments.resume else []
    return [*words, '--validation', '2x192x384', '--validate-every', 'inf', '--save-every', '60']


def main() -> int:
    """Run one of both commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    projecting = commands.add_parser('lidar', help='project points to a sparse truth')
    projecting.add_argument('points', type=Path, help='.npy, (N, 3) in the left camera frame')
    projecting.add_argument('scene', type=Path, help='folder with im0.png and im1.png')
    projecting.add_argument(
        '--calibration', type=calibration, required=True, help='f,cx,cy in pixels,baseline in m'
    )
    projecting.set_defaults(run_command=lidar)
    training = commands.add_parser('train', help='fine-tune and compare')
    training.add_argument('run', type=Path, help='folder for checkpoints')
    training.add_argument('--data', type=Path, nargs='+', default=[], help='pairs with truth')
    training.add_argument('--unlabeled', type=Path, nargs='+', default=[], help='pairs without')
    training.add_argument('--check', type=Path, required=True, help='pairs not trained on')
    training.add_argument('--init', default='starter', help='checkpoint to start from')
    training.add_argument('--minutes', type=float, default=30.0)
    training.add_argument('--learning-rate', type=float, default=2e-5)
    training.add_argument('--crops', default='1:256x384x2', help='until:HEIGHTxWIDTHxBATCH')
    training.add_argument(
        '--scenes-fraction', type=float, default=0.5, help='of batches, from procedural scenes'
    )
    training.add_argument(
        '--resume', action='store_true', help='go on with the run in RUN, with its own options'
    )
    training.set_defaults(run_command=train)
    arguments = parser.parse_args()
    try:
        return int(arguments.run_command(arguments))
    except S2M2Error as error:
        print(f'fine_tune.py: {error}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    raise SystemExit(main())
