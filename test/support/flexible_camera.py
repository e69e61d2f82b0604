"""A stereo camera in a process of its own whose publishers come and go as a test wants."""

from __future__ import annotations

import sys
from array import array
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from support.remote import serve
from support.scripted_camera import texture

TYPES = {'Image': Image, 'CameraInfo': CameraInfo, 'CompressedImage': CompressedImage}
DISPARITY = 8
FOCAL_LENGTH = 100.0
IMAGES = ('left/image_rect', 'right/image_rect')
INFOS = ('left/camera_info', 'right/camera_info')


class FlexibleCamera:
    """The methods are called by lines from the test; see `support.remote`.

    All images show a plane at `DISPARITY` pixels. Several cameras may live in one process: each
    has a node of its own name.
    """

    def __init__(self, node: Node) -> None:
        self._nodes = {'': node}
        self._publishers: dict[tuple[str, str], Any] = {}
        self._clock = Clock(clock_type=ClockType.SYSTEM_TIME)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers: list[Any] = []
        self.show(160, 120)

    def advertise(
        self,
        topics: list[str],
        kind: str = '',
        *,
        reliable: bool = True,
        latched: bool = False,
        node: str = '',
    ) -> None:
        """Offer these topics; their type is that of an image or camera_info unless given."""
        quality = QoSProfile(
            depth=5,
            reliability=(
                ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
            ),
            durability=(
                DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
            ),
        )
        if node not in self._nodes:
            made = rclpy.create_node(node, namespace=self._nodes[''].get_namespace())
            self._nodes[node] = made
        for topic in topics:
            usual = 'CameraInfo' if 'info' in topic else 'Image'
            self._publishers[node, topic] = self._nodes[node].create_publisher(
                TYPES[kind or usual], topic, quality
            )

    def withdraw(self, topics: list[str] | None = None, node: str = '') -> None:
        """Offer these topics of a node no more; all of all nodes if none are named."""
        for key in [(node, t) for t in topics] if topics else list(self._publishers):
            self._nodes[key[0]].destroy_publisher(self._publishers.pop(key))

    def find_listeners(self, topics: list[str]) -> Future:
        """Return once each of these topics has a subscription that would get a message."""
        found, publishers = Future(), [self._publishers['', topic] for topic in topics]

        def look() -> None:
            if all(publisher.get_subscription_count() for publisher in publishers):
                self._nodes[''].destroy_timer(timer)
                found.set_result(None)

        timer = self._nodes[''].create_timer(0.05, look, clock=self._steady)
        return found

    def show(
        self,
        width: int,
        height: int,
        encoding: str = 'rgb8',
        frame: str = 'camera',
        info: str = '',
    ) -> None:
        """Send images of this size, encoding and frame; `info` is the camera_info's frame."""
        wide = texture(width + DISPARITY, height)
        channels = 3 if encoding == 'rgb8' else 1
        self._messages: dict[str, Any] = {}
        for side, columns in (('left', wide[:, :width]), ('right', wide[:, DISPARITY:])):
            data = np.repeat(columns, channels, axis=1).tobytes()
            image = Image(height=height, width=width, encoding=encoding, step=width * channels)
            image.data = array('B', data)
            image.header.frame_id = frame
            shift = -FOCAL_LENGTH * 0.1 if side == 'right' else 0.0
            p = [FOCAL_LENGTH, 0.0, width / 2, shift, 0.0, FOCAL_LENGTH, height / 2, 0.0]
            calibration = CameraInfo(width=width, height=height, p=[*p, 0.0, 0.0, 1.0, 0.0])
            calibration.header.frame_id = info or frame
            self._messages |= {f'{side}/image_rect': image, f'{side}/camera_info': calibration}

    def stream(
        self,
        topics: list[str],
        rate: float,
        *,
        offset: float = 0.0,
        unstamped: bool = False,
        frame: str | None = None,
        node: str = '',
    ) -> None:
        """Send these topics together, `rate` times a second, stamped `offset` seconds off."""

        def send() -> None:
            self.send(topics, offset=offset, unstamped=unstamped, frame=frame, node=node)

        self._timers.append(self._nodes[''].create_timer(1 / rate, send, clock=self._steady))

    def stop(self) -> None:
        """Send nothing more."""
        for timer in self._timers:
            self._nodes[''].destroy_timer(timer)
        self._timers = []

    def send(
        self,
        topics: list[str],
        *,
        offset: float = 0.0,
        unstamped: bool = False,
        frame: str | None = None,
        node: str = '',
    ) -> None:
        """Send these topics once, with one timestamp: a multiple of 10 ms, plus the offset.

        Those that are not offered at the moment are left out, as by a driver that reopens them.
        """
        nanoseconds = self._clock.now().nanoseconds // 10_000_000 * 10_000_000
        nanoseconds = 0 if unstamped else nanoseconds + round(offset * 1e9)
        for topic in topics:
            publisher = self._publishers.get((node, topic))
            if publisher is None:
                continue
            message = self._messages[topic.removesuffix('/compressed')]
            message.header.stamp = Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
            usual = message.header.frame_id
            if frame is not None:
                message.header.frame_id = frame
            if publisher.msg_type is CompressedImage:
                message = compressed(message)
            publisher.publish(message)
            self._messages[topic.removesuffix('/compressed')].header.frame_id = usual


def compressed(image: Image) -> CompressedImage:
    """Return the image as PNG."""
    import cv2

    pixels = np.asarray(image.data, dtype=np.uint8).reshape(image.height, image.width, -1)
    return CompressedImage(
        header=image.header, format='png', data=cv2.imencode('.png', pixels)[1].tobytes()
    )


def main() -> None:
    """Be a camera in the namespace of the first argument, named as the second."""
    rclpy.init()
    node = rclpy.create_node(sys.argv[2], namespace=sys.argv[1])
    serve(node, FlexibleCamera(node))


if __name__ == '__main__':
    main()
