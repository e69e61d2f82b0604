"""Score OpenCV's SGBM as most people run it: without a margin for the search range.

`s2m2 evaluate` runs it better, so these figures are worse than the ones there: what lies left of
the search range has no estimate, and a hole counts as wrong.

    python -m benchmark.semi_global motorcycle FOLDER --disparities 64
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
import torch

from s2m2_ros.cli.evaluate import dataset_pairs
from s2m2_ros.evaluation.metrics import disparity_scores, mean_scores


def estimate(left: np.ndarray, right: np.ndarray, disparities: int) -> np.ndarray:
    """Return the disparity (H, W) of RGB images (H, W, 3) in pixels, NaN in holes."""
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=disparities,
        blockSize=5,
        P1=8 * 3 * 5**2,
        P2=32 * 3 * 5**2,
        disp12MaxDiff=1,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    views = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right))
    fixed = np.asarray(matcher.compute(*views))
    return np.where(fixed < 0, np.nan, fixed / np.float32(16)).astype(np.float32)


def main() -> None:
    """Print a line for each data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('datasets', nargs='+', help='as s2m2 evaluate takes them')
    parser.add_argument('--disparities', type=int, default=64, help='a multiple of 16')
    parser.add_argument('--size', default='24x256x512', help='COUNTxHEIGHTxWIDTH, procedural only')
    arguments = parser.parse_args()
    for dataset in arguments.datasets:
        scores = []
        for pair in dataset_pairs(dataset, size=arguments.size):
            known = torch.from_numpy(np.isfinite(pair.disparity))
            truth = torch.from_numpy(np.nan_to_num(pair.disparity))
            found = estimate(pair.left, pair.right, arguments.disparities)
            scores.append(disparity_scores(torch.from_numpy(found), truth, known))
        mean = mean_scores(scores)
        print(
            f'{dataset}: bad 1.0 {mean.bad_1:.1%}, bad 2.0 {mean.bad_2:.1%}, bad 4.0 '
            f'{mean.bad_4:.1%}, known {mean.density:.1%}'
        )


if __name__ == '__main__':
    main()
