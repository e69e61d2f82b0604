"""Count which large messages arrive, by size, reliability and settings of Fast DDS.

Usage: python benchmark/large_messages.py [--messages 40] [--rate 20]

One process publishes images, another one subscribes; both see the same environment but for the
variable under test. Needs rclpy and sensor_msgs alone, so that it runs with any distribution.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROFILE = Path(__file__).resolve().parents[1] / 'config' / 'fastdds_large_messages.xml'
# Bytes: 640x480 mono8, 640x480 rgb8, 1280x720 rgb8, and a cloud of 1280x720 points.
SIZES = {'0.3 MB': 307_200, '0.9 MB': 921_600, '2.8 MB': 2_764_800, '14.7 MB': 14_745_600}
RELIABILITIES = ('best effort', 'reliable')
VARIABLES = (
    'FASTDDS_DEFAULT_PROFILES_FILE',
    'FASTRTPS_DEFAULT_PROFILES_FILE',
    'FASTDDS_BUILTIN_TRANSPORTS',
)
LARGE_DATA_WITH_SIZES = 'LARGE_DATA?max_msg_size=32MB&sockets_size=32MB'
# Seconds: for a subscriber to appear, and for what is on its way when the last one is sent.
DISCOVERY = 20.0
GRACE = 1.0


@dataclass(frozen=True)
class Setting:
    """A variable of Fast DDS, its value, and which of the two processes has it."""

    label: str
    variable: str = ''
    value: str = ''
    publisher: bool = True
    subscriber: bool = True

    def environment(self, *, given: bool) -> dict[str, str]:
        """Return this process's variables with only the variable under test, if it is given."""
        variables = {name: text for name, text in os.environ.items() if name not in VARIABLES}
        if given and self.variable:
            variables[self.variable] = self.value
        return variables


SETTINGS = (
    Setting('default'),
    Setting('FASTDDS_ profile, both', VARIABLES[0], str(PROFILE)),
    Setting('FASTRTPS_ profile, both', VARIABLES[1], str(PROFILE)),
    Setting('FASTRTPS_ profile, publisher', VARIABLES[1], str(PROFILE), subscriber=False),
    Setting('FASTRTPS_ profile, subscriber', VARIABLES[1], str(PROFILE), publisher=False),
    Setting('LARGE_DATA, both', VARIABLES[2], 'LARGE_DATA'),
    Setting('LARGE_DATA, publisher', VARIABLES[2], 'LARGE_DATA', subscriber=False),
    Setting('LARGE_DATA with sizes, both', VARIABLES[2], LARGE_DATA_WITH_SIZES),
)


@dataclass
class Arrivals:
    """How many messages of one topic came, and how long each took in seconds."""

    latencies: list[float] = field(default_factory=list)

    def shown(self) -> str:
        """Return the count and the median latency."""
        if not self.latencies:
            return '0'
        return f'{len(self.latencies)} ({1e3 * statistics.median(self.latencies):.0f} ms)'


def profile_of(reliability: str) -> Any:
    """Return the quality of service of both sides, deep enough that only the transport loses."""
    from rclpy.qos import QoSProfile, ReliabilityPolicy

    policy = reliability.upper().replace(' ', '_')
    return QoSProfile(depth=10, reliability=ReliabilityPolicy[policy])


def topic_of(size: str, reliability: str) -> str:
    """Return a topic name for a column of the table."""
    return f'large_messages/s{size}_{reliability}'.replace(' ', '_').replace('.', '_')


def publish(messages: int, rate: float) -> None:
    """Send the messages of each topic once it has a subscriber."""
    import rclpy
    from rclpy.duration import Duration
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node('large_messages_publisher')
    for name, size in SIZES.items():
        for reliability in RELIABILITIES:
            topic = topic_of(name, reliability)
            publisher = node.create_publisher(Image, topic, profile_of(reliability))
            deadline = time.monotonic() + DISCOVERY
            while not publisher.get_subscription_count() and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.2)  # the other side's view of the match
            image = Image(data=array('B', bytes(size)))
            start = time.monotonic()
            for index in range(messages):
                time.sleep(max(0.0, start + index / rate - time.monotonic()))
                image.header.frame_id = str(time.time())
                publisher.publish(image)
            publisher.wait_for_all_acked(Duration(seconds=5))
            time.sleep(GRACE)
            node.destroy_publisher(publisher)
    rclpy.shutdown()


def subscribe() -> None:
    """Print, as one line of JSON, the latencies of all topics once stdin is closed."""
    import threading

    import rclpy
    from rclpy.executors import ExternalShutdownException
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node('large_messages_subscriber')
    latencies: dict[str, list[float]] = defaultdict(list)
    for size in SIZES:
        for reliability in RELIABILITIES:
            topic = topic_of(size, reliability)

            def callback(image: Any, topic: str = topic) -> None:
                latencies[topic].append(time.time() - float(image.header.frame_id))

            node.create_subscription(Image, topic, callback, profile_of(reliability))
    waiter = threading.Thread(target=lambda: (sys.stdin.read(), rclpy.try_shutdown()))
    waiter.start()
    with contextlib.suppress(ExternalShutdownException):
        rclpy.spin(node)
    print(json.dumps(latencies))


def measure(setting: Setting, messages: int, rate: float) -> dict[str, Arrivals]:
    """Return the arrivals of each topic under a setting."""
    command = [sys.executable, __file__, '--messages', str(messages), '--rate', str(rate)]
    with subprocess.Popen(
        [*command, 'subscribe'],
        env=setting.environment(given=setting.subscriber),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as subscriber:
        subprocess.run(
            [*command, 'publish'],
            env=setting.environment(given=setting.publisher),
            check=True,
        )
        output, _ = subscriber.communicate()
    return {topic: Arrivals(values) for topic, values in json.loads(output).items()}


def main() -> int:
    """Print a table of Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'what', nargs='?', default='measure', choices=('measure', 'publish', 'subscribe')
    )
    parser.add_argument('--messages', type=int, default=40)
    parser.add_argument('--rate', type=float, default=20.0)
    parser.add_argument('--only', default='', help='settings whose label contains this')
    arguments = parser.parse_args()
    if arguments.what == 'publish':
        publish(arguments.messages, arguments.rate)
        return 0
    if arguments.what == 'subscribe':
        subscribe()
        return 0
    columns = [(size, reliability) for size in SIZES for reliability in RELIABILITIES]
    print(f'{arguments.messages} messages at {arguments.rate:g} Hz: arrived (median latency)\n')
    print('| setting |', ' | '.join(f'{size}, {how}' for size, how in columns), '|')
    print('| --- |' + ' ---: |' * len(columns))
    for setting in SETTINGS:
        if arguments.only not in setting.label:
            continue
        arrivals = measure(setting, arguments.messages, arguments.rate)
        cells = [arrivals.get(topic_of(*column), Arrivals()).shown() for column in columns]
        print(f'| {setting.label} |', ' | '.join(cells), '|', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
