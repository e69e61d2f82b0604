"""A sheet that shows what the network is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from s2m2_ros.evaluation.pictures import Picture, histogram_picture
from s2m2_ros.io.images.image_files import disparity_picture, fraction_picture, write_png
from s2m2_ros.training.batch import StereoBatch

HISTOGRAM_HEIGHT = 120


def write_sheet(file: Path, pairs: StereoBatch) -> None:
    """Write one row per pair: left, right, disparity, visibility; below, all disparities.

    The disparities of a row are colored from 0 to their largest; the histogram at the bottom
    reaches from 0 to the largest of the batch.
    """
    rows = [_row(pairs, number) for number in range(pairs.left.shape[0])]
    width = rows[0].shape[1]
    values = pairs.disparity[pairs.valid > 0].numpy()
    write_png(file, np.concatenate([*rows, histogram_picture(values, width, HISTOGRAM_HEIGHT)]))


def _row(pairs: StereoBatch, number: int) -> Picture:
    images = [
        image[number].permute(1, 2, 0).clamp(0, 255).byte().numpy()
        for image in (pairs.left, pairs.right)
    ]
    disparity = pairs.disparity[number, 0].numpy()
    return np.concatenate(
        [
            *images,
            disparity_picture(disparity, 0.0, float(disparity.max())),
            np.repeat(fraction_picture(pairs.visibility[number, 0].numpy())[..., None], 3, axis=2),
        ],
        axis=1,
    )
