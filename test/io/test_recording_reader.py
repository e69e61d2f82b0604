"""Recordings: which topics are the pair, which images belong together, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from sensor_msgs.msg import Image

from s2m2_ros.io.recording_reader import PairMaker, RecordedTopics, Recording, choose_topics
from s2m2_ros.io.stereo_frame import PlaybackError
from support.stereo_samples import CALIBRATION, record


def test_recorded_pairs_come_with_their_calibration_and_times(tmp_path: Path) -> None:
    record(tmp_path / 'bag')
    frames = list(Recording(tmp_path / 'bag'))
    assert [frame.time for frame in frames] == [100, 101]
    assert [(f.left.data[0], f.right.data[0]) for f in frames] == [(10, 11), (20, 21)]
    assert frames[0].right_info.p[3] == pytest.approx(-4)
    (file,) = (tmp_path / 'bag').glob('*.mcap')
    assert len(list(Recording(file))) == 2  # the bare file too


def test_a_recording_without_calibration_wants_one(tmp_path: Path) -> None:
    calibration = tmp_path / 'calib.txt'
    calibration.write_text(CALIBRATION)
    record(tmp_path / 'bag', with_infos=False)
    with pytest.raises(PlaybackError, match=r'no calibration on .*/stereo/left/camera_info'):
        Recording(tmp_path / 'bag')
    frames = list(Recording(tmp_path / 'bag', calibration=[calibration]))
    assert frames[0].right_info.p[3] == pytest.approx(-4)
    assert frames[0].right_info.header.frame_id == 'right'


def test_a_damaged_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'broken.mcap'
    path.write_bytes(b'no recording at all')
    with pytest.raises(PlaybackError, match=r'broken\.mcap'):
        Recording(path)


@pytest.mark.parametrize(
    ('images', 'expected'),
    [
        (['/left/image_rect', '/right/image_rect'], ('/left/image_rect', '/right/image_rect')),
        (
            ['/left/image_raw', '/right/image_raw', '/left/image_rect', '/right/image_rect'],
            ('/left/image_rect', '/right/image_rect'),
        ),
        (
            ['/camera/infra1/image_rect_raw', '/camera/infra2/image_rect_raw', '/camera/color'],
            ('/camera/infra1/image_rect_raw', '/camera/infra2/image_rect_raw'),
        ),
    ],
)
def test_topics_are_found(images: list[str], expected: tuple[str, str]) -> None:
    assert choose_topics(images) == RecordedTopics(*expected)


def test_topics_that_do_not_tell_are_asked_for() -> None:
    with pytest.raises(PlaybackError, match='recorded images are /a, /b'):
        choose_topics(['/b', '/a'])
    assert choose_topics(['/b', '/a'], left='/b', right='/a') == RecordedTopics('/b', '/a')
    with pytest.raises(PlaybackError, match="no images on '/c': recorded are /a, /b"):
        choose_topics(['/b', '/a'], left='/c', right='/a')


def test_images_without_partner_are_dropped() -> None:
    def at(seconds: float) -> Image:
        image = Image()
        image.header.stamp.sec = int(seconds)
        image.header.stamp.nanosec = round(seconds % 1 * 1e9)
        return image

    maker = PairMaker()
    maker.left.extend([at(1.0), at(2.0), at(3.0)])
    maker.right.extend([at(0.5), at(2.01), at(2.99)])
    stamps = [(left.header.stamp.sec, right.header.stamp.sec) for left, right in maker.pairs()]
    assert stamps == [(2, 2), (3, 2)]  # 1.0 and 0.5 stay alone; 2.99 belongs to 3.0
