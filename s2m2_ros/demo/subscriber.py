"""The demo's subscriber, which knows topics and message types only."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from sensor_msgs_py.point_cloud2 import read_points
from stereo_msgs.msg import DisparityImage

from s2m2_ros.demo.processes import CAMERA
from s2m2_ros.msg import InferenceStats, StereoEstimate

OUTPUTS: dict[str, Any] = {
    'disparity': DisparityImage,
    'depth': Image,
    'depth/camera_info': CameraInfo,
    'confidence': Image,
    'confidence_mask': Image,
    'occlusion_mask': Image,
    'points': PointCloud2,
    'estimate': StereoEstimate,
    'stats': InferenceStats,
}
INPUTS: dict[str, Any] = {
    'left/image_rect': Image,
    'left/camera_info': CameraInfo,
    'right/image_rect': Image,
    'right/camera_info': CameraInfo,
}
QUEUE_DEPTH = 20
# Pairs of which the outputs may still come: at 3 Hz, those of 100 seconds.
INPUTS_KEPT = 300

Stamp = tuple[int, int]


@dataclass
class ReceivedPair:
    """All that one node published of one pair, and what the camera published of it."""

    inputs: dict[str, Any]
    messages: dict[str, Any] = field(default_factory=dict)
    # When the last of them arrived, in seconds since the epoch.
    arrived: float = 0.0

    @property
    def left(self) -> Image:
        """Return the left image."""
        return self.inputs['left/image_rect']

    @property
    def content(self) -> int:
        """Return a checksum of the left image, the same whenever the same pair is played."""
        return zlib.crc32(self.left.data)

    @property
    def complete(self) -> bool:
        """Return whether every output is here."""
        return self.messages.keys() == OUTPUTS.keys()

    @property
    def latency_s(self) -> float:
        """Return the time from the timestamp of the pair to the arrival of its last output."""
        stamp = self.left.header.stamp
        return float(self.arrived - (stamp.sec + stamp.nanosec * 1e-9))


class OutputSubscriber:
    """Subscribes to the camera and to every output of one stereo node; a context manager."""

    def __init__(self, context: Context, namespace: str) -> None:
        """Create the subscriptions."""
        self.pairs: dict[Stamp, ReceivedPair] = {}
        self._inputs: dict[Stamp, dict[str, Any]] = {}
        self._node = Node(f'subscriber_of_{namespace}', context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        for name, kind in INPUTS.items():
            self._subscribe(kind, f'{CAMERA}/{name}', partial(self._keep_input, name))
        for name, kind in OUTPUTS.items():
            self._subscribe(kind, f'/{namespace}/{name}', partial(self._keep_output, name))

    @property
    def complete_pairs(self) -> list[ReceivedPair]:
        """Return the pairs of which every output has arrived, oldest first."""
        return [pair for _, pair in sorted(self.pairs.items()) if pair.complete]

    def spin(self, seconds: float) -> None:
        """Wait for a message, and not longer than that."""
        self._executor.spin_once(timeout_sec=seconds)

    def __enter__(self) -> OutputSubscriber:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._executor.shutdown()
        self._node.destroy_node()

    def _subscribe(self, kind: Any, topic: str, receive: Callable[[Any], None]) -> None:
        profile = QoSProfile(depth=QUEUE_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
        self._node.create_subscription(kind, topic, receive, profile)

    def _keep_input(self, name: str, message: Any) -> None:
        self._inputs.setdefault(_stamp(message), {})[name] = message
        if len(self._inputs) > INPUTS_KEPT:
            del self._inputs[min(self._inputs)]

    def _keep_output(self, name: str, message: Any) -> None:
        inputs = self._inputs.get(_stamp(message), {})
        if inputs.keys() != INPUTS.keys():
            return  # from before the subscription
        pair = self.pairs.setdefault(_stamp(message), ReceivedPair(inputs))
        pair.messages[name] = message
        pair.arrived = time.time()


def _stamp(message: Any) -> Stamp:
    stamp = message.header.stamp
    return stamp.sec, stamp.nanosec


def pixels(message: Image) -> np.ndarray:
    """Return a 32FC1 or mono8 image as (H, W), honoring its step."""
    kind = np.dtype({'32FC1': 'f4', 'mono8': 'u1'}[message.encoding])
    strides = (message.step, kind.itemsize)
    shape = (message.height, message.width)
    view: np.ndarray = np.ndarray(shape, kind, buffer=message.data, strides=strides)
    return view


def disparity(message: DisparityImage) -> np.ndarray:
    """Return the disparity in pixels (H, W), NaN where the message marks it as unknown."""
    values = pixels(message.image)
    known: np.ndarray = np.where(values >= message.min_disparity, values, np.float32(np.nan))
    return known


def read_cloud(message: PointCloud2) -> np.ndarray:
    """Return the known points (N, 4), float32: x, y, z in meters and the packed color."""
    points = read_points(message, field_names=('x', 'y', 'z', 'rgb'), skip_nans=False)
    fields = [np.asarray(points[name]).reshape(-1) for name in ('x', 'y', 'z', 'rgb')]
    records: np.ndarray = np.stack(fields, axis=1)
    known: np.ndarray = records[np.isfinite(records[:, 2])]
    return known


def colors_of(records: np.ndarray) -> np.ndarray:
    """Return the colors (N, 3), uint8 RGB, of what :func:`read_cloud` returned."""
    packed = np.ascontiguousarray(records[:, 3]).view(np.uint8).reshape(-1, 4)
    return packed[:, 2::-1]
