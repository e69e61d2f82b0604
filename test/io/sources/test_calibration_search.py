"""The calibration that lies beside images, as data sets and people keep it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from s2m2_ros.geometry import CalibrationError
from s2m2_ros.io.sources.calibration_search import CalibrationLookup, find_calibration
from support.stereo_samples import CALIBRATION


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CALIBRATION)
    return folder


@pytest.mark.parametrize(
    ('image', 'calibration'),
    [
        ('left.png', ['calib.txt']),
        ('scene/im0.png', ['scene/calib.txt']),
        ('left/1.png', ['calib.txt']),
        ('left/1.png', ['calib/calib.txt']),
        ('left/1.png', ['stereo.yaml']),
        ('left/1.png', ['calibration.yml']),
        ('left/1.png', ['calib.xml']),
        ('left/1.png', ['stereo.npz']),
        ('left/1.png', ['K.txt']),
        ('left/1.png', ['left.yaml', 'right.yaml']),
        ('left/1.png', ['calib/left.yml', 'calib/right.yml']),
        ('left/1.png', ['camera_info/left_camera_info.yaml',
                        'camera_info/right_camera_info.yaml']),
        ('date/drive/image_02/data/1.png', ['date/calib_cam_to_cam.txt']),
        ('training/image_2/000003.png', ['training/calib/000003.txt']),
        ('training/image_2/000003_10.png', ['training/calib_cam_to_cam/000003.txt']),
        ('mav0/cam0/data/1.png', ['mav0/cam0/sensor.yaml', 'mav0/cam1/sensor.yaml']),
    ],
)  # fmt: skip
def test_a_calibration_is_found(tmp_path: Path, image: str, calibration: list[str]) -> None:
    fill(tmp_path, image, *calibration)
    expected = [tmp_path / name for name in calibration]
    assert find_calibration(tmp_path / image) == expected
    if 'training' not in image:  # that has one for each image
        assert find_calibration((tmp_path / image).parent) == expected


def test_the_nearest_one_wins(tmp_path: Path) -> None:
    fill(tmp_path, 'calib.txt', 'a/calib.txt', 'a/left/1.png', 'b/left/1.png')
    assert find_calibration(tmp_path / 'a/left/1.png') == [tmp_path / 'a/calib.txt']
    assert find_calibration(tmp_path / 'b/left/1.png') == [tmp_path / 'calib.txt']


def test_half_a_pair_of_files_is_none(tmp_path: Path) -> None:
    fill(tmp_path, 'a/b/c/d/e/f/left.yaml', 'a/b/c/d/e/f/1.png')
    assert find_calibration(tmp_path / 'a/b/c/d/e/f/1.png') is None


def test_each_scene_has_its_own_and_what_was_taken_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fill(tmp_path, 'a/calib.txt', 'b/calib.txt')
    (tmp_path / 'b/calib.txt').write_text(CALIBRATION.replace('baseline=100', 'baseline=200'))
    lookup = CalibrationLookup()
    baselines = []
    for scene in ('a', 'b', 'a'):
        models = lookup.models(tmp_path / scene / 'im0.png', (64, 48))
        assert models is not None
        baselines.append(-models[1].P[3] / models[1].P[0])
    assert baselines == pytest.approx([0.1, 0.2, 0.1])
    assert [r.getMessage().count('calib.txt') for r in caplog.records] == [1, 1]
    assert lookup.models(tmp_path / 'none' / 'im0.png', (64, 48)) is None


def test_images_twice_as_wide_as_the_calibration_hold_both_views(tmp_path: Path) -> None:
    fill(tmp_path, 'calib.txt')
    lookup = CalibrationLookup([tmp_path / 'calib.txt'])
    with pytest.raises(CalibrationError, match='input layout side_by_side'):
        lookup.models(tmp_path, (128, 48))
    with pytest.raises(CalibrationError, match='input layout top_bottom'):
        lookup.models(tmp_path, (64, 96))
    with pytest.raises(CalibrationError, match='resized'):
        lookup.models(tmp_path, (128, 96))


def test_a_found_calibration_that_does_not_fit_is_no_error_where_none_is_needed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, 'calib.txt')
    lookup = CalibrationLookup(is_needed=False)
    assert lookup.models(tmp_path / 'left.png', (65, 48)) is None
    assert 'no depth' in caplog.text
    assert lookup.models(tmp_path / 'left.png', (64, 48)) is not None
    with pytest.raises(CalibrationError, match='65x48'):
        CalibrationLookup().models(tmp_path / 'left.png', (65, 48))


@pytest.mark.parametrize(
    ('calibration', 'level', 'place'),
    [
        ('a/b/c/calib.txt', logging.INFO, 'next to the images'),
        ('a/b/c/calib/calib.txt', logging.INFO, 'next to the images'),
        ('a/b/calib.txt', logging.INFO, 'in the folder above the images'),
        ('a/calib.txt', logging.WARNING, 'two folders above the images'),
        ('calib.txt', logging.WARNING, 'three folders above the images'),
        ('config/calib.txt', logging.WARNING, 'three folders above the images'),
    ],
)
def test_where_a_calibration_was_found_is_said_truly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, calibration: str, level: int, place: str
) -> None:
    caplog.set_level(logging.INFO)
    fill(tmp_path, 'a/b/c/1.png', calibration)
    assert CalibrationLookup().models(tmp_path / 'a/b/c/1.png', (64, 48)) is not None
    (record,) = caplog.records
    assert record.levelno == level
    assert place in record.getMessage()


def test_a_far_calibration_without_a_size_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, 'a/b/1.png')
    (tmp_path / 'K.txt').write_text('40 0 31.5 0 40 23.5 0 0 1\n0.1\n')
    lookup = CalibrationLookup()
    for _ in range(2):
        assert lookup.models(tmp_path / 'a/b/1.png', (64, 48)) is not None
    assert [record.getMessage().count('names no image size') for record in caplog.records] == [
        0,
        1,
    ]
