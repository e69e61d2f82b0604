"""Filters with one output: the base class and the subscriber."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.qos import QoSProfile


class SimpleFilter:
    """Pass messages on to every registered callback, in the order of registration."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., object], *args: Any) -> int:  # noqa: N802
        """Call `cb(*messages, *args)` for each output; return the number of the connection."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:  # noqa: N802
        """Call every callback with the messages, in this thread."""
        for callback, args in tuple(self.callbacks.values()):
            callback(*msg, *args)


class Subscriber(SimpleFilter):
    """
    Subscribe to a topic and pass its messages on.

    The rclpy subscription is the attribute `sub`. Further keyword arguments (`callback_group`,
    `qos_overriding_options`, `event_callbacks`, ...) reach `Node.create_subscription`. Older
    releases of the real package take `qos_profile` by keyword only: write it so.
    """

    def __init__(
        self,
        node: Node,
        msg_type: type[Any],
        topic: str,
        qos_profile: QoSProfile | int = 10,
        **create_subscription_arguments: Any,
    ) -> None:
        super().__init__()
        self.node = node
        self.topic = topic
        self.sub = node.create_subscription(
            msg_type, topic, self.callback, qos_profile, **create_subscription_arguments
        )

    def callback(self, msg: Any) -> None:
        """Pass on one message."""
        self.signalMessage(msg)

    def getTopic(self) -> str:  # noqa: N802
        """Return the topic as it was given, neither expanded nor remapped."""
        return self.topic
