"""A subscription that asks for the quality of service its publishers offer."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from message_filters import Subscriber
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from s2m2_ros.node.inputs.endpoints import Endpoint, Topic, quality_in_words
from s2m2_ros.node.parameter_values import ParameterError
from s2m2_ros.node.qos_overrides import overridden_policies, unusable_overrides

# That of ROS 2's profile for sensors: room for what arrives while this process is busy. With less,
# left and right lose different images.
DEPTH, DEEPEST = 5, 8
# So many packets of video may wait: each that is lost costs the pictures until the next key frame.
DEPTH_IN_ORDER = 30
# The publisher may learn of a new subscription this many seconds after the subscription of it.
LATEST_MATCH = 5.0
# Before Iron rclpy calls back with the message alone.
REPORTS_MESSAGE_INFO = hasattr(Subscription, 'CallbackType')
# Who sets one of these knows the publisher; the rest has nothing to do with matching.
FIXES_QUALITY = {QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY}


@dataclass(frozen=True)
class Quality:
    """Reliability, durability and depth of a subscription."""

    reliable: bool = False
    transient_local: bool = False
    depth: int = DEPTH

    def __str__(self) -> str:
        return quality_in_words(self.reliable, self.transient_local)

    def receives(self, publisher: Endpoint) -> bool:
        """Return whether DDS lets this subscription receive from the publisher."""
        return (publisher.reliable or not self.reliable) and (
            publisher.transient_local or not self.transient_local
        )


def matching_quality(publishers: Iterable[Endpoint], *, latched: bool) -> Quality:
    """Return the best quality that every publisher offers; best effort if there is none.

    `latched` asks for the last message sent before the subscription, where it is kept.
    """
    known = list(publishers)
    if not known:
        return Quality()  # matches any publisher
    return Quality(
        reliable=all(publisher.reliable for publisher in known),
        transient_local=latched and all(publisher.transient_local for publisher in known),
        # Room for one message of each: they would replace each other before they are read.
        depth=min(max(len(known), DEPTH), DEEPEST),
    )


class _InputFilter(Subscriber):  # type: ignore[misc]  # message_filters has no types
    """A subscription as a filter of message_filters, which passes the message info on too."""

    if REPORTS_MESSAGE_INFO:

        def callback(self, message: Any, message_info: Any) -> None:
            """Pass both on; rclpy gives what the signature asks for."""
            self.signalMessage(message, message_info)


class InputSubscription:
    """Subscribes to one input, again whenever type, topic or the offered quality changes.

    `callback(message, message_info)` gets the messages; `on_graph_change()` is called when a
    publisher comes or goes, where ROS reports that (from Iron on). With `latched` the former
    subscription stays until the new one has received a message, or for `LATEST_MATCH` seconds: a
    message sent just once is not lost.
    """

    def __init__(
        self,
        node: Any,
        callback: Callable[[Any, Any], None],
        on_graph_change: Callable[[], None],
        *,
        latched: bool,
    ) -> None:
        self._node = node
        self._callback = callback
        self._on_graph_change = on_graph_change
        self._latched = latched
        self._subscription: Any = None
        self._retired: Any = None
        self._subscribed_at = 0.0
        self._receives = False
        self.in_order = False
        """Whether every message counts, not the newest alone."""
        self.kind: type[Any] | None = None
        self._overridden: frozenset[QoSPolicyKind] = frozenset()
        self.topic = Topic('', '')
        self.quality = Quality()

    @property
    def fixed(self) -> bool:
        """Whether the user's qos_overrides decide, not the publishers."""
        return bool(self._overridden & FIXES_QUALITY)

    def follow(self, kind: type[Any], topic: Topic, publishers: Sequence[Endpoint]) -> bool:
        """Subscribe to `topic` as its publishers offer; True if that was new."""
        if self._receives or time.monotonic() - self._subscribed_at >= LATEST_MATCH:
            self._retire(None)
        same = self._subscription is not None and (kind, topic) == (self.kind, self.topic)
        if same and self.fixed:
            return False
        quality = matching_quality(publishers, latched=self._latched)
        if self.in_order:
            quality = replace(quality, depth=DEPTH_IN_ORDER)
        if same and quality == self.quality:
            return False
        if same and self._latched:
            self._retire(self._subscription)
        else:
            self._retire(None)
            self._destroy(self._subscription)
            self._overridden = overridden_policies(self._node, topic.full)
        self.kind, self.topic = kind, topic
        self._subscribe(quality)
        return True

    def close(self) -> None:
        """Unsubscribe."""
        self._retire(None)
        self._destroy(self._subscription)
        self._subscription = None

    def _retire(self, former: Any) -> None:
        self._destroy(self._retired)
        self._retired = former

    def _take(self, subscription: Any, *arguments: Any) -> None:
        """Pass a message on; once the new subscription receives, the former one is a copy."""
        if subscription is self._subscription:
            self._receives = True
        elif self._receives:
            return
        self._callback(*arguments)

    def _destroy(self, subscription: Any) -> None:
        if subscription is not None:
            self._node.destroy_subscription(subscription.sub)

    def _subscribe(self, quality: Quality) -> None:
        profile = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=quality.depth,
            reliability=(
                ReliabilityPolicy.RELIABLE if quality.reliable else ReliabilityPolicy.BEST_EFFORT
            ),
            durability=(
                DurabilityPolicy.TRANSIENT_LOCAL
                if quality.transient_local
                else DurabilityPolicy.VOLATILE
            ),
        )
        # Only what the user has set: a declared parameter would fix the first choice forever.
        overriding = QoSOverridingOptions(sorted(self._overridden))
        try:
            made = _InputFilter(
                self._node,
                self.kind,
                self.topic.name,
                qos_profile=profile,
                qos_overriding_options=overriding,
                **_events(self._on_graph_change),
            )
        except Exception as error:  # rclpy's several classes, for overrides
            text = unusable_overrides(self.topic.full, 'subscription', error)
            raise ParameterError(text) from error
        made.registerCallback(lambda *arguments: self._take(made, *arguments))
        self._subscription, self._receives = made, False
        self._subscribed_at = time.monotonic()
        # rclpy has written the overrides into the profile.
        self.quality = Quality(
            profile.reliability == ReliabilityPolicy.RELIABLE,
            profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
            quality.depth,
        )


def _events(callback: Callable[[], None]) -> dict[str, Any]:
    """Return the argument of create_subscription that reports changes of the publishers."""
    try:
        from rclpy.event_handler import SubscriptionEventCallbacks
    except ImportError:  # Humble
        return {}
    if 'matched' not in inspect.signature(SubscriptionEventCallbacks.__init__).parameters:
        return {}
    return {'event_callbacks': SubscriptionEventCallbacks(matched=lambda _event: callback())}
