"""The output topics: who listens, and the messages that they get."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from stereo_msgs.msg import DisparityImage

from s2m2_ros.geometry import HostOutputs, Output
from s2m2_ros.msg import InferenceStats, StereoEstimate
from s2m2_ros.node import messages

STATS = 'stats'
POINTS = 'points'

TYPES: dict[str, type[Any]] = {
    'disparity': DisparityImage,
    'depth': Image,
    'depth/camera_info': CameraInfo,
    'confidence': Image,
    'confidence_mask': Image,
    'occlusion_mask': Image,
    POINTS: PointCloud2,
    'estimate': StereoEstimate,
    STATS: InferenceStats,
}


@dataclass(frozen=True, eq=False)
class Content:
    """What the messages of one pair are made from.

    `resolution` is that of the disparity, `memory` is where the cloud was computed.
    """

    outputs: HostOutputs | None
    left_info: CameraInfo
    header: Header
    resolution: float
    memory: messages.CloudMemory


# Every one of these topics is a reason to work; stats only tells of the work for others.
BUILDERS: dict[str, Callable[[Content], Any]] = {
    'disparity': lambda c: messages.disparity_message(
        _outputs(c), c.header, resolution=c.resolution
    ),
    'depth': lambda c: messages.depth_message(_outputs(c), c.header),
    'depth/camera_info': lambda c: messages.depth_camera_info(c.left_info, c.header),
    'confidence': lambda c: messages.confidence_message(_outputs(c), c.header),
    'confidence_mask': lambda c: messages.confidence_mask_message(_outputs(c), c.header),
    'occlusion_mask': lambda c: messages.occlusion_mask_message(_outputs(c), c.header),
    POINTS: lambda c: messages.point_cloud_message(_outputs(c), c.header, c.memory),
    'estimate': lambda c: messages.estimate_message(
        _outputs(c), c.header, resolution=c.resolution
    ),
}


def needed_outputs(topics: Iterable[str]) -> set[Output]:
    """Return what must be computed for these topics; nothing for `depth/camera_info` alone."""
    return {output for topic in topics for output in messages.TOPIC_OUTPUTS[topic]}


class Publishers:
    """All output publishers of a lifecycle node.

    `on_listener_change` is called (in the executor's thread) when a listener comes or goes, if
    the ROS distribution tells (`tells_of_listeners`, from Iron on); elsewhere poll `wanted`.
    """

    def __init__(self, node: Any, on_listener_change: Callable[[], None]) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._open = False
        extra = _matched_event(on_listener_change)
        self.tells_of_listeners = bool(extra)
        self._publishers = {
            topic: node.create_lifecycle_publisher(
                kind,
                topic,
                _profile(),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                **extra,
            )
            for topic, kind in TYPES.items()
        }

    def wanted(self) -> frozenset[str]:
        """Return the topics with a listener, `stats` left out."""
        publishers = self._publishers
        return frozenset(t for t in BUILDERS if publishers[t].get_subscription_count())

    def open(self) -> None:
        """Let messages out from now on."""
        with self._lock:
            self._open = True

    def close(self) -> None:
        """Let no more messages out; returns when the one under way is out."""
        with self._lock:
            self._open = False

    def publish(self, topics: Collection[str], content: Content) -> None:
        """Make and publish one message for each topic; nothing when closed."""
        for topic, build in BUILDERS.items():
            if topic in topics:
                self.send(topic, build(content))

    def send(self, topic: str, message: Any) -> None:
        """Publish a message, unless closed."""
        with self._lock:
            if self._open:
                self._publishers[topic].publish(message)

    def destroy(self) -> None:
        """Take the topics away."""
        self.close()
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}


def _outputs(content: Content) -> HostOutputs:
    if content.outputs is None:
        raise ValueError('nothing was computed for this topic')
    return content.outputs


def _profile() -> QoSProfile:
    # A new one each time: rclpy writes the overrides into it.
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE
    )


def _matched_event(callback: Callable[[], None]) -> dict[str, Any]:
    """Return the argument of create_publisher that asks for matched events, if there are such."""
    try:
        from rclpy.event_handler import PublisherEventCallbacks
    except ImportError:  # Humble
        return {}
    if 'matched' not in inspect.signature(PublisherEventCallbacks.__init__).parameters:
        return {}
    return {'event_callbacks': PublisherEventCallbacks(matched=lambda _event: callback())}
