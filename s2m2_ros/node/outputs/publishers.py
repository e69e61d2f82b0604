"""The publishers of one camera's outputs: who subscribes, and what is let out."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from s2m2_ros.messages.output_topics import OUTPUT_TOPICS, MessageSource
from s2m2_ros.node.inputs.endpoints import Endpoint, Topic, publishers_of
from s2m2_ros.node.outputs.topic_types import STATS, TYPES
from s2m2_ros.node.parameter_values import ParameterError
from s2m2_ros.node.qos_overrides import unusable_overrides


class Publishers:
    """All output publishers of a lifecycle node.

    `on_subscriber_change` is called (in the executor's thread) when a subscriber comes or goes, if
    the ROS distribution reports that (`reports_subscribers`, from Iron on); elsewhere poll
    `wanted`. `types` are those of the messages, by topic.
    """

    def __init__(
        self,
        node: Any,
        on_subscriber_change: Callable[[], None],
        types: Mapping[str, type[Any]] = TYPES,
        *,
        depth: int = 1,
    ) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._open = False
        extra = _matched_event(on_subscriber_change)
        self.reports_subscribers = bool(extra)
        self._publishers: dict[str, Any] = {}
        try:
            for topic, kind in types.items():
                self._publishers[topic] = _publisher(node, kind, topic, depth, extra)
        except ParameterError:
            self.destroy()
            raise

    def wanted(self) -> frozenset[str]:
        """Return the topics with a subscriber, `stats` left out."""
        return frozenset(
            topic
            for topic, publisher in self._publishers.items()
            if topic != STATS and publisher.get_subscription_count()
        )

    def endpoints(self) -> dict[str, tuple[Endpoint, ...]]:
        """Return all publishers of each topic with a subscriber, by its full name."""
        names = [self._publishers[topic].topic_name for topic in sorted(self.wanted())]
        return {name: publishers_of(self._node, name) for name in names}

    def stats_subscribed(self) -> bool:
        """Return whether `stats` has a subscriber."""
        return STATS in self._publishers and bool(self._publishers[STATS].get_subscription_count())

    def open(self) -> None:
        """Let messages out from now on."""
        with self._lock:
            self._open = True

    def join_active_node(self, state: Any) -> None:
        """Do what a transition does for publishers that were there: these came after it."""
        for publisher in self._publishers.values():
            publisher.on_activate(state)

    def close(self) -> None:
        """Let no more messages out; returns when the one under way is out."""
        with self._lock:
            self._open = False

    def publish(self, topics: Collection[str], source: MessageSource) -> None:
        """Make and publish one message for each topic; nothing when closed."""
        for name, topic in OUTPUT_TOPICS.items():
            if name in topics:
                self.send(name, topic.build(source))

    def send(self, topic: str, message: Any) -> None:
        """Publish a message, unless closed, or shut down meanwhile."""
        with self._lock:
            if not self._open:
                return
            try:
                self._publishers[topic].publish(message)
            except Exception:
                if self._node.context.ok():
                    raise

    def destroy(self) -> None:
        """Take the topics away."""
        self.close()
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}


def _publisher(
    node: Any, kind: type[Any], topic: str, depth: int, extra: Mapping[str, Any]
) -> Any:
    name = _name(node, topic)
    try:
        return node.create_lifecycle_publisher(
            kind,
            name,
            output_profile(depth),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            **extra,
        )
    except Exception as error:  # rclpy's several classes, for overrides
        where = node.resolve_topic_name(name)
        raise ParameterError(unusable_overrides(where, 'publisher', error)) from error


def _name(node: Any, topic: str) -> str:
    """Return the name to publish with; that of another form follows its base's remapping."""
    base = OUTPUT_TOPICS[topic].base if topic in OUTPUT_TOPICS else ''
    if not base:
        return topic
    return Topic.resolve(node, base).copy(node, topic.removeprefix(base)).name


def output_profile(depth: int = 1) -> QoSProfile:
    """Return the quality of service of every output, unless it is overridden."""
    # A new one each time: rclpy writes the overrides into it.
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.RELIABLE
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
