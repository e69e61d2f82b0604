"""Poses as geometry understands them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tf2_ros
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from std_msgs.msg import Header

from s2m2_ros.node.outputs.transforms import (
    TRANSFORM_TIMEOUT,
    TransformError,
    TransformIntake,
    Transforms,
    rigid_transform,
    rigid_transform_from_message,
)
from s2m2_ros.node.wait_budget import VAIN_WAITS


def test_quarter_turn_about_z() -> None:
    half = math.sqrt(0.5)
    transform = rigid_transform((1.0, 2.0, 3.0), (0.0, 0.0, half, half), frame_id='map')
    expected = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(transform.rotation, np.array(expected), atol=1e-12)
    assert list(transform.translation) == [1.0, 2.0, 3.0]
    assert transform.frame_id == 'map'


def test_optical_frame_into_body_frame() -> None:
    # REP 103: optical z is forward (body x), x is right (body -y), y is down (body -z).
    transform = rigid_transform((0.0, 0.0, 0.0), (-0.5, 0.5, -0.5, 0.5), frame_id='base')
    expected = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    np.testing.assert_allclose(transform.rotation, np.array(expected), atol=1e-12)


def test_message() -> None:
    message = TransformStamped()
    message.header.frame_id = 'odom'
    message.child_frame_id = 'left_optical'
    message.transform.translation.y = 4.0
    message.transform.rotation.x = 2.0  # any length turns the same way
    message.transform.rotation.w = 0.0
    transform = rigid_transform_from_message(message)
    assert transform.frame_id == 'odom'
    assert list(transform.translation) == [0.0, 4.0, 0.0]
    expected = np.diag([1.0, -1.0, -1.0])
    np.testing.assert_allclose(transform.rotation, expected, atol=1e-12)


@pytest.mark.parametrize('quaternion', [(0.0, 0.0, 0.0, 0.0), (math.nan, 0.0, 0.0, 1.0)])
def test_impossible_poses_are_refused(quaternion: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match='no pose'):
        rigid_transform((0.0, 0.0, 0.0), quaternion, frame_id='map')


def test_a_transform_that_never_comes_does_not_delay_every_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []

    class Buffer:
        """Stands for tf2's buffer: knows nothing."""

        def lookup_transform(self, *_: Any, timeout: Duration) -> None:
            waited.append(timeout.nanoseconds / 1e9)
            raise LookupError('nobody publishes it')

    monkeypatch.setattr(tf2_ros, 'Buffer', Buffer)
    monkeypatch.setattr(tf2_ros, 'TransformListener', lambda *_: None)
    source = Transforms(None)
    header = Header(frame_id='left_optical')
    for _ in range(VAIN_WAITS + 20):
        with pytest.raises(TransformError):
            source.find(header, 'base_link')
    assert waited[:VAIN_WAITS] == [TRANSFORM_TIMEOUT] * VAIN_WAITS
    # One more may be tried meanwhile, on a busy computer.
    assert sum(waited[VAIN_WAITS:]) <= 2 * TRANSFORM_TIMEOUT
    # Whether the color camera's transform comes has nothing to do with it.
    with pytest.raises(TransformError):
        source.find(header, 'color_optical', use='colors: {source} to {target}')
    assert waited[-1] == TRANSFORM_TIMEOUT


def pose(x: float, *, at: float, child: str = 'base') -> TransformStamped:
    """Return a frame at x in `odom`."""
    made = TransformStamped(child_frame_id=child)
    made.header.frame_id = 'odom'
    made.header.stamp = Time(seconds=at).to_msg()
    made.transform.translation.x = x
    made.transform.rotation.w = 1.0
    return made


def position(buffer: tf2_ros.Buffer, at: float, frame: str = 'base') -> float:
    found = buffer.lookup_transform('odom', frame, Time(seconds=at))
    return float(found.transform.translation.x)


# A recording longer than the ten seconds that tf2 remembers, and a simulation reset within them.
@pytest.mark.parametrize('last', [60, 6])
def test_after_a_jump_back_poses_are_those_of_the_new_run(last: int) -> None:
    buffer = tf2_ros.Buffer()
    intake = TransformIntake(buffer)
    for at in range(1, last + 1):
        intake.set_transform(pose(100.0, at=at), 'test')
    intake.set_transform(pose(1.0, at=1), 'test')
    assert position(buffer, 1) == 1.0
    # Between the pose of this run and what the run before had at 2 s: not known yet.
    with pytest.raises(tf2_ros.ExtrapolationException, match='future'):
        position(buffer, 1.5)
    intake.set_transform(pose(2.0, at=2), 'test')
    assert position(buffer, 1.5) == pytest.approx(1.5)


def test_static_transforms_outlast_a_jump_back() -> None:
    buffer = tf2_ros.Buffer()
    intake = TransformIntake(buffer)
    intake.set_transform_static(pose(7.0, at=0, child='mast'), 'test')
    for at in (50, 1):
        intake.set_transform(pose(float(at), at=at), 'test')
    assert position(buffer, 1, 'mast') == 7.0


def test_what_comes_a_little_out_of_order_empties_nothing() -> None:
    buffer = tf2_ros.Buffer()
    intake = TransformIntake(buffer)
    for at in (50.0, 50.5, 49.6, 51.0):
        intake.set_transform(pose(at, at=at), 'test')
    assert position(buffer, 50.0) == 50.0
    assert position(buffer, 49.8) == pytest.approx(49.8)
