"""Subscriptions that come and go, with the reliability that their publishers offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from s2m2_ros.node.statistics import RateMeter


@dataclass(frozen=True)
class Wanted:
    """A topic to subscribe to: the class of its messages and what is called with each."""

    kind: type[Any]
    callback: Callable[[Any], None]


@dataclass
class _Active:
    wanted: Wanted
    reliability: ReliabilityPolicy
    subscription: Any
    rate: RateMeter


class Subscriptions:
    """The newest message of each of some topics, and how many come."""

    def __init__(self, node: Node) -> None:
        """Begin without any."""
        self._node = node
        self._active: dict[str, _Active] = {}

    def follow(self, wanted: Mapping[str, Wanted]) -> None:
        """Subscribe to these topics, full names, and to no others."""
        for topic in set(self._active) - set(wanted):
            self._destroy(topic)
        for topic, what in wanted.items():
            reliability = self._offered(topic)
            active = self._active.get(topic)
            if active is not None and (active.wanted, active.reliability) == (what, reliability):
                continue
            if active is not None:
                self._destroy(topic)
            self._active[topic] = self._subscribe(topic, what, reliability)

    def rates(self) -> dict[str, float]:
        """Return the messages per second of each topic."""
        return {topic: active.rate.rate() for topic, active in self._active.items()}

    def _subscribe(self, topic: str, wanted: Wanted, reliability: ReliabilityPolicy) -> _Active:
        rate = RateMeter()

        def receive(message: Any) -> None:
            rate.tick()
            wanted.callback(message)

        profile = QoSProfile(depth=1, reliability=reliability)
        subscription = self._node.create_subscription(wanted.kind, topic, receive, profile)
        return _Active(wanted, reliability, subscription, rate)

    def _offered(self, topic: str) -> ReliabilityPolicy:
        """Return reliable if every publisher is: best effort loses large messages."""
        offered = {
            publisher.qos_profile.reliability
            for publisher in self._node.get_publishers_info_by_topic(topic)
        }
        if offered == {ReliabilityPolicy.RELIABLE}:
            return ReliabilityPolicy.RELIABLE
        return ReliabilityPolicy.BEST_EFFORT

    def _destroy(self, topic: str) -> None:
        self._node.destroy_subscription(self._active.pop(topic).subscription)
