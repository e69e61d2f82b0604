"""The node as one of its cameras sees it: relative topics lie in a namespace of the camera."""

from __future__ import annotations

from typing import Any


class CameraNamespace:
    """Everything of a node, with the names of topics relative to a namespace below the node's.

    Subscriptions and publishers are the node's own, so remappings from the full names, or from
    names relative to the node such as `front/left/image_rect`, count.
    """

    def __init__(self, node: Any, name: str) -> None:
        self._node = node
        self._name = name
        # One object: rclpy ties severities and throttling to it.
        self._logger = node.get_logger().get_child(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    def get_logger(self) -> Any:
        """Return the logger of the camera, a child of the node's."""
        return self._logger

    def resolve_topic_name(self, topic: str, *, only_expand: bool = False) -> str:
        """Return the full name, remapped unless it is only to be expanded."""
        resolved: str = self._node.resolve_topic_name(self._inside(topic), only_expand=only_expand)
        return resolved

    def create_subscription(self, kind: Any, topic: str, *arguments: Any, **options: Any) -> Any:
        """Subscribe, as the node's method does."""
        return self._node.create_subscription(kind, self._inside(topic), *arguments, **options)

    def create_lifecycle_publisher(
        self, kind: Any, topic: str, *arguments: Any, **options: Any
    ) -> Any:
        """Make a publisher, as the node's method does."""
        inside = self._inside(topic)
        return self._node.create_lifecycle_publisher(kind, inside, *arguments, **options)

    def _inside(self, topic: str) -> str:
        return topic if topic.startswith(('/', '~')) else f'{self._name}/{topic}'
