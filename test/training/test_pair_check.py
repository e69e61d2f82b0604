"""What is wrong with pairs is said before a run begins."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from s2m2_ros.evaluation.datasets import find_labeled_pairs
from s2m2_ros.evaluation.pairs import DatasetError
from s2m2_ros.training.folders import FolderSource, UnlabeledSource
from s2m2_ros.training.pair_check import check_labeled

DISPARITY = 4


def write_scene(folder: Path, truth: float, *, exchanged: bool = False) -> None:
    """Write a pair of noise of 96x64 with disparity 4 everywhere, and a `truth` of it."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 100, 3)).astype(np.uint8)
    views = [noise[:, :96], noise[:, DISPARITY:]]
    for number, view in enumerate(views[::-1] if exchanged else views):
        cv2.imwrite(str(folder / f'im{number}.png'), view)
    cv2.imwrite(str(folder / 'disp0.pfm'), np.full((64, 96), truth, np.float32))


def checked(folder: Path, caplog: pytest.LogCaptureFixture) -> str:
    """Return what checking the pairs of a folder logs."""
    with caplog.at_level(logging.WARNING):
        check_labeled(find_labeled_pairs(folder))
    return caplog.text


def test_truth_that_fits_its_images_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_scene(tmp_path / 'a', DISPARITY)
    assert not checked(tmp_path, caplog)


@pytest.mark.parametrize(
    ('truth', 'exchanged', 'words'),
    [
        # 4 px in quarters, in eighths, and of images of half the size.
        (16, False, 'times 0.25 it brings the views of 2 of them together'),
        (32, False, 'times 0.125 it brings'),
        (2, False, 'times 2 it brings'),
        (DISPARITY, True, 'left and right seem to be exchanged'),
    ],
)
def test_truth_that_contradicts_its_images_is_said(
    truth: float, exchanged: bool, words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in 'ab':
        write_scene(tmp_path / name, truth, exchanged=exchanged)
    said = checked(tmp_path, caplog)
    assert 'the truth of 2 of 2 pairs contradicts their images' in said
    assert words in said


def test_one_wrong_truth_among_three_may_be_its_surface(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, truth in (('a', DISPARITY), ('b', DISPARITY), ('c', 16)):
        write_scene(tmp_path / name, truth)
    assert not checked(tmp_path, caplog)


@pytest.mark.parametrize('truth', [0, np.nan, np.inf, 4000])
def test_a_pair_without_known_truth_is_named(truth: float, tmp_path: Path) -> None:
    write_scene(tmp_path / 'good', DISPARITY)
    write_scene(tmp_path / 'void', truth)
    with pytest.raises(DatasetError, match='void: not one pixel of the truth is known'):
        FolderSource([tmp_path], seed=0).check()


def test_a_truth_of_another_size_is_named(tmp_path: Path) -> None:
    for number in range(20):
        write_scene(tmp_path / f's{number:02}', DISPARITY)
    cv2.imwrite(str(tmp_path / 's13' / 'disp0.pfm'), np.ones((32, 48), np.float32))
    with pytest.raises(DatasetError, match='s13: the truth is 48x32, the left image 96x64'):
        FolderSource([tmp_path], seed=0).check()


def test_an_unlabeled_pair_of_two_sizes_is_named(tmp_path: Path) -> None:
    for name, width in (('left_1', 96), ('right_1', 96), ('left_2', 96), ('right_2', 64)):
        cv2.imwrite(str(tmp_path / f'{name}.png'), np.zeros((64, width), np.uint8))
    with pytest.raises(DatasetError, match=r'left_2\.png.*different sizes'):
        UnlabeledSource([tmp_path], seed=0).check()
