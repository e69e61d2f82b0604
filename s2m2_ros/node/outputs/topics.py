"""The output topics: one table of name, type, what must be computed, and the message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from stereo_msgs.msg import DisparityImage

from s2m2_ros.geometry import Output
from s2m2_ros.msg import InferenceStats, StereoEstimate
from s2m2_ros.node.outputs import compressed_clouds, messages
from s2m2_ros.node.outputs.depth_encodings import METERS, compressed_depth_message
from s2m2_ros.pipeline import PairOutputs


@dataclass(frozen=True, eq=False)
class MessageSource:
    """What the messages of one pair are made from; `memory` is where the cloud was computed.

    `color_info` is the calibration of the outputs' target camera, as it came.
    """

    outputs: PairOutputs
    header: Header
    left_info: CameraInfo
    memory: messages.CloudMemory
    depth_encoding: str = METERS
    color_info: CameraInfo | None = None


@dataclass(frozen=True)
class OutputTopic:
    """One topic.

    Attributes:
        kind: type of its messages; None if its package, which is optional, is missing.
        needs: what must be computed for it.
        build: makes the message of a pair.
        description: for the documentation.
        base: the topic that this one is another form of; it is remapped with it.
        optional_type: `package/Type`, where that package is optional.

    """

    kind: type[Any] | None
    needs: frozenset[Output]
    build: Callable[[MessageSource], Any]
    description: str
    base: str = ''
    optional_type: str = ''


def _host(source: MessageSource) -> Any:
    return source.outputs.host


def _cloud(source: MessageSource) -> PointCloud2:
    return messages.point_cloud_message(_host(source), source.header, source.memory)


def _compressed_cloud(name: str, description: str) -> OutputTopic:
    return OutputTopic(
        compressed_clouds.message_class(name),
        frozenset({Output.POINTS}),
        lambda s: compressed_clouds.compressed_cloud_message(_cloud(s), name),
        description,
        base='points',
        optional_type=compressed_clouds.TYPE_NAME,
    )


# A subscriber of any of these is a reason to match; STATS only reports the work done for others.
OUTPUT_TOPICS: Mapping[str, OutputTopic] = {
    'disparity': OutputTopic(
        DisparityImage,
        frozenset({Output.DISPARITY}),
        lambda s: messages.disparity_message(_host(s), s.header, resolution=s.outputs.resolution),
        '`d = x_left - x_right - (cx_left - cx_right)`, so `Z = f * T / d`; unknown is '
        '`min_disparity - 1`',
    ),
    'disparity/color': OutputTopic(
        Image,
        frozenset({Output.DISPARITY}),
        lambda s: messages.disparity_color_message(_host(s), s.header),
        'bgr8, a picture for people: blue is far, red is near, black is unknown',
    ),
    'depth': OutputTopic(
        Image,
        frozenset({Output.DEPTH}),
        lambda s: messages.depth_message(_host(s), s.header, s.depth_encoding),
        '32FC1, meters, NaN where unknown, or by `depth_encoding` 16UC1, millimeters, 0 where '
        'unknown (REP 118)',
    ),
    'depth/camera_info': OutputTopic(
        CameraInfo,
        frozenset(),
        lambda s: messages.depth_camera_info(s.left_info, s.header, rectified=s.outputs.rectified),
        'the calibration of the depth image; subscribing to it alone starts no matching',
    ),
    'depth/uncertainty': OutputTopic(
        Image,
        frozenset({Output.UNCERTAINTY}),
        lambda s: messages.uncertainty_message(_host(s), s.header),
        '32FC1, standard deviation of the depth in meters, NaN where unknown',
    ),
    'confidence': OutputTopic(
        Image,
        frozenset({Output.CONFIDENCE}),
        lambda s: messages.confidence_message(_host(s), s.header),
        '32FC1, probability that the error is under 4 px',
    ),
    'confidence_mask': OutputTopic(
        Image,
        frozenset({Output.CONFIDENCE_MASK}),
        lambda s: messages.confidence_mask_message(_host(s), s.header),
        'mono8, 255 = trusted',
    ),
    'occlusion_mask': OutputTopic(
        Image,
        frozenset({Output.OCCLUSION_MASK}),
        lambda s: messages.occlusion_mask_message(_host(s), s.header),
        'mono8, 255 = occluded',
    ),
    'points': OutputTopic(
        PointCloud2,
        frozenset({Output.POINTS}),
        _cloud,
        'organized with NaN, or valid points only',
    ),
    'registered/depth': OutputTopic(
        Image,
        frozenset({Output.REGISTERED_DEPTH}),
        lambda s: messages.registered_depth_message(_host(s), s.header),
        'depth as the camera of `color/camera_info` sees it, in its frame and of the size of its '
        'images: 32FC1, meters along its optical axis, NaN where unknown',
    ),
    'registered/camera_info': OutputTopic(
        CameraInfo,
        frozenset(),
        lambda s: messages.registered_camera_info(_host(s), s.header, s.color_info),
        'the calibration of `registered/depth`; subscribing to it alone starts no matching',
    ),
    'points_clearing': OutputTopic(
        PointCloud2,
        frozenset({Output.POINTS_CLEARING}),
        lambda s: messages.clearing_message(_host(s), s.header),
        'a small cloud of x, y, z: where rays through free space end, at the surface or at '
        '`clearing_range`, floor and sky included; unknown pixels give none. To clear costmaps, '
        'never to mark them',
    ),
    'estimate': OutputTopic(
        StereoEstimate,
        frozenset({Output.DISPARITY, Output.CONFIDENCE, Output.VISIBILITY}),
        lambda s: messages.estimate_message(_host(s), s.header, resolution=s.outputs.resolution),
        'disparity, confidence and visibility of one pair in one message',
    ),
    # Last, since they take time: the others are published by then.
    'depth/compressedDepth': OutputTopic(
        CompressedImage,
        frozenset({Output.DEPTH}),
        lambda s: compressed_depth_message(_host(s), s.header, s.depth_encoding),
        '`depth` as PNG, as image_transport subscribes to it (`compressedDepth`)',
        base='depth',
    ),
    'points/zstd': _compressed_cloud(
        'zstd', '`points` as point_cloud_transport subscribes to it (`zstd`); see below'
    ),
    'points/zlib': _compressed_cloud(
        'zlib', '`points` as point_cloud_transport subscribes to it (`zlib`); see below'
    ),
}
REGISTERED = frozenset({'registered/depth', 'registered/camera_info'})
# The topics that go into `points_frame`.
CLOUDS = frozenset(
    name
    for name, topic in OUTPUT_TOPICS.items()
    if topic.needs & {Output.POINTS, Output.POINTS_CLEARING}
)
STATS = 'stats'
STATS_DESCRIPTION = (
    'timings and counters of each processed pair; subscribing to it alone starts no matching'
)
# Of what is published; optional packages may be missing.
TYPES: Mapping[str, type[Any]] = {
    **{name: topic.kind for name, topic in OUTPUT_TOPICS.items() if topic.kind is not None},
    STATS: InferenceStats,
}


def needed_outputs(topics: Iterable[str]) -> set[Output]:
    """Return what must be computed for these topics; nothing for `depth/camera_info` alone."""
    return {output for topic in topics for output in OUTPUT_TOPICS[topic].needs}
