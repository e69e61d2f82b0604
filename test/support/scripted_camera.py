"""A stereo camera in a process of its own that does what it is told, wrong things included."""

from __future__ import annotations

import os
import signal
import sys
import threading
from array import array
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, Image

from support.remote import serve

# Bytes of one pixel. Every channel holds the same gray, so mosaics are gray too.
PIXEL_BYTES = {'mono8': 1, 'bayer_rggb8': 1, 'rgb8': 3, 'bgra8': 4, 'mono16': 2}
SEED = 7


@dataclass(frozen=True)
class Scene:
    """What the camera sends. A plane stands at `disparity` pixels.

    `frame` is that of the left image; the right one's has '_right' behind it, so that nobody
    takes it for the left one unnoticed. `silent` names topics that are not sent; `right_every`
    sends only each n-th right image and calibration. Stamps are the wall clock plus `offset`
    seconds, the right ones `right_offset` and another `right_drift` for each pair later;
    `unstamped` makes them 0. `image` and `info` overwrite fields after all is built; `data_bytes`
    cuts the data or fills it up; `p` replaces elements of P.
    """

    width: int = 160
    height: int = 120
    right_width: int = 0
    encoding: str = 'mono8'
    disparity: int = 8
    focal_length: float = 100.0
    baseline: float = 0.1
    frame: str = 'camera'
    silent: tuple[str, ...] = ()
    right_every: int = 1
    offset: float = 0.0
    right_offset: float = 0.0
    right_drift: float = 0.0
    unstamped: bool = False
    image: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    data_bytes: int = -1
    p: dict[str, float] = field(default_factory=dict)


def texture(width: int, height: int) -> np.ndarray:
    """Return the same gray noise (H, W) uint8 each time, coarse enough to survive a mosaic."""
    coarse = np.random.default_rng(SEED).integers(0, 256, (height // 4 + 1, width // 4 + 1))
    return np.kron(coarse, np.ones((4, 4)))[:height, :width].astype(np.uint8)


class ScriptedCamera:
    """The methods are called by lines from the test; see `support.remote`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._scene = Scene()
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._publishers = {
            topic: node.create_publisher(kind, topic, qos)
            for topic, kind in (
                ('left/image_rect', Image),
                ('right/image_rect', Image),
                ('left/camera_info', CameraInfo),
                ('right/camera_info', CameraInfo),
            )
        }
        self._clock_publisher = node.create_publisher(ClockMessage, '/clock', 10)
        self._clock = Clock(clock_type=ClockType.SYSTEM_TIME)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer: Any = None
        self._count = self._shown = 0
        self._sent: list[tuple[int, str]] = []
        self.show()

    def show(self, **changes: Any) -> None:
        """Send this scene from now on: the usual one with these changes."""
        scene = replace(Scene(), **changes)
        self._scene, self._shown = scene, 0
        self._images = {side: _image(scene, side) for side in ('left', 'right')}
        self._infos = {side: _info(scene, side) for side in ('left', 'right')}

    def stream(self, rate: float) -> None:
        """Send the scene so many times a second."""
        self.stop()
        self._timer = self._node.create_timer(1 / rate, self.send, clock=self._steady)

    def stop(self) -> int:
        """Send no more; return how many left images were sent in all."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        return self._count

    def send(self) -> None:
        """Send the scene once."""
        scene, now = self._scene, self._clock.now().nanoseconds
        left = 0 if scene.unstamped else now + round(scene.offset * 1e9)
        late = scene.right_offset + scene.right_drift * self._shown
        right = 0 if scene.unstamped else left + round(late * 1e9)
        if 'left/image_rect' not in scene.silent:
            self._sent.append((left, scene.frame))
            self._count += 1
        sides = ['left', 'right'] if self._shown % scene.right_every == 0 else ['left']
        self._shown += 1
        for side in sides:
            stamp = left if side == 'left' else right
            for topic, message in (
                (f'{side}/image_rect', self._images[side]),
                (f'{side}/camera_info', self._infos[side]),
            ):
                if topic not in scene.silent:
                    message.header.stamp = _time(stamp)
                    self._publishers[topic].publish(message)

    def take_sent(self) -> list[tuple[int, str]]:
        """Return stamp and frame of every left image sent since the last call."""
        sent, self._sent = self._sent, []
        return sent

    def listeners(self) -> dict[str, int]:
        """Return how many subscriptions each topic sees."""
        return {t: p.get_subscription_count() for t, p in self._publishers.items()}

    def tick(self, seconds: float) -> None:
        """Say on /clock what time it is."""
        self._clock_publisher.publish(ClockMessage(clock=_time(round(seconds * 1e9))))

    def die_while_sending(self) -> None:
        """Send as fast as possible and be killed meanwhile, as if by power failure."""
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
        while True:
            self.send()


def _image(scene: Scene, side: str) -> Image:
    wide = texture(scene.width + scene.disparity, scene.height)
    width = scene.width
    if side == 'right':
        width, wide = scene.right_width or scene.width, wide[:, scene.disparity :]
    gray = np.resize(wide[:, :width], (scene.height, width))
    size = PIXEL_BYTES.get(scene.encoding, 1)  # hostile names as mono8
    data = np.repeat(gray, size, axis=1).tobytes()
    if scene.data_bytes >= 0:
        data = data[: scene.data_bytes].ljust(scene.data_bytes, b'\0')
    image = Image(
        height=scene.height,
        width=width,
        encoding=scene.encoding,
        step=width * size,
        data=array('B', data),
    )
    for name, value in scene.image.items():
        setattr(image, name, value)
    image.header.frame_id = scene.frame if side == 'left' else f'{scene.frame}_right'
    return image


def _info(scene: Scene, side: str) -> CameraInfo:
    f, cx, cy = scene.focal_length, scene.width / 2, scene.height / 2
    shift = 0.0 if side == 'left' else -f * scene.baseline
    p = [f, 0.0, cx, shift, 0.0, f, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    for index, value in scene.p.items():
        p[int(index)] = value
    width = (scene.right_width if side == 'right' else 0) or scene.width
    info = CameraInfo(width=width, height=scene.height, p=p)
    for name, value in scene.info.items():
        setattr(info, name, value)
    info.header.frame_id = scene.frame if side == 'left' else f'{scene.frame}_right'
    return info


def _time(nanoseconds: int) -> Time:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def main() -> None:
    """Be a camera in the namespace of the first argument."""
    rclpy.init()
    node = rclpy.create_node('scripted_camera', namespace=sys.argv[1])
    serve(node, ScriptedCamera(node))


if __name__ == '__main__':
    main()
