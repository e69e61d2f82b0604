"""Readers, on small files written in the layouts of the benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from s2m2_ros.evaluation.datasets import find_labeled_pairs
from s2m2_ros.evaluation.pairs import DatasetError
from s2m2_ros.evaluation.truth import load_pair, read_disparity

HEIGHT, WIDTH = 6, 16
DISPARITY = np.arange(HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH) / 8


def write_image(file: Path, color: tuple[int, int, int] = (10, 20, 30)) -> None:
    """Write an image whose RGB is ``color`` everywhere."""
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full((HEIGHT, WIDTH, 3), color[::-1], np.uint8)
    assert cv2.imwrite(str(file), picture)


def write_truth(file: Path, values: npt.NDArray[Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), values)


def test_middlebury_and_eth3d(tmp_path: Path) -> None:
    scene = tmp_path / 'Adirondack'
    write_image(scene / 'im0.png')
    write_image(scene / 'im1.png', (40, 50, 60))
    truth = DISPARITY.copy()
    truth[0, 0] = np.inf
    write_truth(scene / 'disp0GT.pfm', truth)
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[1, 2] = 128
    write_truth(scene / 'mask0nocc.png', mask)
    (files,) = find_labeled_pairs(tmp_path)
    pair = load_pair(files)
    assert pair.name == 'Adirondack'
    assert pair.left[0, 0].tolist() == [10, 20, 30]
    assert pair.right[0, 0].tolist() == [40, 50, 60]
    assert np.isnan(pair.disparity[0, 0])
    # The first row of the file is the last of the picture in PFM: the reader turns it back.
    assert pair.disparity[1, 3] == DISPARITY[1, 3]
    assert pair.visible is not None
    assert not pair.visible[1, 2]
    assert pair.visible.sum() == HEIGHT * WIDTH - 1


@pytest.mark.parametrize('name', ['disp0GT.png', 'disp0GT.npy'])
def test_other_files_of_truth_beside_im0(tmp_path: Path, name: str) -> None:
    for image in ('im0.png', 'im1.png'):
        write_image(tmp_path / 'room' / image)
    if name.endswith('.npy'):
        np.save(tmp_path / 'room' / name, DISPARITY)
    else:
        write_truth(tmp_path / 'room' / name, (DISPARITY * 256).astype(np.uint16))
    (files,) = find_labeled_pairs(tmp_path)
    expected = np.where(DISPARITY > 0, DISPARITY, np.nan)
    np.testing.assert_array_equal(load_pair(files).disparity, expected)


def test_a_truth_of_8_bits_is_no_count_of_256ths(tmp_path: Path) -> None:
    for name in ('im0.png', 'im1.png', 'disp0GT.png'):
        write_image(tmp_path / 'room' / name)
    (files,) = find_labeled_pairs(tmp_path)
    with pytest.raises(DatasetError, match=r'disp0GT\.png: 8 bits'):
        load_pair(files)


def test_a_truth_of_no_layout_is_named(tmp_path: Path) -> None:
    for name in ('im0.png', 'im1.png', 'disparity.png'):
        write_image(tmp_path / 'room' / name)
    with pytest.raises(DatasetError, match=r"'room/disparity\.png' is there, but"):
        find_labeled_pairs(tmp_path)


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_kitti_counts_in_256ths_and_knows_occlusions(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f'training/image_2/000000_10{suffix}')
    write_image(tmp_path / f'training/image_2/000000_11{suffix}')
    write_image(tmp_path / f'training/image_3/000000_10{suffix}')
    values = np.zeros((HEIGHT, WIDTH), np.uint16)
    values[2, 3:5] = 640
    write_truth(tmp_path / 'training/disp_occ_0/000000_10.png', values)
    values[2, 4] = 0
    write_truth(tmp_path / 'training/disp_noc_0/000000_10.png', values)
    (files,) = find_labeled_pairs(tmp_path)
    pair = load_pair(files)
    assert pair.disparity[2, 3] == 2.5
    assert pair.disparity[2, 4] == 2.5
    assert np.isnan(pair.disparity[0, 0])
    assert pair.visible is not None
    assert pair.visible[2].tolist() == [x == 3 for x in range(WIDTH)]


def test_scene_flow(tmp_path: Path) -> None:
    part = Path('TRAIN/A/0000')
    write_image(tmp_path / 'frames_cleanpass' / part / 'left/0006.png')
    write_image(tmp_path / 'frames_cleanpass' / part / 'right/0006.png')
    write_truth(tmp_path / 'disparity' / part / 'left/0006.pfm', DISPARITY)
    (files,) = find_labeled_pairs(tmp_path)
    expected = np.where(DISPARITY > 0, DISPARITY, np.nan)
    assert np.array_equal(load_pair(files).disparity, expected, equal_nan=True)


def test_old_middlebury_at_quarter_size(tmp_path: Path) -> None:
    write_image(tmp_path / 'cones/im2.png')
    write_image(tmp_path / 'cones/im6.png')
    values = np.full((HEIGHT, WIDTH), 42, np.uint8)  # without texture, the usual scale of 4
    values[0, 0] = 0
    write_truth(tmp_path / 'cones/disp2.png', values)
    (files,) = find_labeled_pairs(tmp_path)
    disparity = load_pair(files).disparity
    assert disparity[1, 1] == 10.5
    assert np.isnan(disparity[0, 0])


def test_pairs_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ('b', 'a', 'c'):
        write_image(tmp_path / name / 'im0.png')
        write_image(tmp_path / name / 'im1.png')
        write_truth(tmp_path / name / 'disp0.pfm', DISPARITY)
    write_image(tmp_path / 'd' / 'im0.png')
    assert [files.name for files in find_labeled_pairs(tmp_path)] == ['a', 'b', 'c']


def test_errors_name_the_folder_or_the_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match='no such folder'):
        find_labeled_pairs(tmp_path / 'missing')
    with pytest.raises(DatasetError, match='no pair with ground truth'):
        find_labeled_pairs(tmp_path)
    (tmp_path / 'broken.pfm').write_bytes(b'Pf\n')
    with pytest.raises(DatasetError, match=r'broken\.pfm'):
        read_disparity(tmp_path / 'broken.pfm')


def test_sizes_that_differ_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / 'im0.png')
    write_image(tmp_path / 'im1.png')
    write_truth(tmp_path / 'disp0.pfm', DISPARITY[:, 1:])
    (files,) = find_labeled_pairs(tmp_path)
    with pytest.raises(DatasetError, match='truth is 15x6, the left image 16x6'):
        load_pair(files)


def test_no_two_pairs_have_the_same_name_nor_the_same_file_of_a_picture(tmp_path: Path) -> None:
    # A scene with images of two formats, the data set itself beside a folder of its name, and
    # a folder 'a' with 'b' in it beside 'a_b'.
    folder = tmp_path / 'set'
    for scene in (folder, folder / 'set', folder / 'a' / 'b', folder / 'a_b'):
        for image in ('im0.png', 'im1.png'):
            write_image(scene / image)
        write_truth(scene / 'disp0.pfm', DISPARITY)
    write_image(folder / 'a_b' / 'im0.jpg')
    names = [files.name for files in find_labeled_pairs(folder)]
    assert names == ['a/b', 'a_b (2)', 'a_b (3)', 'set', 'set (2)']
