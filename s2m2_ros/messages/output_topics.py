"""The output topics: one table of name, type, what must be computed, and the message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s2m2_ros.geometry import Output
from s2m2_ros.messages import builders as messages
from s2m2_ros.pipeline import PairOutputs

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo
    from std_msgs.msg import Header

IMAGE = 'sensor_msgs/msg/Image'


@dataclass(frozen=True, eq=False)
class MessageSource:
    """What the messages of one pair are made from.

    They are of the library that `header` is of. `memory` is where the cloud was computed, if in
    the data of a message.
    """

    outputs: PairOutputs
    header: Header
    left_info: CameraInfo
    memory: messages.CloudMemory | None = None


@dataclass(frozen=True)
class OutputTopic:
    """One topic.

    Attributes:
        type_name: type of its messages, e.g. 'sensor_msgs/msg/Image'.
        needs: what must be computed for it.
        build: makes the message of a pair.
        description: for the documentation.

    """

    type_name: str
    needs: frozenset[Output]
    build: Callable[[MessageSource], Any]
    description: str


def _host(source: MessageSource) -> Any:
    return source.outputs.host


# A subscriber of any of these is a reason to match; STATS only reports the work done for others.
OUTPUT_TOPICS: Mapping[str, OutputTopic] = {
    'disparity': OutputTopic(
        'stereo_msgs/msg/DisparityImage',
        frozenset({Output.DISPARITY}),
        lambda s: messages.disparity_message(_host(s), s.header, resolution=s.outputs.resolution),
        '`d = x_left - x_right - (cx_left - cx_right)`, so `Z = f * T / d`; unknown is '
        '`min_disparity - 1`',
    ),
    'depth': OutputTopic(
        IMAGE,
        frozenset({Output.DEPTH}),
        lambda s: messages.depth_message(_host(s), s.header),
        '32FC1, meters, NaN where unknown (REP 118)',
    ),
    'depth/camera_info': OutputTopic(
        'sensor_msgs/msg/CameraInfo',
        frozenset(),
        lambda s: messages.depth_camera_info(s.left_info, s.header, rectified=s.outputs.rectified),
        'the calibration of the depth image; subscribing to it alone starts no matching',
    ),
    'depth/uncertainty': OutputTopic(
        IMAGE,
        frozenset({Output.UNCERTAINTY}),
        lambda s: messages.uncertainty_message(_host(s), s.header),
        '32FC1, standard deviation of the depth in meters, NaN where unknown',
    ),
    'confidence': OutputTopic(
        IMAGE,
        frozenset({Output.CONFIDENCE}),
        lambda s: messages.confidence_message(_host(s), s.header),
        '32FC1, probability that the error is under 4 px',
    ),
    'confidence_mask': OutputTopic(
        IMAGE,
        frozenset({Output.CONFIDENCE_MASK}),
        lambda s: messages.confidence_mask_message(_host(s), s.header),
        'mono8, 255 = trusted',
    ),
    'occlusion_mask': OutputTopic(
        IMAGE,
        frozenset({Output.OCCLUSION_MASK}),
        lambda s: messages.occlusion_mask_message(_host(s), s.header),
        'mono8, 255 = occluded',
    ),
    'points': OutputTopic(
        'sensor_msgs/msg/PointCloud2',
        frozenset({Output.POINTS}),
        lambda s: messages.point_cloud_message(_host(s), s.header, s.memory),
        'organized with NaN, or valid points only',
    ),
    'estimate': OutputTopic(
        's2m2_ros/msg/StereoEstimate',
        frozenset({Output.DISPARITY, Output.CONFIDENCE, Output.VISIBILITY}),
        lambda s: messages.estimate_message(_host(s), s.header, resolution=s.outputs.resolution),
        'disparity, confidence and visibility of one pair in one message',
    ),
}
POINTS = 'points'


def needed_outputs(topics: Iterable[str]) -> set[Output]:
    """Return what must be computed for these topics; nothing for `depth/camera_info` alone."""
    return {output for topic in topics for output in OUTPUT_TOPICS[topic].needs}
