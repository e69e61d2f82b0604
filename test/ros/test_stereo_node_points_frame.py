"""The cloud in another frame over real DDS: transforms that stand, move, come late or never."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from rclpy.qos import QoSProfile
from sensor_msgs_py.point_cloud2 import read_points_numpy
from tf2_msgs.msg import TFMessage
from tf2_ros import StaticTransformBroadcaster

from support.stereo_rig import COMMAND, Rig, running_rig
from support.stereo_scene import FRAME, PlaneScene, stamp

SCENE = PlaneScene()
WARN = 1
# A camera that looks ahead: optical z is the body's x, optical x is right, optical y is down.
AHEAD = (-0.5, 0.5, -0.5, 0.5)


@pytest.fixture(scope='module')
def rig() -> Iterator[Rig]:
    arguments = ('backend:=sgbm', 'diagnostics_period:=0.2')
    with running_rig(*arguments) as made:
        made.open_cameras()
        yield made


def transform(parent: str, x: float, y: float, z: float, *, at: float = 0.0) -> TransformStamped:
    """Return the left camera, looking ahead, in a parent frame."""
    made = TransformStamped(child_frame_id=FRAME)
    made.header.frame_id, made.header.stamp = parent, stamp(at)
    t, q = made.transform.translation, made.transform.rotation
    t.x, t.y, t.z = x, y, z
    q.x, q.y, q.z, q.w = AHEAD
    return made


def points(cloud: Any) -> np.ndarray:
    return np.asarray(read_points_numpy(cloud, ('x', 'y', 'z'), skip_nans=True))


def hear(rig: Rig, frame: str, *, start: float) -> Any:
    """Publish pairs until a cloud in that frame and of this test comes."""
    heard: list[Any] = []

    def ours() -> bool:
        return bool(heard) and heard[-1].header.frame_id == frame and seconds(heard[-1]) > start

    listener = rig.subscribe('points', heard.append)
    try:
        rig.publish_until(ours, f'a cloud in {frame}', SCENE, start=start)
    finally:
        rig.node.destroy_subscription(listener)
    return heard[-1]


def seconds(message: Any) -> float:
    return float(message.header.stamp.sec + message.header.stamp.nanosec / 1e9)


def body(optical: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    """Return optical points in a body frame in which the camera stands at x, y, z."""
    return np.stack((optical[:, 2] + x, y - optical[:, 0], z - optical[:, 1]), axis=-1)


def test_a_standing_camera(rig: Rig) -> None:
    optical = hear(rig, FRAME, start=1)
    # Latched: it may be sent before the node listens to transforms.
    broadcaster = StaticTransformBroadcaster(rig.node)
    broadcaster.sendTransform(transform('base_link', 0.2, 0.0, 1.5))
    assert rig.set_parameters(points_frame='base_link') == [(True, '')]
    cloud = hear(rig, 'base_link', start=100)
    expected = body(points(optical), 0.2, 0.0, 1.5)
    assert len(expected) > 10_000
    np.testing.assert_allclose(points(cloud), expected, atol=1e-5)
    # The plane is 1.2 m ahead of the camera at the principal point, up in the body is 1.5.
    assert (cloud.height, cloud.width) == (SCENE.height, SCENE.width)
    rows, columns = 120, 160
    z = read_points_numpy(cloud, ('x', 'y', 'z')).reshape(SCENE.height, SCENE.width, 3)
    np.testing.assert_allclose(z[rows, columns], [1.4, 0.0, 1.5], atol=0.02)
    assert rig.set_parameters(points_frame='') == [(True, '')]
    assert hear(rig, FRAME, start=200) is not None


def test_a_moving_camera_at_the_stamp_of_its_image(rig: Rig) -> None:
    optical = hear(rig, FRAME, start=1000)
    moving = rig.node.create_publisher(TFMessage, '/tf', QoSProfile(depth=10))
    assert rig.set_parameters(points_frame='odom') == [(True, '')]
    clouds, pairs = rig.listen('points'), itertools.count()

    def pose(at: float) -> TransformStamped:
        return transform('odom', at - 1100, 0.0, 0.0, at=at)  # one meter a second

    def heard() -> bool:
        at = 1100 + 0.2 * next(pairs)
        moving.publish(TFMessage(transforms=[pose(at - 0.05), pose(at + 0.15)]))
        rig.publish(SCENE, at)
        return bool(clouds and clouds[-1].header.frame_id == 'odom')

    try:
        rig.until(heard, 'a cloud in odom')
        expected = body(points(optical), seconds(clouds[-1]) - 1100, 0.0, 0.0)
        np.testing.assert_allclose(points(clouds[-1]), expected, atol=1e-4)
    finally:
        rig.set_parameters(points_frame='')
        rig.mute()
        rig.node.destroy_publisher(moving)


def test_clouds_go_on_after_timestamps_jumped_back(rig: Rig) -> None:
    moving = rig.node.create_publisher(TFMessage, '/tf', QoSProfile(depth=10))
    assert rig.set_parameters(points_frame='odom') == [(True, '')]
    clouds, pairs = rig.listen('points'), itertools.count()

    def heard(start: float, x: float) -> bool:
        at = start + 0.2 * next(pairs)
        poses = [transform('odom', x, 0.0, 0.0, at=at + late) for late in (-0.05, 0.15)]
        moving.publish(TFMessage(transforms=poses))
        rig.publish(SCENE, at)
        return any(0 < seconds(cloud) - start < 200 for cloud in clouds)

    try:
        rig.until(lambda: heard(1800, 3.0), 'a cloud in odom')
        rig.until(lambda: heard(1500, 5.0), 'a cloud of the run after')
        assert points(clouds[-1])[:, 0].mean() == pytest.approx(5.0 + 1.2, abs=0.1)
    finally:
        rig.set_parameters(points_frame='')
        rig.mute()
        rig.node.destroy_publisher(moving)


def test_without_a_transform_only_the_cloud_is_missing(rig: Rig) -> None:
    assert rig.set_parameters(points_frame='nowhere') == [(True, '')]
    clouds, disparities = rig.listen('points'), rig.listen('disparity')
    try:

        def told() -> bool:
            status = rig.statuses.get('outputs')
            text = f"no transform from '{FRAME}' to points_frame 'nowhere'"
            return bool(status and status.level == bytes([WARN]) and text in status.message)

        rig.publish_until(told, 'a complaint', SCENE, start=2000)
        # A cloud of the setting before may still have been on its way.
        after = rig.publish_until(lambda: len(disparities) > 5, 'disparities', SCENE, start=2200)
        assert all(seconds(cloud) <= 2000 for cloud in clouds), after
        assert rig.set_parameters(points_frame=FRAME) == [(True, '')]
        rig.publish_until(lambda: clouds, 'a cloud again', SCENE, start=2400)
    finally:
        rig.set_parameters(points_frame='')
        rig.mute()


def test_without_tf2_it_is_refused() -> None:
    command = f"import sys; sys.modules['tf2_ros'] = None\n{COMMAND}"
    with running_rig('backend:=sgbm', command=command) as made:
        ((successful, reason),) = made.set_parameters(points_frame='base_link')
        assert not successful
        assert 'tf2_ros, which is not installed' in reason
