"""`s2m2 calibrate-check` on planted pairs of a wall."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from s2m2_ros.cli.main import main

CALIBRATION = """cam0=[250 0 160; 0 250 120; 0 0 1]
cam1=[250 0 160; 0 250 120; 0 0 1]
doffs=0
baseline=100
width=320
height=240
"""


@pytest.fixture
def calibration(tmp_path: Path) -> list[str]:
    """Return the option: f = 250 px, B = 0.1 m, so that 16 px are 1.5625 m."""
    file = tmp_path / 'calib.txt'
    file.write_text(CALIBRATION)
    return ['--calibration', str(file)]


def wall(folder: Path, disparity: int) -> list[str]:
    """Write a pair whose every disparity is the same, and return its files."""
    noise = np.random.default_rng(disparity).integers(0, 256, (240, 400), np.uint8)
    left, right = noise[:, 40:360], noise[:, 40 + disparity : 360 + disparity]
    folder.mkdir()
    for name, image in (('left', left), ('right', right)):
        cv2.imwrite(str(folder / f'{name}.png'), image)
    return [str(folder / 'left.png'), str(folder / 'right.png')]


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(['calibrate-check', *arguments, '--backend', 'sgbm']) == 0
    return capsys.readouterr().out


def test_a_right_distance(
    tmp_path: Path, calibration: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pair = wall(tmp_path / 'a', 16)
    text = checked(capsys, *pair, *calibration, '--distance', '1.5625')
    assert 'no correction is needed' in text
    assert '1.56' in text


def test_one_distance_gives_the_values_of_both_parameters(
    tmp_path: Path, calibration: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pair = wall(tmp_path / 'a', 16)
    # 20 px were expected at 1.25 m: scale 0.8, or an offset of 4 px.
    text = checked(capsys, *pair, *calibration, '--distance', '1.25', '--roi', '100,80,80,60')
    for words in (
        '25.0% (313 mm) too large',
        'depth_scale = 0.8000',
        'disparity_offset = 4.000',
    ):
        assert words in text


def test_millimeters_are_asked_for(
    tmp_path: Path, calibration: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pair = wall(tmp_path / 'a', 16)
    assert main(['calibrate-check', *pair, *calibration, '--distance', '1562.5']) == 2
    printed = capsys.readouterr()
    assert 'were millimeters written? (1562.5 mm are 1.5625 m)' in printed.err
    assert 'depth_scale' not in printed.out


def test_misaligned_rows_are_named_before_texture(
    tmp_path: Path, calibration: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pair = wall(tmp_path / 'a', 16)
    right = cv2.imread(pair[1], cv2.IMREAD_GRAYSCALE)
    assert right is not None
    cv2.imwrite(pair[1], np.roll(right, 8, axis=0))
    options = ['--distance', '1.5625', '--backend', 'sgbm']
    assert main(['calibrate-check', *pair, *calibration, *options]) == 2
    message = capsys.readouterr().err
    assert 'fix what was found in this pair first' in message
    assert 'texture' not in message


def test_two_distances_name_the_kind(
    tmp_path: Path, calibration: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    near, far = wall(tmp_path / 'a', 32), wall(tmp_path / 'b', 16)
    options = [*near, *calibration, '--pair2', *far]
    text = checked(capsys, *options, '--distance', '0.7031', '--distance2', '1.40625')
    assert 'looks like a scale' in text
    assert 'depth_scale = 0.900' in text
    # Two px more than measured, at both: 25 / 34 and 25 / 18 m.
    text = checked(capsys, *options, '--distance', '0.7353', '--distance2', '1.3889')
    assert 'looks like an offset' in text


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--distance', '0'], 'above 0 meters'),
        (['--distance', '-1'], 'above 0 meters'),
        (['--distance', 'nan'], 'above 0 meters'),
        (['--distance', '1', '--distance2', '2'], '--pair2'),
        (['--distance', '1', '--roi', '1,2,3'], 'four whole numbers'),
        (['--distance', '1', '--roi', '300,0,90,90'], 'inside the image'),
        (['--distance', '1', '--tape-error', '0'], '--tape-error'),
    ],
)
def test_wrong_arguments_end_in_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    calibration: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    pair = wall(tmp_path / 'a', 16)
    assert main(['calibrate-check', *pair, *calibration, *arguments, '--backend', 'sgbm']) == 2
    error = capsys.readouterr().err.strip()
    assert words in error
    assert len(error.splitlines()) == 1


def test_the_same_image_twice_is_refused(
    tmp_path: Path, calibration: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    left, _ = wall(tmp_path / 'a', 16)
    options = [left, left, *calibration, '--distance', '1', '--backend', 'sgbm']
    assert main(['calibrate-check', *options]) == 2
    assert 'nothing to match' in capsys.readouterr().err
