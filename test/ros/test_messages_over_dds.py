"""Both message types cross real DDS between two processes, large payloads included."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import uuid
import zlib
from array import array
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.context import Context
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from s2m2_ros.msg import InferenceStats, StereoEstimate

from support.processes import hear, python_process

WIDTH, HEIGHT = 1216, 1024

# The listener stands for a stranger: it knows the message types and nothing else of this project.
LISTENER = """
import json, sys, zlib
import rclpy
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import QoSProfile, ReliabilityPolicy
from s2m2_ros.msg import InferenceStats, StereoEstimate

name, reliability, topic = sys.argv[1:]
types = {'InferenceStats': InferenceStats, 'StereoEstimate': StereoEstimate}
rclpy.init()
node = rclpy.create_node('listener')

def told(message):
    answer = {'frame': message.header.frame_id, 'stamp': message.header.stamp.nanosec}
    if name == 'InferenceStats':
        answer |= {'latency_ms': message.latency_ms, 'dropped': message.pairs_dropped,
                   'peak': message.peak_device_memory, 'backend': message.backend}
    else:
        answer |= {part: [image.height, image.width, zlib.crc32(image.data)] for part, image in
                   (('disparity', message.disparity.image), ('confidence', message.confidence),
                    ('visibility', message.visibility))}
        answer |= {'t': message.disparity.t}
    print(json.dumps(answer), flush=True)

node.create_subscription(
    types[name], topic, told, QoSProfile(depth=1, reliability=ReliabilityPolicy[reliability]),
    event_callbacks=SubscriptionEventCallbacks(
        matched=lambda event: event.current_count and print('matched', flush=True)))
print('ready', flush=True)
try:
    while rclpy.ok():  # while it waits without end, rclpy loses one SIGTERM in ten
        rclpy.spin_once(node, timeout_sec=0.2)
except rclpy.executors.ExternalShutdownException:
    pass
"""

PUBLISHERS = """
import rclpy
from s2m2_ros.msg import InferenceStats, StereoEstimate
rclpy.init()
node = rclpy.create_node('talker')
made = [node.create_publisher(kind, f'{kind.__name__}_{number}', 1)
        for kind in (InferenceStats, StereoEstimate) for number in range(5)]
node.destroy_node()
rclpy.shutdown()
"""


@pytest.fixture
def node() -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context)
    made = rclpy.create_node('talker', context=context)
    yield made
    made.destroy_node()
    context.shutdown()


def estimate() -> tuple[StereoEstimate, dict[str, object]]:
    """Return a message with known bytes, rgb where only the size matters, and what it must say."""
    message = StereoEstimate()
    message.header.frame_id, message.header.stamp.nanosec = 'left_optical', 7
    message.disparity.t = 0.125
    expected: dict[str, object] = {'frame': 'left_optical', 'stamp': 7, 't': 0.125}
    images = {
        'disparity': message.disparity.image,
        'confidence': message.confidence,
        'visibility': message.visibility,
    }
    for seed, (part, image) in enumerate(images.items(), 1):
        image.height, image.width, image.encoding = HEIGHT, WIDTH, 'rgb8'
        image.step = 3 * WIDTH
        data = bytes((seed * k) % 251 for k in range(251)) * (image.step * HEIGHT // 251 + 1)
        data = data[: image.step * HEIGHT]
        image.data = array('B', data)
        expected[part] = [HEIGHT, WIDTH, zlib.crc32(data)]
    return message, expected


def stats() -> tuple[InferenceStats, dict[str, object]]:
    message = InferenceStats()
    message.header.frame_id, message.header.stamp.nanosec = 'left_optical', 7
    message.backend, message.latency_ms = 'torch', math.nan
    message.pairs_dropped, message.peak_device_memory = 2**40, 2**63
    return message, {
        'frame': 'left_optical',
        'stamp': 7,
        'backend': 'torch',
        'latency_ms': 'NaN',
        'dropped': 2**40,
        'peak': 2**63,
    }


@pytest.mark.parametrize('reliability', ['BEST_EFFORT', 'RELIABLE'])
@pytest.mark.parametrize('make', [stats, estimate], ids=['InferenceStats', 'StereoEstimate'])
def test_message_arrives_whole(node: Node, make: object, reliability: str) -> None:
    topic = f'topic_{uuid.uuid4().hex}'
    message, expected = make()  # type: ignore[operator]
    matched = rclpy.task.Future()
    with python_process(LISTENER, type(message).__name__, reliability, topic) as listener:
        assert hear(listener) == 'ready'
        publisher = node.create_publisher(
            type(message),
            topic,
            QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE),
            event_callbacks=PublisherEventCallbacks(
                matched=lambda event: event.current_count and matched.set_result(True)
            ),
        )
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        executor.spin_until_future_complete(matched, timeout_sec=60)
        assert matched.done()
        # Each side discovers the other in its own time; a message between is lost.
        assert hear(listener) == 'matched'
        publisher.publish(message)
        heard = hear(listener)
        while heard == 'matched':  # Fast DDS tells it once more per transport
            heard = hear(listener)
        answer = json.loads(heard, parse_constant=str)
    assert answer == expected


def test_many_publishers_leave_no_errors_in_the_terminal() -> None:
    """A type without introspection left one for each, which Kilted's libraries wrote out."""
    done = subprocess.run(
        [sys.executable, '-c', PUBLISHERS], check=True, capture_output=True, text=True
    )
    assert done.stdout + done.stderr == ''
