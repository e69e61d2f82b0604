"""Where the two cameras stand, as static transforms."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from tf_transformations import quaternion_from_euler

from s2m2_ros.geometry import CalibrationError
from s2m2_ros.io.ros_calibration import stereo_camera
from s2m2_ros.player.ros_messages import PlayedMessages

# REP 103: a body frame looks along x with z up, an optical frame along z with y down.
BODY_TO_OPTICAL = (-math.pi / 2, 0.0, -math.pi / 2)


def camera_transforms(
    parent_frame: str, left_info: CameraInfo, right_info: CameraInfo
) -> list[TransformStamped]:
    """Return the left camera in its parent (REP 103 body frame) and the right one in the left.

    Raises :class:`~s2m2_ros.geometry.CalibrationError` for calibrations that are not of a pair.
    """
    baseline = stereo_camera(left_info, right_info).baseline
    left_frame, right_frame = left_info.header.frame_id, right_info.header.frame_id
    transforms = [
        _transform(parent_frame, left_frame, 0.0, quaternion_from_euler(*BODY_TO_OPTICAL))
    ]
    if right_frame != left_frame:  # some drivers give both images the left frame
        transforms.append(_transform(left_frame, right_frame, baseline, (0.0, 0.0, 0.0, 1.0)))
    return transforms


def broadcast(node: Node, parent_frame: str, messages: PlayedMessages) -> Any:
    """Publish the transforms of a pair and return the broadcaster, which must be kept.

    Returns None, and says so in the log, where tf2_ros is not installed or the calibration is not
    one of a rectified pair.
    """
    try:
        from tf2_ros import StaticTransformBroadcaster
    except ImportError:
        node.get_logger().info('no static transforms: tf2_ros is not installed')
        return None
    try:
        transforms = camera_transforms(parent_frame, messages.left_info, messages.right_info)
    except CalibrationError as error:
        node.get_logger().warning(f'no static transforms: {error}')
        return None
    for transform in transforms:
        transform.header.stamp = node.get_clock().now().to_msg()
    broadcaster = StaticTransformBroadcaster(node)
    broadcaster.sendTransform(transforms)
    return broadcaster


def _transform(parent: str, child: str, x: float, quaternion: Iterable[float]) -> TransformStamped:
    transform = TransformStamped()
    transform.header.frame_id, transform.child_frame_id = parent, child
    transform.transform.translation.x = x
    rotation = transform.transform.rotation
    rotation.x, rotation.y, rotation.z, rotation.w = (float(value) for value in quaternion)
    return transform
