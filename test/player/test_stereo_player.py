"""`stereo_player` over real DDS in a process of its own, and the parts that need no DDS."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_ros import Buffer, TransformException, TransformListener
from tf_transformations import quaternion_matrix

from s2m2_ros.geometry import CalibrationError, CameraModel, RegionOfInterest
from s2m2_ros.io.sources.image_source import ImageFiles
from s2m2_ros.io.sources.stereo_frame import PlaybackError, StereoFrame
from s2m2_ros.io.sources.stereo_sources import find_pairs
from s2m2_ros.player.player_parameters import ALIASES, PlayerOptions, publishes_raw
from s2m2_ros.player.ros_messages import camera_info, image_from_rosbags, stereo_messages
from s2m2_ros.player.ros_serialization import from_rosbags
from s2m2_ros.player.static_transforms import camera_transforms
from s2m2_ros.player.stereo_player import main, repeated, schedule
from support import recorded_pairs
from support.processes import SOURCE, hear, python_process
from support.stereo_samples import CALIBRATION, MODELS, camera_infos, picture, record

PLAYER = """
import sys
from s2m2_ros.player.stereo_player import main
status = main(['--ros-args', *sys.argv[1:]])
print('ended', status, flush=True)
"""
TOPICS: dict[str, Any] = {
    'left/image_rect': Image,
    'left/camera_info': CameraInfo,
    'right/image_rect': Image,
    'right/camera_info': CameraInfo,
}


@pytest.fixture
def node() -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context)
    made = rclpy.create_node('subscriber', context=context)
    yield made
    made.destroy_node()
    context.shutdown()


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    path = tmp_path / 'calib.txt'
    path.write_text(CALIBRATION)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pairs, each image of one gray value: left 10, 20, 30 and right one more."""
    made = tmp_path / 'pairs'
    made.mkdir()
    for number in (1, 2, 3):
        cv2.imwrite(str(made / f'{number}_left.png'), picture(10 * number))
        cv2.imwrite(str(made / f'{number}_right.png'), picture(10 * number + 1))
    return made


def listen(
    node: Node, topics: dict[str, Any], done: Callable[[dict[str, list[Any]]], bool]
) -> dict[str, list[Any]]:
    """Collect the messages of each topic until `done` is content with them."""
    return collect(node, subscribe(node, topics), done)


def subscribe(node: Node, topics: dict[str, Any]) -> dict[str, list[Any]]:
    """Subscribe to topics; return the lists that their messages are appended to."""
    heard: dict[str, list[Any]] = {topic: [] for topic in topics}
    profile = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
    for topic, kind in topics.items():
        node.create_subscription(kind, topic, heard[topic].append, profile)
    return heard


def collect(
    node: Node, heard: dict[str, list[Any]], done: Callable[[dict[str, list[Any]]], bool]
) -> dict[str, list[Any]]:
    """Spin until `done` is content with what was heard."""
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    # A deadline, for the case of a failure: several seconds go into the imports of the player.
    deadline = time.monotonic() + 180
    while not done(heard):
        assert time.monotonic() < deadline, heard
        executor.spin_once(timeout_sec=0.5)
    return heard


def parameters(**values: object) -> list[str]:
    pairs = [f'{name}:={value}' for name, value in values.items()]
    return list(itertools.chain.from_iterable(('-p', pair) for pair in pairs))


def everything(number: int) -> Callable[[dict[str, list[Any]]], bool]:
    return lambda heard: all(len(messages) >= number for messages in heard.values())


def test_every_pair_of_a_folder_arrives_once_in_order(
    node: Node, folder: Path, calibration: Path
) -> None:
    options = parameters(
        source=folder, calibration=calibration, rate=50.0, loop=False, wait_for_subscribers=True
    )
    with python_process(PLAYER, *options) as player:
        heard = listen(node, TOPICS, everything(3))
        assert hear(player) == 'ended 0'
    assert [message.data[0] for message in heard['left/image_rect']] == [10, 20, 30]
    assert [message.data[0] for message in heard['right/image_rect']] == [11, 21, 31]
    for messages in zip(*heard.values(), strict=True):
        assert len({(m.header.stamp.sec, m.header.stamp.nanosec) for m in messages}) == 1
    frames = [heard[topic][0].header.frame_id for topic in TOPICS]
    assert frames == ['left_camera_optical_frame'] * 2 + ['right_camera_optical_frame'] * 2
    left_info, right_info = heard['left/camera_info'][0], heard['right/camera_info'][0]
    assert list(left_info.p) == [40, 0, 31.5, 0, 0, 40, 23.5, 0, 0, 0, 1, 0]
    # P[3] = -fx * baseline = -40 * 0.1
    assert list(right_info.p) == pytest.approx([40, 0, 34.5, -4, 0, 40, 23.5, 0, 0, 0, 1, 0])
    assert (left_info.width, left_info.height) == (64, 48)


def test_what_plays_once_waits_for_a_subscriber_that_runs_already(
    node: Node, folder: Path, calibration: Path
) -> None:
    options = parameters(source=folder, calibration=calibration, rate=1000.0, loop=False)
    heard = subscribe(node, {'left/image_rect': Image})
    with python_process(PLAYER, *options) as player:
        collect(node, heard, everything(3))
        assert hear(player) == 'ended 0'
    assert [message.data[0] for message in heard['left/image_rect']] == [10, 20, 30]


def test_what_plays_once_to_nobody_says_so(
    folder: Path, calibration: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = parameters(source=folder, calibration=calibration, rate=1000.0, loop=False)
    assert main(['--ros-args', *options]) == 0
    printed = ''.join(capfd.readouterr())
    assert 'played 3 pairs' in printed
    assert printed.count('there were no subscribers of the images') == 1


def test_one_pair_is_repeated_with_new_stamps_in_a_namespace(
    node: Node, folder: Path, calibration: Path
) -> None:
    options = parameters(
        source=folder / '2_left.png',
        right_source=folder / '2_right.png',
        calibration=calibration,
        rate=50.0,
    )
    with python_process(PLAYER, '-r', '__ns:=/robot', *options):
        heard = listen(node, {'/robot/left/image_rect': Image}, everything(4))
    (messages,) = heard.values()
    assert {message.data[0] for message in messages} == {20}
    stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for m in messages]
    assert len(set(stamps)) == len(stamps)
    assert stamps == sorted(stamps)


def test_a_compressed_recording_is_played_compressed_with_its_own_stamps(
    node: Node, tmp_path: Path
) -> None:
    record(tmp_path / 'bag', compressed=True)
    options = parameters(
        source=tmp_path / 'bag', rate=50.0, loop=False, restamp=False, wait_for_listeners=True
    )
    topics = {
        'left/image_rect/compressed': CompressedImage,
        'left/camera_info': CameraInfo,
        'right/image_rect/compressed': CompressedImage,
        'right/camera_info': CameraInfo,
    }
    with python_process(PLAYER, *options):
        heard = listen(node, topics, everything(2))
    assert [m.header.stamp.sec for m in heard['left/image_rect/compressed']] == [100, 101]
    right = cv2.imdecode(
        np.frombuffer(heard['right/image_rect/compressed'][1].data, np.uint8), cv2.IMREAD_UNCHANGED
    )
    np.testing.assert_array_equal(right, 21)
    assert heard['right/camera_info'][0].p[3] == pytest.approx(-4)


@pytest.mark.parametrize(
    ('options', 'complaint'),
    [
        ({}, 'set the parameter source'),
        ({'source': '/no/such/folder'}, "there is no '/no/such/folder'"),
        ({'source': 1234567}, "there is no '1234567'"),
        ({'source': '/data', 'rate': -1.0}, 'rate'),
        ({'source': '/data', 'rate': 2000}, 'rate must be from 0 to 1000'),
        ({'source': '/data', 'rate': 'fast'}, 'rate must be a float'),
        ({'source': '/data', 'loop': 3}, 'parameter loop'),
        ({'source': '/data', 'recorded_left': 3}, 'parameter recorded_left'),
        ({'source': '/data', 'input_layout': 'sbs'}, 'two_topics, side_by_side, top_bottom'),
        (
            {'source': '/data', 'left_frame': '/cam'},
            "parameter left_frame = '/cam' is not the name of a frame: tf2 knows no names with",
        ),
        ({'source': '/data', 'parent_frame': '/base'}, "parameter parent_frame = '/base'"),
        ({'source': '/data', 'rectified': 'maybe'}, 'auto, true, false'),
        ({'source': '/data', 'wait_for_listeners': 'yes please'}, 'wait_for_listeners'),
    ],
)
def test_what_cannot_be_played_is_said_and_ends_with_status_2(
    options: dict[str, object], complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(['--ros-args', *parameters(**options)]) == 2
    printed = capfd.readouterr().err
    assert complaint in printed
    assert 'Traceback' not in printed


@pytest.mark.parametrize('argument', ['::', '__ns:=no spaces', 'left/image_rect:=4th'])
def test_arguments_that_ros_refuses_are_said_in_one_line(
    argument: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(['--ros-args', '-r', argument]) == 2
    printed = capfd.readouterr().err
    assert 'cannot start: ' in printed
    assert 'Traceback' not in printed


def test_both_views_of_one_image_are_played_with_the_calibration_beside_it(
    node: Node, tmp_path: Path, calibration: Path
) -> None:
    both = np.hstack((picture(10), picture(20)))
    cv2.imwrite(str(tmp_path / 'shot.png'), both)
    options = parameters(source=tmp_path / 'shot.png', input_layout='side_by_side', rate=50)
    with python_process(PLAYER, *options):
        heard = listen(node, TOPICS, everything(1))
    assert heard['left/image_rect'][0].data[0] == 10
    assert heard['right/image_rect'][0].data[0] == 20
    assert heard['left/image_rect'][0].width == 64
    assert heard['right/camera_info'][0].p[3] == pytest.approx(-4)


def test_a_calibration_of_another_size_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / 'large.txt'
    path.write_text(CALIBRATION.replace('width=64', 'width=128'))
    with pytest.raises(CalibrationError, match=r'128x48 .* but they are 64x48'):
        list(ImageFiles(find_pairs(folder), [path]))


def test_binning_and_region_of_interest_are_passed_on() -> None:
    P = MODELS[0].P
    info = camera_info(CameraModel(P, 64, 48, 2, 4, RegionOfInterest(8, 4, 16, 12)), 'left')
    assert (info.binning_x, info.binning_y) == (2, 4)
    roi = info.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (8, 4, 16, 12)


def frame_at(time: float | None) -> StereoFrame:
    pixels = np.zeros((1, 1), np.uint8)
    stamps = None if time is None else (round(time * 1e9),) * 2
    return StereoFrame(pixels, pixels, None, None, stamps_ns=stamps)


@pytest.mark.parametrize(
    ('times', 'rate', 'expected'),
    [
        ([None, None, None], 0.0, [5.0, 5.1, 5.2]),
        ([None, None, None], 4.0, [5.0, 5.25, 5.5]),
        ([100.0, 100.5, 101.5], 0.0, [5.0, 5.5, 6.5]),
        ([100.0, 100.5, 101.5], 4.0, [5.0, 5.25, 5.5]),
        ([100.0, 100.5, 100.0, 100.5], 0.0, [5.0, 5.5, 6.0, 6.5]),
    ],
)
def test_schedule(times: list[float | None], rate: float, expected: list[float]) -> None:
    frames = iter([frame_at(time) for time in times])
    assert [due for due, _ in schedule(frames, rate, start=5.0)] == pytest.approx(expected)


def test_a_source_is_repeated_only_if_asked() -> None:
    frames = [frame_at(1.0), frame_at(2.0)]
    assert list(repeated(frames, loop=False)) == frames
    assert list(itertools.islice(repeated(frames, loop=True), 5)) == [*frames, *frames, frames[0]]
    with pytest.raises(PlaybackError, match='no stereo pair'):
        list(repeated([], loop=True))


def test_transforms_put_what_lies_ahead_ahead() -> None:
    left, right = camera_transforms('camera_link', *camera_infos())
    assert (left.header.frame_id, left.child_frame_id) == ('camera_link', 'left')
    assert (right.header.frame_id, right.child_frame_id) == ('left', 'right')
    q = left.transform.rotation
    to_body = quaternion_matrix([q.x, q.y, q.z, q.w])[:3, :3]
    # Optical: x right, y down, z forward. Body: x forward, y left, z up.
    np.testing.assert_allclose(to_body @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(to_body @ [1, 0, 0], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(to_body @ [0, 1, 0], [0, 0, -1], atol=1e-12)
    t = right.transform.translation
    assert (t.x, t.y, t.z) == (pytest.approx(0.1), 0, 0)


def test_static_transforms_reach_subscribers_that_come_later(
    node: Node, folder: Path, calibration: Path
) -> None:
    buffer = Buffer()

    def known(heard: dict[str, list[Any]]) -> bool:
        return bool(heard['left/image_rect']) and len(poses()) == 2

    def poses() -> list[Any]:
        frames = ('left_camera_optical_frame', 'right_camera_optical_frame')
        try:
            return [buffer.lookup_transform('stereo_camera', f, Time()).transform for f in frames]
        except TransformException:
            return []

    options = parameters(
        source=folder, calibration=calibration, rate=50.0, parent_frame='stereo_camera'
    )
    with python_process(PLAYER, *options):
        listen(node, {'left/image_rect': Image}, lambda heard: bool(heard['left/image_rect']))
        listener = TransformListener(buffer, node)  # after what it is to hear was sent
        listen(node, {'left/image_rect': Image}, known)
        listener.unregister()
    left, right = (pose.translation for pose in poses())
    assert (left.x, left.y, left.z) == (0, 0, 0)
    # The right camera stands 0.1 m to the right, which is along -y of a body.
    assert (right.x, right.y, right.z) == pytest.approx((0, -0.1, 0), abs=1e-12)


def test_images_keep_their_depth_and_order_of_colors(tmp_path: Path) -> None:
    blue_green_red = np.full((48, 64, 3), [1, 2, 3 * 257], np.uint16)  # as OpenCV writes
    for side in ('left', 'right'):
        cv2.imwrite(str(tmp_path / f'{side}.png'), blue_green_red)
    calibration = tmp_path / 'calib.txt'
    calibration.write_text(CALIBRATION)
    (frame,) = ImageFiles(find_pairs(tmp_path), [calibration])
    left = stereo_messages(frame, ('left', 'right')).left
    assert (left.encoding, left.step, left.header.frame_id) == ('rgb16', 64 * 6, 'left')
    assert np.frombuffer(left.data, np.uint16)[:3].tolist() == [771, 2, 1]


def test_every_parameter_is_documented() -> None:
    text = (SOURCE / 'doc' / 'stereo_player.md').read_text()
    for name in (*(option.name for option in fields(PlayerOptions)), *ALIASES):
        assert f'`{name}`' in text


RAW = CameraModel(
    MODELS[0].P, 64, 48, K=(41, 0, 32, 0, 41, 24, 0, 0, 1), D=(-0.3, 0.1, 0, 0),
    R=(1, 0, 0, 0, 1, 0, 0, 0, 1), distortion_model='equidistant',
)  # fmt: skip


def test_raw_images_come_with_what_rectifies_them() -> None:
    info = camera_info(RAW, raw=True)
    assert (list(info.k), list(info.d)) == (list(RAW.K), list(RAW.D))
    assert (info.distortion_model, list(info.p)) == ('equidistant', list(RAW.P))
    rectified = camera_info(RAW)
    assert not any(rectified.d)
    assert list(rectified.k) == [40, 0, 31.5, 0, 40, 23.5, 0, 0, 1]
    with pytest.raises(CalibrationError, match='describes rectified images only'):
        camera_info(MODELS[0], raw=True)


@pytest.mark.parametrize(
    ('source', 'rectified', 'raw'),
    [
        ('/data', 'auto', False),
        ('/dev/video98', 'auto', True),
        ('/data', 'false', True),
        ('/dev/video98', 'true', False),
    ],
)
def test_images_of_cameras_are_raw(source: str, rectified: str, raw: bool) -> None:
    assert publishes_raw(PlayerOptions(source=source, rectified=rectified)) is raw


@pytest.mark.parametrize('make', [recorded_pairs.image, recorded_pairs.compressed])
def test_images_of_recordings_become_those_that_rclpy_deserializes(
    make: Callable[[int, int], Any],
) -> None:
    recorded = make(7, 1_234_567_890)
    assert image_from_rosbags(recorded) == from_rosbags(recorded)
