"""The output topics: one table of name, type, what must be computed, and the message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s2m2_ros.geometry import Output
from s2m2_ros.messages import builders as messages
from s2m2_ros.messages import compressed_clouds
from s2m2_ros.messages.depth_encodings import METERS, compressed_depth_message
from s2m2_ros.pipeline import PairOutputs

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, PointCloud2
    from std_msgs.msg import Header

IMAGE = 'sensor_msgs/msg/Image'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
RECTIFIED_IMAGE = 'rectified/image'


@dataclass(frozen=True, eq=False)
class MessageSource:
    """What the messages of one pair are made from.

    They are of the library that `header` is of. `memory` is where the cloud was computed, if in
    the data of a message. `color_info` is the calibration of the outputs' target camera, as it
    came.
    """

    outputs: PairOutputs
    header: Header
    left_info: CameraInfo
    memory: messages.CloudMemory | None = None
    depth_encoding: str = METERS
    color_info: CameraInfo | None = None


@dataclass(frozen=True)
class OutputTopic:
    """One topic.

    Attributes:
        type_name: type of its messages, e.g. 'sensor_msgs/msg/Image'.
        needs: what must be computed for it.
        build: makes the message of a pair.
        description: for the documentation.
        base: the topic that this one is another form of; it is remapped with it.
        is_optional: whether the package of its type may be missing.
        packages: Python packages that it needs, and that may be missing.

    """

    type_name: str
    needs: frozenset[Output]
    build: Callable[[MessageSource], Any]
    description: str
    base: str = ''
    is_optional: bool = False
    packages: tuple[str, ...] = ()


def _host(source: MessageSource) -> Any:
    return source.outputs.host


def _cloud(source: MessageSource) -> PointCloud2:
    return messages.point_cloud_message(_host(source), source.header, source.memory)


def _left_info(source: MessageSource) -> CameraInfo:
    return messages.depth_camera_info(source.left_info, source.header)


def _compressed_cloud(name: str, description: str) -> OutputTopic:
    return OutputTopic(
        compressed_clouds.TYPE_NAME,
        frozenset({Output.POINTS}),
        lambda s: compressed_clouds.compressed_cloud_message(_cloud(s), name),
        description,
        base='points',
        is_optional=True,
        packages=compressed_clouds.COMPRESSIONS[name].needs,
    )


# A subscriber of any of these is a reason to match; STATS only reports the work done for others.
OUTPUT_TOPICS: Mapping[str, OutputTopic] = {
    'disparity': OutputTopic(
        'stereo_msgs/msg/DisparityImage',
        frozenset({Output.DISPARITY}),
        lambda s: messages.disparity_message(_host(s), s.header, resolution=s.outputs.resolution),
        '`d = x_left - x_right - (cx_left - cx_right)`, so `Z = f * T / d`; unknown is '
        '`min_disparity - 1`',
    ),
    'disparity/color': OutputTopic(
        IMAGE,
        frozenset({Output.DISPARITY}),
        lambda s: messages.disparity_color_message(_host(s), s.header),
        'bgr8, a picture for people: blue is far, red is near, black is unknown',
    ),
    'depth': OutputTopic(
        IMAGE,
        frozenset({Output.DEPTH}),
        lambda s: messages.depth_message(_host(s), s.header, s.depth_encoding),
        '32FC1, meters, NaN where unknown, or by `depth_encoding` 16UC1, millimeters, 0 where '
        'unknown (REP 118)',
    ),
    'depth/camera_info': OutputTopic(
        CAMERA_INFO,
        frozenset(),
        _left_info,
        'the calibration of the depth image: K is that of P, without distortion, whoever '
        'rectified the images; subscribing to it alone starts no matching',
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
        _cloud,
        'organized with NaN, or valid points only',
    ),
    RECTIFIED_IMAGE: OutputTopic(
        IMAGE,
        frozenset(),
        lambda s: messages.rectified_image_message(s.outputs.left_image, s.header),
        'the left image that depth belongs to, pixel by pixel: mono8 or rgb8, rectified here if '
        'the camera is raw; subscribing to it alone starts no matching',
    ),
    'rectified/camera_info': OutputTopic(
        CAMERA_INFO,
        frozenset(),
        _left_info,
        'the same as `depth/camera_info`, where subscribers to `rectified/image` look for it',
    ),
    'registered/depth': OutputTopic(
        IMAGE,
        frozenset({Output.REGISTERED_DEPTH}),
        lambda s: messages.registered_depth_message(_host(s), s.header),
        'depth as the camera of `color/camera_info` sees it, in its frame and of the size of its '
        'images: 32FC1, meters along its optical axis, NaN where unknown',
    ),
    'registered/camera_info': OutputTopic(
        CAMERA_INFO,
        frozenset(),
        lambda s: messages.registered_camera_info(_host(s), s.header, s.color_info),
        'the calibration of `registered/depth`; subscribing to it alone starts no matching',
    ),
    'points_clearing': OutputTopic(
        'sensor_msgs/msg/PointCloud2',
        frozenset({Output.POINTS_CLEARING}),
        lambda s: messages.clearing_message(_host(s), s.header),
        'a small cloud of x, y, z: where rays through free space end, at the surface or at '
        '`clearing_range`, floor and sky included; unknown pixels give none. To clear costmaps, '
        'never to mark them',
    ),
    'estimate': OutputTopic(
        's2m2_ros/msg/StereoEstimate',
        frozenset({Output.DISPARITY, Output.CONFIDENCE, Output.VISIBILITY}),
        lambda s: messages.estimate_message(_host(s), s.header, resolution=s.outputs.resolution),
        'disparity, confidence and visibility of one pair in one message',
    ),
    # Last, since they take time: the others are published by then.
    'depth/compressedDepth': OutputTopic(
        'sensor_msgs/msg/CompressedImage',
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


def needed_outputs(topics: Iterable[str]) -> set[Output]:
    """Return what must be computed for these topics; nothing for calibrations and images."""
    return {output for topic in topics for output in OUTPUT_TOPICS[topic].needs}
