"""What belongs together in time, recorded late or out of order, over the ends of segments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from s2m2_ros.errors import S2M2Error
from s2m2_ros.offline.processing import Processed, ProcessOptions, Processor
from s2m2_ros.offline.processing.pair_infos import PairInfos, PairTime
from support import sgbm_processing
from support.recorded_pairs import SECOND, Written, write_mcap
from support.sgbm_processing import SGBM
from support.stereo_recordings import (
    SCENE,
    START,
    in_order,
    scene_image,
    scene_info,
    scene_pairs,
    transform,
)

MS = 10**6
PERIOD_NS = SECOND // 5
COUNT = 60

processed: Callable[..., Processed] = partial(
    sgbm_processing.processed, outputs=('depth',), segment_seconds=2.0
)


def late(written: Iterable[Written], delays_ms: Callable[[str, int], int]) -> list[Written]:
    """Return messages recorded so much later than their timestamp, by topic and number of pair."""
    found = []
    for item in written:
        stamp = item.message.header.stamp
        time_ns = stamp.sec * SECOND + stamp.nanosec
        delay = delays_ms(item.topic, (time_ns - START) // PERIOD_NS)
        found.append(replace(item, time_ns=time_ns + delay * MS))
    return in_order(found)


def depths(path: Path) -> dict[int, float]:
    """Return the median depth by number of pair, in the order of the file."""
    found = {}
    with AnyReader([path]) as reader:
        for connection, _, data in reader.messages():
            if connection.topic.endswith('/depth'):
                image = reader.deserialize(data, connection.msgtype)
                stamp = image.header.stamp
                number = (stamp.sec * SECOND + stamp.nanosec - START) // PERIOD_NS
                found[number] = float(np.nanmedian(image.data.view(np.float32)))
    return found


@pytest.mark.parametrize(
    'delays_ms',
    [
        pytest.param(lambda topic, _: 4000 if 'right/image' in topic else 0, id='right 4 s'),
        pytest.param(lambda topic, _: 4000 if 'left/image' in topic else 0, id='left 4 s'),
        pytest.param(lambda topic, _: 1500 if '/right/' in topic else 0, id='right 1.5 s'),
        pytest.param(lambda topic, n: 300 * (n % 10 == 4) if 'right/image' in topic else 0,
                     id='one of ten out of order'),
        pytest.param(lambda topic, n: 3000 * (n > 25) if 'right/image' in topic else 0,
                     id='right from the middle on'),
    ],
)  # fmt: skip
def test_every_pair_is_found(tmp_path: Path, delays_ms: Callable[[str, int], int]) -> None:
    path = write_mcap(tmp_path / 'run.mcap', late(scene_pairs(COUNT), delays_ms))
    found = processed(path, tmp_path / 'out')
    assert (found.pairs, found.lost, list(found.losses)) == (COUNT, 0, [])
    assert list(depths(found.output)) == list(range(COUNT))
    assert f'{COUNT}, 0 without a counterpart' in found.report.read_text()


def test_messages_do_not_depend_on_where_segments_end(tmp_path: Path) -> None:
    """One eye comes late, and every fourth image of it out of order; calibrations as well."""

    def delays_ms(topic: str, number: int) -> int:
        return 900 * ('info' in topic) + (2000 + 500 * (number % 4 == 1)) * (
            'right/image' in topic
        )

    path = write_mcap(tmp_path / 'run.mcap', late(scene_pairs(20), delays_ms))
    found = []
    for seconds in (1.3, 100.0):
        result = processed(path, tmp_path / f'{seconds}', segment_seconds=seconds).output
        with AnyReader([result]) as reader:
            found.append([(c.topic, time, bytes(data)) for c, time, data in reader.messages()])
    assert len(found[0]) == 20
    assert found[0] == found[1]


def test_what_is_too_late_is_counted_and_dated(tmp_path: Path) -> None:
    """Right images from 105 s on are recorded 12 s later; that of pair 3 is not at all."""

    def delays_ms(topic: str, number: int) -> int:
        return 12_000 if 'right/image' in topic and number >= 25 else 0

    written = late(scene_pairs(COUNT), delays_ms)
    written = [
        item
        for item in written
        if 'right/image' not in item.topic or item.time_ns != START + 3 * PERIOD_NS
    ]
    found = processed(write_mcap(tmp_path / 'run.mcap', written), tmp_path / 'out')
    assert (found.pairs, found.lost) == (24, 35)
    (loss,) = found.losses
    assert loss.startswith('35 pairs, from 105.000000000 to 111.800000000 s, lost: both images')
    assert 'more than 10 s' in loss
    assert f'{COUNT}, 1 without a counterpart' in found.report.read_text()


def test_images_that_lose_their_common_trigger_are_told(tmp_path: Path) -> None:
    """From pair 20 on, timestamps of right images are 2 ms later."""
    written = []
    for item in scene_pairs(30):
        if 'right/image' in item.topic and item.time_ns >= START + 20 * PERIOD_NS:
            item.message.header.stamp.nanosec += 2 * MS
        written.append(item)
    found = processed(write_mcap(tmp_path / 'run.mcap', written), tmp_path / 'out')
    assert (found.pairs, found.lost) == (20, 10)
    (loss,) = found.losses
    assert loss.startswith('10 pairs, from 104.000000000 to 105.800000000 s, lost: a right image')


@pytest.mark.parametrize('late_ms', [(20, 20), (480, 480), (-1, 150), (150, -1), (3000, 3000)])
def test_a_calibration_counts_from_the_image_of_its_timestamp_on(
    tmp_path: Path, late_ms: tuple[int, int]
) -> None:
    """The focal length doubles with pair 12, and so does every depth."""
    written = []
    for item in scene_pairs(24):
        if 'camera_info' in item.topic and item.time_ns >= START + 12 * PERIOD_NS:
            info: Any = item.message
            info.p = info.p * np.array([2.0, 1, 1, 2, 1, 2, 1, 1, 1, 1, 1, 1])
        written.append(item)

    def delays_ms(topic: str, _: int) -> int:
        return 0 if 'image' in topic else late_ms['right' in topic]

    path = write_mcap(tmp_path / 'run.mcap', late(written, delays_ms))
    found = processed(path, tmp_path / 'out')
    assert list(found.losses) == []
    depth = depths(found.output)
    assert [depth[n] / depth[0] for n in range(24)] == pytest.approx([1] * 12 + [2] * 12, rel=0.01)


class TestInfos:
    """Topics L and R; contents are told by their focal lengths."""

    @staticmethod
    def infos(*, wait: bool) -> PairInfos:
        return PairInfos(('L', 'R'), {}, 100 * MS, wait=wait)

    def add(self, infos: PairInfos, topic: str, stamp: int, log: int) -> None:
        infos.add(topic, scene_info(stamp * SECOND), log * SECOND)

    def find(self, infos: PairInfos, stamp: int, log: int, now: int) -> tuple[int, int] | None:
        time = PairTime((stamp * SECOND, stamp * SECOND), log * SECOND)
        found = infos.find(time, now * SECOND)
        return found and (found[0].header.stamp.sec, found[1].header.stamp.sec)

    def test_left_and_right_are_of_one_time(self) -> None:
        infos = self.infos(wait=False)
        for topic, stamp, log in (('L', 1, 1), ('R', 1, 1), ('L', 5, 5)):
            self.add(infos, topic, stamp, log)
        assert self.find(infos, 6, 6, 6) == (1, 1)
        self.add(infos, 'R', 5, 7)
        assert self.find(infos, 8, 8, 8) == (5, 5)

    def test_without_common_times_the_last_of_each_count(self) -> None:
        infos = self.infos(wait=False)
        for topic, time in (('L', 1), ('R', 2), ('L', 3), ('R', 4), ('L', 9)):
            self.add(infos, topic, time, time)
        assert self.find(infos, 7, 7, 9) == (3, 4)

    def test_one_that_is_lost_is_waited_for_until_later_ones_came(self) -> None:
        infos = self.infos(wait=True)
        for topic in 'LR':
            self.add(infos, topic, 1, 1)
        assert self.find(infos, 2, 2, 3) is None
        for topic in 'LR':
            self.add(infos, topic, 3, 4)
        assert self.find(infos, 2, 2, 4) == (1, 1)

    def test_one_that_comes_more_than_ten_seconds_later_is_told(self) -> None:
        infos = self.infos(wait=True)
        for topic in 'LR':
            self.add(infos, topic, 1, 12)
        assert self.find(infos, 3, 3, 13) is None
        with pytest.raises(S2M2Error, match='camera_info is not recorded within 10 s'):
            self.find(infos, 3, 3, 14)

    def test_where_they_end_the_last_ones_count_on(self) -> None:
        infos = self.infos(wait=True)
        for topic in 'LR':
            self.add(infos, topic, 1, 1)
        assert self.find(infos, 3, 3, 14) == (1, 1)


def test_a_pose_lies_between_recorded_ones_that_are_seconds_apart(tmp_path: Path) -> None:
    """Poses at 100 and 106 s; segments of one second lie between."""
    frame = 'left_optical'
    moving = [
        Written('/tf', stamp, transform(stamp, 'map', frame, (x, 0.0, 5.0)))
        for stamp, x in ((START, 0.0), (START + 6 * SECOND, 6.0))
    ]
    path = write_mcap(tmp_path / 'run.mcap', in_order(scene_pairs(31), moving))
    options = {'points_frame': 'map', 'outputs': ('points',), 'segment_seconds': 1.0}
    found = processed(path, tmp_path / 'out', **options)
    assert (found.pairs, found.incomplete, list(found.losses)) == (31, 0, [])


@pytest.mark.parametrize(('color_s', 'pair_s'), [(3, 0), (0, 3)])
def test_colors_are_found_whichever_camera_is_late(
    tmp_path: Path, color_s: int, pair_s: int
) -> None:
    """One of them is recorded three seconds after its timestamps."""
    pixels = np.full((SCENE.height, SCENE.width), 77, np.uint8)
    color = [
        Written(
            '/color/image_rect',
            START + n * PERIOD_NS + color_s * SECOND,
            scene_image(pixels, START + n * PERIOD_NS),
        )
        for n in range(20)
    ]
    pairs = late(scene_pairs(20), lambda topic, _: 1000 * pair_s)
    info = Written('/color/image_rect/camera_info', START, scene_info(START))
    path = write_mcap(tmp_path / 'run.mcap', in_order(pairs, color, [info]))
    options = ProcessOptions(
        outputs=('points',),
        color_info='/color/image_rect/camera_info',
        points_color_source='color',
        segment_seconds=1.0,
    )
    with Processor(SGBM, options) as processor:
        found = processor.process(path, tmp_path / 'out')
    assert found.pairs == 20
    assert 'keeps the left colors' not in found.report.read_text()
