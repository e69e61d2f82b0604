"""Transforms that never change, for present and later subscribers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage


class StaticTransformBroadcaster:
    """Publishes on /tf_static, every time all that it was ever given."""

    def __init__(self, node: Any, qos: QoSProfile | int | None = None) -> None:
        lasting = QoSProfile(
            depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, history=HistoryPolicy.KEEP_LAST
        )
        self.pub_tf = node.create_publisher(TFMessage, '/tf_static', qos or lasting)
        self.net_transforms: dict[str, TransformStamped] = {}

    def sendTransform(  # noqa: N802
        self, transform: TransformStamped | Iterable[TransformStamped]
    ) -> None:
        """Publish one transform or several; a later one of the same child replaces it."""
        given = [transform] if isinstance(transform, TransformStamped) else list(transform)
        self.net_transforms |= {one.child_frame_id: one for one in given}
        self.pub_tf.publish(TFMessage(transforms=list(self.net_transforms.values())))
