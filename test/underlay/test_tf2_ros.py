"""Transforms by hand: chains, times between stamps, what is not known, and the topics."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest
from builtin_interfaces.msg import Time as Stamp
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_ros import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    StaticTransformBroadcaster,
    TransformException,
    TransformListener,
)

NEWEST = Time()
HALF = math.sqrt(0.5)


def pose(
    parent: str, child: str, x: float = 0.0, *, at: int = 0, turn: float = 0.0
) -> TransformStamped:
    """Return a pose x meters ahead, turned about z by an angle in degrees."""
    made = TransformStamped(child_frame_id=child)
    made.header.frame_id, made.header.stamp = parent, Stamp(sec=at)
    made.transform.translation.x = x
    made.transform.rotation.z = math.sin(math.radians(turn) / 2)
    made.transform.rotation.w = math.cos(math.radians(turn) / 2)
    return made


def numbers(found: Any) -> list[float]:
    t, q = found.transform.translation, found.transform.rotation
    sign = math.copysign(1.0, q.w)
    return [t.x, t.y, t.z, *(sign * value for value in (q.x, q.y, q.z, q.w))]


@pytest.fixture
def tree() -> Buffer:
    """Return odom -> base (moving, from 0 m to 10 m between 100 s and 110 s, turning) -> left."""
    buffer = Buffer()
    for at, x, turn in ((100, 0.0, 0.0), (110, 10.0, 90.0)):
        buffer.set_transform(pose('odom', 'base', x, at=at, turn=turn), 'test')
    buffer.set_transform_static(pose('base', 'left', 1.0), 'test')
    buffer.set_transform_static(pose('base', 'right', 1.0, turn=90.0), 'test')
    return buffer


def test_up_a_chain_at_a_stamp(tree: Buffer) -> None:
    found = tree.lookup_transform('odom', 'left', Time(seconds=110))
    # At 110 s the base stands at x = 10 m and looks along y: the camera is 1 m along y.
    assert numbers(found) == pytest.approx([10, 1, 0, 0, 0, HALF, HALF])
    assert (found.header.frame_id, found.child_frame_id) == ('odom', 'left')
    assert found.header.stamp == Stamp(sec=110)


def test_down_a_chain_is_the_inverse(tree: Buffer) -> None:
    # Seen from the camera, which looks along y, odom's origin lies 1 m behind and 10 m left.
    found = tree.lookup_transform('left', 'odom', Time(seconds=110))
    assert numbers(found) == pytest.approx([-1, 10, 0, 0, 0, -HALF, HALF])


def test_between_two_stamps(tree: Buffer) -> None:
    found = tree.lookup_transform('odom', 'base', Time(seconds=105))
    expected = [5, 0, 0, 0, 0, math.sin(math.pi / 8), math.cos(math.pi / 8)]
    assert numbers(found) == pytest.approx(expected)


def test_siblings_need_no_stamp_of_their_parent(tree: Buffer) -> None:
    found = tree.lookup_transform('left', 'right', Time(seconds=7))
    assert numbers(found) == pytest.approx([0, 0, 0, 0, 0, HALF, HALF])


def test_time_zero_is_the_newest(tree: Buffer) -> None:
    found = tree.lookup_transform('odom', 'base', NEWEST)
    assert found.header.stamp == Stamp(sec=110)
    assert numbers(found)[0] == pytest.approx(10)


def test_a_frame_in_itself(tree: Buffer) -> None:
    assert numbers(tree.lookup_transform('base', 'base', NEWEST)) == [0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ('frames', 'at', 'error', 'text'),
    [
        (('odom', 'base'), 111, ExtrapolationException, 'into the future.*111.*110'),
        (('odom', 'base'), 99, ExtrapolationException, r'into the past.*frame \[base\]'),
        (('odom', 'nobody'), 105, LookupException, '"nobody" passed .* source_frame'),
        (('odom', 'moon'), 105, ConnectivityException, 'not part of the same tree'),
        (('', 'base'), 105, InvalidArgumentException, 'empty'),
        (('/odom', 'base'), 105, InvalidArgumentException, "start with a '/'"),
    ],
)
def test_what_is_not_known(
    tree: Buffer, frames: tuple[str, str], at: int, error: type[Exception], text: str
) -> None:
    tree.set_transform_static(pose('space', 'moon'), 'test')
    with pytest.raises(error, match=text):
        tree.lookup_transform(*frames, Time(seconds=at))


def test_ten_seconds_are_kept_and_forgotten_with_the_next_transform(tree: Buffer) -> None:
    # Relative to 110 s, the newest before, the one of 100 s is not too old yet.
    tree.set_transform(pose('odom', 'base', 11.0, at=111), 'test')
    assert numbers(tree.lookup_transform('odom', 'base', Time(seconds=100)))[0] == 0.0
    tree.set_transform(pose('odom', 'base', 12.0, at=112), 'test')
    with pytest.raises(ExtrapolationException, match='past'):
        tree.lookup_transform('odom', 'base', Time(seconds=100))


def test_what_comes_ten_seconds_late_is_ignored(tree: Buffer) -> None:
    tree.set_transform(pose('odom', 'base', 99.0, at=99), 'test')
    with pytest.raises(ExtrapolationException, match='past'):
        tree.lookup_transform('odom', 'base', Time(seconds=99))


def test_clearing_leaves_what_holds_forever(tree: Buffer) -> None:
    tree.set_transform_static(pose('base', 'camera', 3.0), 'test')
    tree.clear()
    assert numbers(tree.lookup_transform('base', 'camera', NEWEST))[0] == 3.0
    with pytest.raises(TransformException):
        tree.lookup_transform('odom', 'base', Time(seconds=105))
    tree.set_transform(pose('odom', 'base', 1.0, at=1), 'test')
    assert numbers(tree.lookup_transform('odom', 'base', Time(seconds=1)))[0] == 1.0


@pytest.mark.parametrize('cache', [1, 30])
def test_the_cache_has_the_length_asked_for(cache: int) -> None:
    buffer = Buffer(cache_time=Duration(seconds=cache))
    for at in (100, 101, 103, 104):
        buffer.set_transform(pose('odom', 'base', float(at), at=at), 'test')
    if cache == 30:
        assert numbers(buffer.lookup_transform('odom', 'base', Time(seconds=100)))[0] == 100.0
    else:  # 101 s and before go when 104 s comes after 103 s
        with pytest.raises(ExtrapolationException, match='past'):
            buffer.lookup_transform('odom', 'base', Time(seconds=101))


def test_who_waits_is_woken() -> None:
    buffer = Buffer()
    later = threading.Timer(0.1, buffer.set_transform_static, (pose('a', 'b', 2.0), 'test'))
    later.start()
    found = buffer.lookup_transform('a', 'b', NEWEST, timeout=Duration(seconds=30))
    assert numbers(found)[0] == 2.0
    later.join()


def test_static_transforms_are_merged_for_a_listener_that_comes_later(
    node: Node, executor: SingleThreadedExecutor
) -> None:
    """The last message alone is latched: it must hold all frames, each as it was sent last."""
    broadcaster = StaticTransformBroadcaster(node)
    broadcaster.sendTransform(pose('base', 'left', 1.0))
    broadcaster.sendTransform(pose('base', 'right', 2.0))
    broadcaster.sendTransform([pose('base', 'left', 3.0), pose('base', 'rear', 4.0)])
    buffer = Buffer()
    last: Future[None] = Future(executor=executor)

    class Told(Buffer):  # type: ignore[misc]  # the real one has no types
        def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
            buffer.set_transform_static(transform, authority)
            if transform.child_frame_id == 'rear':
                last.set_result(None)

    listener = TransformListener(Told(), node)
    executor.spin_until_future_complete(last, timeout_sec=30)
    assert last.done()
    found = {name: buffer.lookup_transform('base', name, NEWEST) for name in ('left', 'right')}
    assert {name: numbers(pose)[0] for name, pose in found.items()} == {'left': 3.0, 'right': 2.0}
    listener.unregister()
