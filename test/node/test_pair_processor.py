"""What the worker does with one pair, without DDS: a camera that only collects stands for it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image

from s2m2_ros.geometry import Output, RigidTransform
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.io.images.pixel_range import PixelRange
from s2m2_ros.node.faults import DropCause, Fault, FaultLog
from s2m2_ros.node.inputs.color_camera import ColorCamera as NodeColorCamera
from s2m2_ros.node.inputs.color_camera import ImageTimeline
from s2m2_ros.node.inputs.synchronizer import StereoMessages, StereoTopics
from s2m2_ros.node.matcher_supervisor import MatcherSupervisor
from s2m2_ros.node.outputs.messages import CloudMemory
from s2m2_ros.node.outputs.topics import OUTPUT_TOPICS, MessageSource
from s2m2_ros.node.outputs.transforms import TransformError, TransformSource
from s2m2_ros.node.pair_processor import Job, PairProcessor
from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.statistics import Session
from s2m2_ros.pipeline import PipelineState
from support.stereo_scene import FRAME, PlaneScene, camera_info, image_message, stamp

SCENE = PlaneScene()
TOPICS = StereoTopics('/cam/l', '/cam/r', '/cam/l_info', '/cam/r_info')
# Nanoseconds of the node's clock: a quarter of a second after the pair.
NOW = 5_250_000_000


class Transforms:
    """Stands for tf2: knows one transform, or none."""

    def __init__(self, known: RigidTransform | None) -> None:
        self.known = known

    def find(self, header: Any, frame: str, *, use: str = '') -> RigidTransform:
        if self.known is None:
            raise TransformError(f'no transform to {frame}')
        return self.known


class Collector:
    """Stands for a node/camera.py Camera: collects what would be published."""

    def __init__(self, *topics: str, **settings: Any) -> None:
        self.topics = frozenset(topics)
        self.settings: Settings = Settings(
            backend='sgbm', calibration_check_period=0.0, **settings
        )
        self.faults = FaultLog(lambda level, text: None)
        self.lines: list[str] = []
        self.logger: Any = self
        self.memory = CloudMemory()
        self.state = PipelineState(self.memory)
        self.pixel_range = PixelRange(self.settings.pixel_range)
        self.transforms: TransformSource | None = None
        self.color: NodeColorCamera | None = None
        self.published: dict[str, MessageSource] = {}
        self.clouds = 0
        self.sent: dict[str, Any] = {}
        self.session = Session()
        self.session.counters.receive()

    def info(self, text: str) -> None:
        self.lines.append(text)

    warning = info

    def wanted(self) -> frozenset[str]:
        return self.topics

    def publish(self, topics: Collection[str], source: MessageSource) -> None:
        self.published = dict.fromkeys(topics, source)
        self.clouds += 'points' in topics

    def send(self, topic: str, message: Any) -> None:
        self.sent[topic] = message

    def process(self, at: float = 5.0, **changed: Any) -> dict[DropCause, int]:
        """Process one pair and return what was dropped."""
        left, right = (image_message(i, stamp(at)) for i in SCENE.images())
        left_info = camera_info(SCENE, stamp(at))
        right_info = camera_info(SCENE, stamp(at), right=True)
        messages = StereoMessages(left, right, left_info, right_info, TOPICS, 0.0)
        supervisor = MatcherSupervisor(self.faults, opener=open_sgbm)
        supervisor.open(self.settings)
        job = Job(self, self.session, replace(messages, **changed))
        PairProcessor(supervisor, lambda: NOW).process(job)
        return dict(self.session.counters.counts().dropped_by_cause)


def open_sgbm(settings: Settings, backend: str) -> StereoMatcher:
    if settings.refine_iterations == 0:  # stands for a device that fails
        matcher = StereoMatcher.open(backend='sgbm')
        matcher.close()
        return matcher
    return StereoMatcher.open(backend='sgbm')


def test_a_pair_is_published_counted_and_timed() -> None:
    camera = Collector('points', 'depth')
    assert camera.process() == {}
    assert set(camera.published) == {'points', 'depth'}
    assert camera.published['depth'].header.frame_id == FRAME
    stats = camera.sent['stats']
    assert (stats.pairs_received, stats.pairs_processed, stats.pairs_dropped) == (1, 1, 0)
    assert stats.latency_ms == pytest.approx(250)
    assert (stats.backend, stats.width, stats.height) == ('sgbm', 320, 240)
    assert camera.faults.current() == {}
    (line,) = camera.lines
    assert line.startswith('first pair: 320x240, matched by sgbm at 320x240, published ')
    camera.process()
    assert len(camera.lines) == 1


def test_camera_info_alone_needs_no_matching() -> None:
    camera = Collector('depth/camera_info')
    assert camera.process() == {}
    assert math.isnan(camera.sent['stats'].inference_ms)
    assert camera.sent['stats'].backend == ''


def test_without_subscribers_the_pair_is_dropped() -> None:
    assert Collector().process() == {DropCause.NO_SUBSCRIBERS: 1}


def test_a_deactivated_camera_drops_its_pair() -> None:
    camera = Collector('depth')
    camera.session.ended = True
    assert camera.process() == {DropCause.DEACTIVATED: 1}
    assert not camera.published


def test_a_paused_camera_drops_its_pair() -> None:
    camera = Collector('depth')
    camera.session.paused = True
    assert camera.process() == {DropCause.PAUSED: 1}
    assert not camera.published


def test_a_pause_during_the_match_drops_the_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishers are closed by then, so nothing of it was published: it does not count as such."""
    camera = Collector('depth')
    publish = camera.publish

    def paused(topics: Collection[str], source: MessageSource) -> None:
        camera.session.paused = True
        publish(topics, source)

    monkeypatch.setattr(camera, 'publish', paused)
    assert camera.process() == {DropCause.PAUSED: 1}
    assert 'stats' not in camera.sent
    assert camera.session.counters.counts().processed == 0


def test_the_depth_encoding_of_this_moment_counts() -> None:
    camera = Collector('depth', depth_encoding='16UC1')
    assert camera.process() == {}
    assert camera.published['depth'].depth_encoding == '16UC1'


def test_an_invalid_image_is_reported_by_its_topic() -> None:
    camera = Collector('depth')
    assert camera.process(right=Image(encoding='mono8')) == {DropCause.INVALID_INPUT: 1}
    assert camera.faults.current()[Fault.INPUT][1].startswith('/cam/r: ')


def test_an_invalid_calibration_is_reported_by_its_topic() -> None:
    camera = Collector('depth')
    info = camera_info(SCENE, stamp(5.0))
    assert camera.process(right_info=info) == {DropCause.INVALID_INPUT: 1}
    assert camera.faults.current()[Fault.INPUT][1].startswith('/cam/r_info: P[3] = 0')


def test_a_failing_matcher_is_reported_as_that() -> None:
    camera = Collector('depth', refine_iterations=0)
    assert camera.process() == {DropCause.MATCHING_FAILED: 1}
    assert Fault.MATCHING in camera.faults.current()


def test_an_unexpected_error_drops_the_pair_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    camera = Collector('depth')

    def full(*_: Any) -> None:
        raise OSError('disk full')

    monkeypatch.setattr(camera, 'publish', full)
    assert camera.process() == {DropCause.FAILED: 1}
    assert 'disk full' in camera.faults.current()[Fault.OUTPUT][1]


@pytest.mark.parametrize('topic', ['points', 'points_clearing'])
def test_the_cloud_goes_into_its_frame(topic: str) -> None:
    camera = Collector(topic, points_frame='base')
    turn = ((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
    camera.transforms = Transforms(RigidTransform('base', turn, (1.0, 0.0, 0.0)))
    assert camera.process() == {}
    host = camera.published[topic].outputs.host
    assert host.cloud_frame_id == 'base'


def test_without_a_transform_the_other_topics_go_on() -> None:
    camera = Collector('points', 'points_clearing', 'depth', points_frame='base')
    camera.transforms = Transforms(None)
    assert camera.process() == {}
    assert set(camera.published) == {'depth'}
    assert 'no transform to base' in camera.faults.current()[Fault.TRANSFORM][1]
    for clouds in (('points',), ('points/zlib',), ('points', 'points/zstd')):
        alone = Collector(*clouds, points_frame='base')
        alone.transforms = Transforms(None)
        assert alone.process() == {DropCause.NO_TRANSFORM: 1}


class ColorCamera:
    """Stands for a color camera that has sent its calibration, in the frame of the left one."""

    info_topic, image_topic, image_is_named = '/cam/c_info', '/cam/c', True
    is_new = False

    def __init__(self, info: CameraInfo | None) -> None:
        self.info = info
        self.timeline = ImageTimeline()

    def explain_missing_info(self) -> str:
        return 'it is off'


def test_depth_goes_into_the_color_camera() -> None:
    camera = Collector('registered/depth', 'registered/camera_info')
    camera.color = ColorCamera(camera_info(SCENE, stamp(5.0)))  # type: ignore[assignment]
    assert camera.process() == {}
    source = camera.published['registered/depth']
    # It is the left camera itself.
    depth = source.outputs.host.arrays[Output.REGISTERED_DEPTH]
    known = ~np.isnan(depth)
    assert known.mean() > 0.8
    np.testing.assert_allclose(depth[known], SCENE.depth()[known], rtol=0.05)
    message = OUTPUT_TOPICS['registered/camera_info'].build(source)
    assert message.header.frame_id == FRAME
    assert list(message.p) == list(camera_info(SCENE, stamp(5.0)).p)


def test_without_the_color_camera_the_other_topics_go_on() -> None:
    camera = Collector('registered/depth', 'depth')
    camera.color = ColorCamera(None)  # type: ignore[assignment]
    assert camera.process() == {}
    assert set(camera.published) == {'depth'}
    assert 'it is off' in camera.faults.current()[Fault.COLOR_CAMERA][1]
    alone = Collector('registered/depth')
    assert alone.process() == {DropCause.NO_COLOR_CAMERA: 1}


def test_the_examination_runs_when_it_is_due() -> None:
    camera = Collector('depth')
    camera.settings = replace(camera.settings, calibration_check_period=3600.0)
    camera.process()
    first = camera.session.examination
    assert first is not None
    assert abs(first.vertical_offset) < 0.5
    camera.process()
    assert camera.session.examination is first


def test_swapped_cameras_are_found() -> None:
    camera = Collector('depth')
    camera.settings = replace(camera.settings, calibration_check_period=0.001)
    left, right = (image_message(i, stamp(5.0)) for i in SCENE.images())
    camera.process(left=right, right=left)
    assert 'swapped' in camera.faults.current()[Fault.SWAPPED][1]
    camera.session.examined_at = -math.inf
    camera.process()
    assert Fault.SWAPPED not in camera.faults.current()


def test_the_arrays_are_those_of_the_pair() -> None:
    camera = Collector('depth')
    camera.process()
    outputs = camera.published['depth'].outputs
    assert isinstance(outputs.left, np.ndarray)
    np.testing.assert_array_equal(outputs.left, SCENE.images()[0])


def test_the_range_of_deep_images_is_found_told_once_and_kept() -> None:
    deep = [(i.astype(np.uint16) * 4).copy() for i in SCENE.images()]
    left, right = (image_message(i, stamp(5.0), 'mono16') for i in deep)
    camera = Collector('disparity')
    assert camera.process(left=left, right=right) == {}
    told = [line for line in camera.lines if '1023 as white' in line]
    assert len(told) == 1
    assert told[0].startswith('/cam/l and /cam/r: 16-bit images')
    matched = camera.published['disparity'].outputs.left
    np.testing.assert_allclose(matched, deep[0] / 1023 * 255, rtol=1e-5)
    camera.process(left=left, right=right)
    assert [line for line in camera.lines if '1023 as white' in line] == told


def test_the_parameter_sets_the_range() -> None:
    deep = [(i.astype(np.uint16) * 4).copy() for i in SCENE.images()]
    left, right = (image_message(i, stamp(5.0), 'mono16') for i in deep)
    camera = Collector('disparity', pixel_range='16')
    camera.process(left=left, right=right)
    matched = camera.published['disparity'].outputs.left
    np.testing.assert_allclose(matched, deep[0] / 257, rtol=1e-5)


def test_a_cloud_below_the_rate_of_the_pairs() -> None:
    camera = Collector('points', 'depth', points_rate=5.0)
    published = []
    for number in range(8):
        assert camera.process(100 + number / 10) == {}
        published.append(set(camera.published))
        wanted = {Output.DEPTH, Output.POINTS} if number % 2 == 0 else {Output.DEPTH}
        assert set(camera.published['depth'].outputs.host.arrays) == wanted
    assert published == [{'points', 'depth'}, {'depth'}] * 4


def test_the_cloud_alone_drops_what_it_leaves_out() -> None:
    camera = Collector('points', points_rate=5.0)
    for number in range(8):
        camera.session.counters.receive()
        dropped = camera.process(100 + number / 10)
    assert (dropped, camera.clouds) == ({DropCause.POINTS_RATE: 4}, 4)
    counts = camera.session.counters.counts()
    # One was received before.
    assert (counts.received, counts.processed, counts.waiting) == (9, 4, 1)
    assert camera.faults.current() == {}


def test_a_cloud_that_failed_stays_due() -> None:
    camera = Collector('points', points_rate=0.1, points_frame='base')
    camera.transforms = Transforms(None)
    assert camera.process(100.0) == {DropCause.NO_TRANSFORM: 1}
    turn = ((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
    camera.transforms = Transforms(RigidTransform('base', turn, (1.0, 0.0, 0.0)))
    camera.process(100.1)
    assert camera.clouds == 1
    assert camera.process(100.2)[DropCause.POINTS_RATE] == 1


def test_a_region_outside_of_the_image_is_reported() -> None:
    camera = Collector('depth', roi=(0, 0, 321, 240))
    assert camera.process() == {DropCause.INVALID_INPUT: 1}
    text = camera.faults.current()[Fault.INPUT][1]
    assert text.startswith('roi = [0, 0, 321, 240]')
    assert '320x240 pixels' in text
    camera.settings = replace(camera.settings, roi=(0, 0, 320, 240))
    camera.process()
    assert Fault.INPUT not in camera.faults.current()
    assert set(camera.published) == {'depth'}
