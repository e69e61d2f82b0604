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
from pathlib import Path

import numpy as np
import torch

from s2m2_ros.cli.main import main as s2m2
from s2m2_ros.errors import S2M2Error
from s2m2_ros.evaluation.datasets import find_labeled_pairs
from s2m2_ros.evaluation.metrics import disparity_scores
from s2m2_ros.evaluation.pairs import DatasetError
from s2m2_ros.evaluation.truth import load_pair
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.io.images.image_files import read_image, write_pfm
from s2m2_ros.network import load_network
from s2m2_ros.training.checkpoints import save_weights
from s2m2_ros.training.folders import UnlabeledSource
from s2m2_ros.training.self_supervision import label_free_scores
from s2m2_ros.weights import find_checkpoint

CHECKED_CROPS = 8


def project(
    points: np.ndarray, size: tuple[int, int], calibration: tuple[float, float, float, float]
) -> np.ndarray:
    """Return the sparse disparity (H, W) of points (N, 3), NaN where there is none.

    ``calibration`` is f, cx, cy in pixels and the baseline in meters.
    Points are meters in the frame of the left rectified camera (x right, y down, z forward);
    of several in one pixel the nearest counts. Points that the camera does not see because
    something stands before them must be removed first: LiDAR and camera look from two places.
    """
    (height, width), (f, cx, cy, baseline) = size, calibration
    ahead = points[points[:, 2] > 0.05]
    column = np.rint(f * ahead[:, 0] / ahead[:, 2] + cx).astype(int)
    row = np.rint(f * ahead[:, 1] / ahead[:, 2] + cy).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    disparity = np.zeros((height, width), np.float32)
    np.maximum.at(
        disparity,
        (row[inside], column[inside]),
        f * baseline / ahead[inside, 2].astype(np.float32),
    )
    return np.where(disparity > 0, disparity, np.nan)


def check(checkpoint: str, folder: Path) -> dict[str, float]:
    """Return what is to fall on pairs that were not trained on: errors if there is truth."""
    try:
        files = find_labeled_pairs(folder)
    except DatasetError:
        return check_without_truth(checkpoint, folder)
    rows = []
    with StereoMatcher.open(checkpoint) as matcher:
        for pair in map(load_pair, files):
            found = matcher.match(pair.left, pair.right).cpu().disparity
            known = torch.from_numpy(np.isfinite(pair.disparity))
            scores = disparity_scores(found, torch.from_numpy(pair.disparity).nan_to_num(), known)
            rows.append((scores.epe, 100 * scores.bad_1, 100 * scores.bad_2))
    means = np.mean(rows, 0)
    return dict(zip(('EPE (px)', 'bad 1.0 (%)', 'bad 2.0 (%)'), map(float, means), strict=True))


def check_without_truth(checkpoint: str, folder: Path) -> dict[str, float]:
    """Return the difference of the views and the fraction that contradicts itself."""
    network = load_network(find_checkpoint(checkpoint))
    source = UnlabeledSource([folder], seed=0)
    rows = [label_free_scores(network, source.batch(i, 1, 256, 384)) for i in range(CHECKED_CROPS)]
    difference, agreeing = np.mean(rows, 0)
    return {
        'difference of the views (%)': 100 * float(difference),
        'views disagree (%)': 100 * (1 - float(agreeing)),
    }


def train(arguments: argparse.Namespace) -> int:
    """Score, train, score again, and say what changed."""
    before = check(arguments.init, arguments.check)
    start = str(find_checkpoint(arguments.init))
    words = ['train', str(arguments.run), '--init', start, '--minutes', str(arguments.minutes)]
    words += ['--learning-rate', str(arguments.learning_rate), '--average', '0.99']
    words += ['--crops', arguments.crops, '--validate-every', str(60 * arguments.minutes)]
    for option in ('data', 'unlabeled'):
        folders = getattr(arguments, option)
        words += [f'--{option}', *map(str, folders)] if folders else []
    words += ['--validation', '2x192x384', '--save-every', '60']
    if s2m2(words):
        return 1
    # The trainer keeps the best by procedural scenes; what counts here are one's own pairs.
    last = torch.load(arguments.run / 'last.ckpt', map_location='cpu', weights_only=True)
    tuned = arguments.run / 'fine_tuned.pth'
    save_weights(tuned, last['average'], {'variant': 'fine-tuned'})
    after = check(str(tuned), arguments.check)
    for name, value in before.items():
        print(f'{name}: {value:.2f} before, {after[name]:.2f} after')
    helped = all(after[name] <= value for name, value in before.items())
    print(
        f'{"it helped" if helped else "not better in everything: do not use it blindly"}: {tuned}'
    )
    return 0


def lidar(arguments: argparse.Namespace) -> int:
    """Write disp0.pfm beside im0.png and im1.png of a scene."""
    image = read_image(arguments.scene / 'im0.png')
    f, cx, cy, baseline = (float(x) for x in arguments.calibration.split(','))
    points = np.load(arguments.points, allow_pickle=False)
    disparity = project(points, image.shape[:2], (f, cx, cy, baseline))
    write_pfm(arguments.scene / 'disp0.pfm', disparity)
    print(f'{np.isfinite(disparity).mean():.1%} of the pixels have truth')
    return 0


def main() -> int:
    """Run one of both commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    projecting = commands.add_parser('lidar', help='project points to a sparse truth')
    projecting.add_argument('points', type=Path, help='.npy, (N, 3) in the left camera frame')
    projecting.add_argument('scene', type=Path, help='folder with im0.png and im1.png')
    projecting.add_argument('--calibration', required=True, help='f,cx,cy in pixels,baseline in m')
    projecting.set_defaults(run_command=lidar)
    training = commands.add_parser('train', help='fine-tune and compare')
    training.add_argument('run', type=Path, help='folder for checkpoints')
    training.add_argument('--data', type=Path, nargs='*', default=[])
    training.add_argument('--unlabeled', type=Path, nargs='*', default=[])
    training.add_argument('--check', type=Path, required=True, help='pairs not trained on')
    training.add_argument('--init', default='starter', help='checkpoint to start from')
    training.add_argument('--minutes', type=float, default=30.0)
    training.add_argument('--learning-rate', type=float, default=2e-5)
    training.add_argument('--crops', default='1:256x384x2', help='until:HEIGHTxWIDTHxBATCH')
    training.set_defaults(run_command=train)
    arguments = parser.parse_args()
    try:
        return int(arguments.run_command(arguments))
    except S2M2Error as error:
        print(error)
        return 1


if __name__ == '__main__':
    raise SystemExit(main())
