"""One way to open folders, images, videos, cameras and recordings; and what each gives."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from s2m2_ros.errors import ImageError, S2M2Error
from s2m2_ros.io.sources.image_source import ImageFiles
from s2m2_ros.io.sources.pair_sources import SourceOptions, camera_number, open_source
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.io.sources.stereo_sources import find_pairs
from s2m2_ros.io.sources.video_source import VideoDevice, VideoFiles
from s2m2_ros.io.sources.view_layout import ViewLayout
from support.processes import SOURCE
from support.recorded_pairs import pairs, write_mcap
from support.stereo_samples import CALIBRATION

# A codec that OpenCV brings itself and that keeps gray values to a few steps.
CODEC = cv2.VideoWriter.fourcc(*'MJPG')
BOTH = ViewLayout.SIDE_BY_SIDE


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    path = tmp_path / 'mine' / 'calibration_of_mine.txt'
    path.parent.mkdir()
    path.write_text(CALIBRATION)
    return path


def side_by_side(value: int) -> np.ndarray:
    """Return an image whose left half has this value and whose right half 100 more."""
    image = np.full((48, 128), value, np.uint8)
    image[:, 64:] += 100
    return image


def write_video(path: Path, images: list[np.ndarray], *, rate: float = 20.0) -> Path:
    height, width = images[0].shape
    writer = cv2.VideoWriter(str(path), CODEC, rate, (width, height))
    assert writer.isOpened()
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def means(source: Any) -> list[tuple[int, int]]:
    return [
        (10 * round(float(left.mean()) / 10), 10 * round(float(right.mean()) / 10))
        for left, right in (frame.arrays() for frame in source)
    ]


@pytest.mark.parametrize('suffix', ['.avi', '.mkv', '.mp4', '.mov'])
def test_a_video_of_both_views_is_split_and_timed(
    tmp_path: Path, calibration: Path, suffix: str
) -> None:
    path = write_video(tmp_path / f'both{suffix}', [side_by_side(v) for v in (20, 40, 60)])
    source = open_source(SourceOptions(str(path), calibration=[calibration], layout=BOTH))
    frames = list(source)
    assert means(frames) == [(20, 120), (40, 140), (60, 160)]
    assert frames[0].left.shape == (48, 64, 3)
    assert [frame.time for frame in frames] == pytest.approx([0, 0.05, 0.1])
    assert frames[0].name == '000000'
    assert frames[0].right_info.P[3] == pytest.approx(-4)
    assert means(source) == means(frames)  # again from the start


def test_two_videos_are_left_and_right(
    tmp_path: Path, calibration: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = write_video(tmp_path / 'l.avi', [np.full((48, 64), v, np.uint8) for v in (20, 40, 60)])
    right = write_video(tmp_path / 'r.avi', [np.full((48, 64), v, np.uint8) for v in (120, 140)])
    options = SourceOptions(str(left), str(right), calibration=[calibration])
    assert means(open_source(options)) == [(20, 120), (40, 140)]
    assert 'different lengths' in caplog.text


def test_a_video_of_one_view_is_asked_for_its_layout(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'both.avi', [side_by_side(20)])
    with pytest.raises(PlaybackError, match='input_layout side_by_side or top_bottom'):
        open_source(SourceOptions(str(path)))
    with pytest.raises(S2M2Error, match='set the parameter calibration'):
        open_source(SourceOptions(str(path), layout=BOTH))
    source = open_source(SourceOptions(str(path), layout=BOTH, needs_calibration=False))
    assert next(iter(source)).left_info is None


@pytest.mark.parametrize(
    ('content', 'words'), [(b'', 'empty'), (b'no video at all' * 99, 'ffmpeg')]
)
def test_what_is_no_video_is_said(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / 'x.mp4'
    path.write_bytes(content)
    with pytest.raises(PlaybackError, match=words):
        list(VideoFiles(path, layout=BOTH, needs_calibration=False))


def test_a_video_with_a_name_of_any_bytes_is_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'both.avi', [side_by_side(20)])
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9.avi'))
    path.rename(strange)
    source = VideoFiles(strange, layout=BOTH, needs_calibration=False)
    assert means(source) == [(20, 120)]


class FakeCapture:
    """Stands in for a V4L2 camera, which is not there: gives two images, then is unplugged."""

    def __init__(self, number: int, *, opened: bool = True) -> None:
        self.number = number
        self.settings: dict[int, float] = {}
        self.released = False
        self._opened = opened
        self._images: Iterator[np.ndarray] = iter([side_by_side(20), side_by_side(40)])

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return self._opened

    def set(self, key: int, value: float) -> bool:
        self.settings[key] = value
        return True

    def read(self) -> tuple[bool, Any]:
        image = next(self._images, None)
        return (False, None) if image is None else (True, cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))

    def release(self) -> None:
        self.released = True


def test_a_camera_is_set_to_the_size_of_its_calibration(calibration: Path) -> None:
    made: list[FakeCapture] = []

    def capture(number: int) -> FakeCapture:
        made.append(FakeCapture(number))
        return made[0]

    frames = []
    device = VideoDevice(3, layout=BOTH, calibration=[calibration], capture=capture)
    given = iter(device)
    with pytest.raises(PlaybackError, match='unplugged'):
        while True:
            frames.append(next(given))
    assert means(frames) == [(20, 120), (40, 140)]
    times = [frame.time or 0.0 for frame in frames]
    assert 0 < times[0] <= times[1]
    (camera,) = made
    assert (camera.number, camera.released) == (3, True)
    # Twice the calibration's 64x48, side by side; no queue of old images.
    assert camera.settings[cv2.CAP_PROP_FRAME_WIDTH] == 128
    assert camera.settings[cv2.CAP_PROP_FRAME_HEIGHT] == 48
    assert camera.settings[cv2.CAP_PROP_BUFFERSIZE] == 1


def test_cameras_that_cannot_be_used_are_named(calibration: Path) -> None:
    device = VideoDevice(
        7, layout=BOTH, calibration=[calibration], capture=lambda n: FakeCapture(n, opened=False)
    )
    with pytest.raises(PlaybackError, match='/dev/video7 cannot be opened'):
        list(device)
    with pytest.raises(PlaybackError, match='set input_layout'):
        open_source(SourceOptions('/dev/video99', calibration=[calibration]))
    with pytest.raises(PlaybackError, match='set the parameter calibration'):
        open_source(SourceOptions('99', layout=BOTH))


def test_names_of_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ('/dev/video98', 'video98', '98', '/data/video98', 'video', '1.5')
    assert [camera_number(name) for name in names] == [98, 98, 98, None, None, None]
    monkeypatch.chdir(tmp_path)
    (tmp_path / '98').mkdir()
    assert camera_number('98') is None  # a folder of that name


@pytest.mark.parametrize('layout', [ViewLayout.SIDE_BY_SIDE, ViewLayout.TOP_BOTTOM])
def test_images_of_both_views_are_split(
    tmp_path: Path, calibration: Path, layout: ViewLayout
) -> None:
    folder = tmp_path / 'images'
    folder.mkdir()
    for number, value in ((1, 20), (10, 60), (2, 40)):
        image = side_by_side(value)
        if layout is ViewLayout.TOP_BOTTOM:
            image = np.vstack(np.hsplit(image, 2))
        cv2.imwrite(str(folder / f'shot_{number}.png'), image)
    options = SourceOptions(str(folder), calibration=[calibration], layout=layout)
    frames = list(open_source(options))
    assert means(frames) == [(20, 120), (40, 140), (60, 160)]
    assert [frame.name for frame in frames] == ['shot_1', 'shot_2', 'shot_10']
    options = SourceOptions(str(folder / 'shot_2.png'), calibration=[calibration], layout=layout)
    assert means(open_source(options)) == [(40, 140)]
    with pytest.raises(PlaybackError, match='leave right_source empty'):
        open_source(SourceOptions(str(folder), str(folder), layout=layout))


def test_an_image_that_cannot_be_split_is_said(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((48, 127), np.uint8))
    options = SourceOptions(str(tmp_path), layout=BOTH, needs_calibration=False)
    with pytest.raises(ImageError, match='127x48'):
        list(open_source(options))


def test_each_scene_of_a_folder_comes_with_its_own_calibration(tmp_path: Path) -> None:
    for scene, baseline in (('a', 100), ('b', 200)):
        (tmp_path / scene).mkdir()
        for name in ('im0', 'im1'):
            cv2.imwrite(str(tmp_path / scene / f'{name}.png'), np.zeros((48, 64), np.uint8))
        text = CALIBRATION.replace('baseline=100', f'baseline={baseline}')
        (tmp_path / scene / 'calib.txt').write_text(text)
    frames = list(open_source(SourceOptions(str(tmp_path))))
    assert [frame.name for frame in frames] == ['a', 'b']
    assert [frame.right_info.P[3] for frame in frames] == pytest.approx([-4, -8])


def test_images_without_calibration_want_one(tmp_path: Path) -> None:
    for side in ('left', 'right'):
        cv2.imwrite(str(tmp_path / f'{side}.png'), np.zeros((48, 64), np.uint8))
    with pytest.raises(S2M2Error, match=r'set the parameter calibration; no file like calib\.txt'):
        ImageFiles(find_pairs(tmp_path))
    (frame,) = ImageFiles(find_pairs(tmp_path), needs_calibration=False)
    assert frame.left_info is None


@pytest.mark.parametrize(
    ('source', 'right', 'words'),
    [
        ('nothing', '', "source: there is no '.*nothing'"),
        ('a.mcap', 'nothing', "right_source: there is no '.*nothing'"),
        ('a.mcap', 'a.mcap', 'leave right_source empty'),
    ],
)
def test_what_cannot_be_opened_is_said(
    tmp_path: Path, source: str, right: str, words: str
) -> None:
    write_mcap(tmp_path / 'a.mcap', pairs())
    right_source = str(tmp_path / right) if right else ''
    with pytest.raises(PlaybackError, match=words):
        open_source(SourceOptions(str(tmp_path / source), right_source))


def test_recordings_are_opened_by_name_and_by_what_is_in_a_folder(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / 'a.mcap', pairs())
    for source in (path, tmp_path):
        assert len(list(open_source(SourceOptions(str(source))))) == 4


def test_sources_need_no_ros(tmp_path: Path) -> None:
    """A process in which every ROS package is missing reads a recording to its arrays."""
    path = write_mcap(tmp_path / 'a.mcap', pairs())
    program = f"""
import sys
for name in ('rclpy', 'sensor_msgs', 'std_msgs', 'geometry_msgs', 'cv_bridge', 'rcl_interfaces'):
    sys.modules[name] = None
from s2m2_ros.io.sources.pair_sources import SourceOptions, open_source
print([int(f.left.data[0]) for f in open_source(SourceOptions({str(path)!r}))])
"""
    done = subprocess.run(
        [sys.executable, '-c', program], check=False, capture_output=True, text=True, cwd=SOURCE
    )
    assert done.stdout == '[10, 20, 30, 40]\n', done.stderr


def test_images_need_no_package_that_reads_recordings(tmp_path: Path) -> None:
    for side in ('left', 'right'):
        cv2.imwrite(str(tmp_path / f'{side}.png'), np.full((48, 64), 7, np.uint8))
    (tmp_path / 'calib.txt').write_text(CALIBRATION)
    program = f"""
import sys
for name in ('rosbags', 'mcap', 'lz4', 'zstandard'):
    sys.modules[name] = None
from s2m2_ros.io.sources.pair_sources import SourceOptions, open_source
print([int(f.left[0, 0]) for f in open_source(SourceOptions({str(tmp_path)!r}))])
"""
    done = subprocess.run(
        [sys.executable, '-c', program], check=False, capture_output=True, text=True, cwd=SOURCE
    )
    assert done.stdout == '[7]\n', done.stderr
