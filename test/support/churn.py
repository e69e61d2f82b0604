"""A process whose nodes come and go, so that discovery never rests.

Usage: python -m support.churn TOPIC
"""

from __future__ import annotations

import itertools
import os
import sys
import time

import rclpy
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import Image
from stereo_msgs.msg import DisparityImage

ENDPOINTS = 4
# Seconds that each node stays.
STAY = 0.05


def main(topic: str) -> None:
    """Make nodes that subscribe to the topic, one after another, until killed."""
    rclpy.init()
    for number in itertools.count():
        node = rclpy.create_node(f'churn_{os.getpid()}_{number}')
        for endpoint in range(ENDPOINTS):
            node.create_publisher(Image, f'{topic}_{endpoint}', 1)
            node.create_subscription(DisparityImage, topic, lambda _: None, 1)
        time.sleep(STAY)
        node.destroy_node()


if __name__ == '__main__':
    try:
        main(sys.argv[1])
    except (KeyboardInterrupt, ExternalShutdownException):
        os._exit(0)
    except Exception:
        # The signal that ends this process comes at any moment.
        if rclpy.ok():
            raise
        os._exit(0)
