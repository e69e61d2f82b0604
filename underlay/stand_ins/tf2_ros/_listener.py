"""From the topics into a buffer."""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from ._buffer import Buffer

DEPTH = 100


class TransformListener:
    """Fills a buffer from /tf and /tf_static; the node must be spun."""

    def __init__(
        self,
        buffer: Buffer,
        node: Any,
        *,
        spin_thread: bool = False,
        qos: QoSProfile | int | None = None,
        static_qos: QoSProfile | int | None = None,
    ) -> None:
        if spin_thread:
            raise NotImplementedError('the stand-in spins no thread: spin the node')
        self.buffer, self.node = buffer, node
        self.group = ReentrantCallbackGroup()
        lasting = QoSProfile(
            depth=DEPTH,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
            history=HistoryPolicy.KEEP_LAST,
        )
        self.tf_sub = node.create_subscription(
            TFMessage, '/tf', self.callback, qos or DEPTH, callback_group=self.group
        )
        self.tf_static_sub = node.create_subscription(
            TFMessage,
            '/tf_static',
            self.static_callback,
            static_qos or lasting,
            callback_group=self.group,
        )

    def callback(self, data: TFMessage) -> None:
        """Take in transforms that hold at their timestamps."""
        for transform in data.transforms:
            self.buffer.set_transform(transform, 'default_authority')

    def static_callback(self, data: TFMessage) -> None:
        """Take in transforms that hold forever."""
        for transform in data.transforms:
            self.buffer.set_transform_static(transform, 'default_authority')

    def unregister(self) -> None:
        """Unsubscribe from both topics."""
        self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)
