"""Which points of a cloud are drawn, and in which colors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from s2m2_ros.cli.view import cloud_file
from s2m2_ros.errors import S2M2Error
from s2m2_ros.io.images.image_files import write_ply
from s2m2_ros.viewer.cloud_files import read_cloud
from s2m2_ros.viewer.viewed_cloud import GRAY, ColorMode, ViewedCloud

POINTS = np.array([[0, 0, 1], [0, 1, 2], [0, -1, 4]], np.float32)
COLORS = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
CONFIDENCE = np.array([0.1, 0.5, 1.0], np.float32)
CLOUD = ViewedCloud(POINTS, COLORS, CONFIDENCE)


def is_blue(color: np.ndarray) -> bool:
    return bool(color[2] > color[0])


def test_points_below_the_confidence_are_not_drawn() -> None:
    assert len(CLOUD.confident(0).points) == 3
    shown = CLOUD.confident(0.5)
    assert shown.points.tolist() == POINTS[1:].tolist()
    assert shown.colored_by(ColorMode.IMAGE).tolist() == COLORS[1:].tolist()
    # Where it is unknown, nothing is removed for it.
    assert len(ViewedCloud(POINTS).confident(0.9).points) == 3


def test_colors_say_what_the_mode_names() -> None:
    near, _, far = CLOUD.colored_by(ColorMode.DISTANCE)
    assert not is_blue(near)
    assert is_blue(far)
    # y points down in an optical frame: the second point is the lowest.
    _, low, high = CLOUD.colored_by(ColorMode.HEIGHT)
    assert is_blue(low)
    assert not is_blue(high)
    unsure, _, sure = CLOUD.colored_by(ColorMode.CONFIDENCE)
    assert is_blue(unsure)
    assert not is_blue(sure)
    plain = ViewedCloud(POINTS).colored_by(ColorMode.CONFIDENCE)
    assert (plain == GRAY).all()


def test_z_is_up_where_points_lie_behind_or_below() -> None:
    assert CLOUD.is_optical
    robot = ViewedCloud(np.array([[1, 0, -0.01], [2, 0, 1]], np.float32))
    assert not robot.is_optical
    low, high = robot.colored_by(ColorMode.HEIGHT)
    assert is_blue(low)
    assert not is_blue(high)


@pytest.mark.parametrize(('count', 'most', 'left'), [(10, 10, 10), (11, 10, 6), (100, 30, 25)])
def test_large_clouds_are_thinned_evenly(count: int, most: int, left: int) -> None:
    points = np.arange(3 * count, dtype=np.float32).reshape(-1, 3)
    thinned = ViewedCloud(points, confidence=points[:, 0]).thinned(most)
    assert len(thinned.points) == left
    assert thinned.confidence is not None
    assert (thinned.confidence == thinned.points[:, 0]).all()


def test_a_file_gives_back_points_colors_and_confidence(tmp_path: Path) -> None:
    records = np.zeros((3, 5), np.float32)
    records[:, :3], records[:, 4] = POINTS, CONFIDENCE
    records[1, 0] = np.nan
    records.view(np.uint8)[:, 12:15] = COLORS[:, ::-1]
    write_ply(tmp_path / 'cloud.ply', records, with_confidence=True)
    cloud = read_cloud(tmp_path / 'cloud.ply')
    assert cloud.points.tolist() == POINTS[[0, 2]].tolist()
    assert cloud.confidence is not None
    assert cloud.confidence.tolist() == CONFIDENCE[[0, 2]].tolist()
    assert cloud.colors is not None
    assert cloud.colors.tolist() == COLORS[[0, 2]].tolist()
    write_ply(tmp_path / 'plain.ply', records[:, :4])
    assert read_cloud(tmp_path / 'plain.ply').confidence is None


def test_a_folder_stands_for_its_newest_cloud(tmp_path: Path) -> None:
    with pytest.raises(S2M2Error, match='holds no cloud'):
        cloud_file(tmp_path)
    (tmp_path / 'pair').mkdir()
    (tmp_path / 'pair' / 'cloud.ply').write_bytes(b'')
    assert cloud_file(tmp_path) == tmp_path / 'pair' / 'cloud.ply'
