"""message_filters.Subscriber over real DDS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from message_filters import ApproximateTimeSynchronizer, Subscriber, TimeSynchronizer
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import (
    QoSDurabilityPolicy,
    QoSProfile,
    QoSReliabilityPolicy,
    qos_profile_sensor_data,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, Image

TIMEOUT = 30.0


def latched(reliability: QoSReliabilityPolicy) -> QoSProfile:
    """Return a profile that keeps messages for subscriptions found later."""
    return QoSProfile(
        depth=5, reliability=reliability, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL
    )


RELIABLE = latched(QoSReliabilityPolicy.RELIABLE)


def first_call(executor: SingleThreadedExecutor, register: Callable[..., Any]) -> Any:
    """Spin until the registered callback is called, and return its arguments."""
    future: Future[Any] = Future(executor=executor)

    def keep_first(*arguments: Any) -> None:
        if not future.done():
            future.set_result(arguments)

    register(keep_first)
    executor.spin_until_future_complete(future, timeout_sec=TIMEOUT)
    assert future.done(), 'nothing arrived'
    return future.result()


def send(publisher: Publisher[Any], sec: int, nanosec: int = 0) -> None:
    message = publisher.msg_type()
    message.header.stamp.sec, message.header.stamp.nanosec = sec, nanosec
    publisher.publish(message)


def test_message_reaches_the_callback_with_its_arguments(
    node: Node, executor: SingleThreadedExecutor
) -> None:
    subscriber = Subscriber(node, Image, 'image', qos_profile=RELIABLE)
    send(node.create_publisher(Image, 'image', RELIABLE), 12, 34)
    message, extra = first_call(
        executor, lambda callback: subscriber.registerCallback(callback, 'extra')
    )
    assert isinstance(message, Image)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (12, 34)
    assert extra == 'extra'


def test_subscription_is_that_of_the_node_and_can_be_destroyed(node: Node) -> None:
    subscriber = Subscriber(node, Image, 'left/image')
    assert subscriber.getTopic() == 'left/image'
    assert subscriber.sub.topic_name == '/ns/left/image'
    assert node.count_subscribers('/ns/left/image') == 1
    assert node.destroy_subscription(subscriber.sub)
    assert subscriber.sub not in list(node.subscriptions)


def test_default_profile_has_a_depth_of_ten(node: Node) -> None:
    assert Subscriber(node, Image, 'image').sub.qos_profile.depth == 10


def test_profile_and_callback_group_reach_the_subscription(node: Node) -> None:
    group = ReentrantCallbackGroup()
    subscriber = Subscriber(
        node, Image, 'image', qos_profile=qos_profile_sensor_data, callback_group=group
    )
    assert subscriber.sub.callback_group is group
    assert subscriber.sub.qos_profile.reliability == QoSReliabilityPolicy.BEST_EFFORT


def test_profile_can_be_overridden_by_parameters(executor: SingleThreadedExecutor) -> None:
    name = 'qos_overrides./image.subscription.depth'
    node = Node(
        'overridden', context=executor.context, parameter_overrides=[Parameter(name, value=3)]
    )
    subscriber = Subscriber(
        node,
        Image,
        '/image',
        qos_profile=10,
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )
    assert subscriber.sub.qos_profile.depth == 3
    node.destroy_node()


def test_unknown_argument_is_refused(node: Node) -> None:
    with pytest.raises(TypeError):
        Subscriber(node, Image, 'image', no_such_argument=1)


@pytest.mark.parametrize('slop', [None, 0.01])
@pytest.mark.parametrize(
    'reliability', [QoSReliabilityPolicy.RELIABLE, QoSReliabilityPolicy.BEST_EFFORT]
)
def test_synchronized_pair_crosses_dds(
    node: Node,
    executor: SingleThreadedExecutor,
    reliability: QoSReliabilityPolicy,
    slop: float | None,
) -> None:
    profile = QoSProfile(depth=5, reliability=reliability)
    topics = {'image': Image, 'camera_info': CameraInfo}
    publishers = [node.create_publisher(kind, name, profile) for name, kind in topics.items()]
    inputs = [Subscriber(node, kind, name, qos_profile=profile) for name, kind in topics.items()]
    pairs = (
        TimeSynchronizer(inputs, 10)
        if slop is None
        else ApproximateTimeSynchronizer(inputs, 10, slop)
    )

    def publish() -> None:  # again and again: best effort keeps nothing for late discovery
        send(publishers[0], 5)
        send(publishers[1], 5, 0 if slop is None else 9_000_000)

    node.create_timer(0.02, publish)
    image, info = first_call(executor, pairs.registerCallback)
    assert isinstance(image, Image)
    assert isinstance(info, CameraInfo)
    assert image.header.stamp.sec == info.header.stamp.sec == 5
