"""The four input topics: what is subscribed, who publishes it, and why nothing arrives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from s2m2_ros.messages.pair_decoder import StereoTopics
from s2m2_ros.node.inputs.endpoints import Endpoint, Source, Topic, gid_of, publishers_of
from s2m2_ros.node.inputs.input_qos import REPORTS_MESSAGE_INFO, InputSubscription
from s2m2_ros.node.inputs.input_transport import (
    Choice,
    ImageTopics,
    choose,
    choose_info,
    explain_other_transports,
    type_name,
)
from s2m2_ros.node.inputs.sync_diagnosis import InputTopic

LEFT_IMAGE, RIGHT_IMAGE, LEFT_INFO, RIGHT_INFO = range(4)
IMAGES, INFOS = (LEFT_IMAGE, RIGHT_IMAGE), (LEFT_INFO, RIGHT_INFO)
IMAGE_NAMES = ('left/image_rect', 'right/image_rect')
INFO_NAMES = ('left/camera_info', 'right/camera_info')


class StereoInputs:
    """Subscribes to left and right images and calibrations, as they are published.

    `receive(index, message, gid)` gets every message and the identifier of its publisher, None
    if rclpy does not say. `on_change()` is called when a publisher comes or goes, where ROS
    reports that. Call `follow` then, and regularly: it subscribes again where needed.
    With `one_image` the left topic holds both views, and stands for the right one too.
    """

    def __init__(
        self,
        node: Any,
        receive: Callable[[int, Any, bytes | None], None],
        on_change: Callable[[], None],
        *,
        one_image: bool = False,
    ) -> None:
        self.one_image = one_image
        self._node = node
        self._receive = receive
        self._images = [ImageTopics.resolve(node, name) for name in IMAGE_NAMES]
        self._infos = [Topic.resolve(node, name) for name in INFO_NAMES]
        self._choices: list[Choice | None] = [None] * 4
        self._endpoints: list[tuple[Endpoint, ...]] = [()] * 4
        self._subscriptions = [
            InputSubscription(node, self._callback(index), on_change, latched=index in INFOS)
            for index in range(4)
        ]
        self.topics = [InputTopic('') for _ in range(4)]
        if one_image:
            self.topics[RIGHT_IMAGE] = self.topics[LEFT_IMAGE]

    @property
    def names(self) -> StereoTopics:
        """The topics as they are subscribed now."""
        return StereoTopics(*(topic.name for topic in self.topics))

    @property
    def images(self) -> list[InputTopic]:
        """The topics of images: two, or one that holds both views."""
        return self.topics[:1] if self.one_image else self.topics[:2]

    def endpoints(self, index: int) -> tuple[Endpoint, ...]:
        """Return the publishers of an input as of the last `follow`."""
        return self._endpoints[self._subscribed(index)]

    def subscription(self, index: int) -> InputSubscription:
        """Return the subscription of an input."""
        return self._subscriptions[self._subscribed(index)]

    def _subscribed(self, index: int) -> int:
        return LEFT_IMAGE if self.one_image and index == RIGHT_IMAGE else index

    def identify(self, index: int, gid: bytes | None) -> bytes | None:
        """Return a publisher's identifier as the graph has it.

        Some middlewares give messages another one, or none: a single publisher is clear anyway.
        """
        known = [endpoint.gid for endpoint in self.endpoints(index)]
        return known[0] if len(known) == 1 and gid not in known else gid

    def published_by(self, source: Source | None, index: int) -> frozenset[bytes]:
        """Return the identifiers of a node's publishers of this input."""
        return frozenset(e.gid for e in self.endpoints(index) if e.source == source)

    def follow(self, transport: str) -> set[int]:
        """Subscribe as the publishers and `image_transport` require; return what is new."""
        for index in IMAGES[: len(self.images)]:
            topics = self._images[index]
            found = [publishers_of(self._node, topic.full) for topic in topics]
            choice = choose(transport, topics, *found)
            if not (any(found[:2]) or choice.problem or choice.remark):
                choice = replace(choice, problem=explain_other_transports(self._node, topics))
            self._choose(index, choice)
        for index, topic in zip(INFOS, self._infos, strict=True):
            self._choose(index, choose_info(topic, publishers_of(self._node, topic.full)))
        return {index for index in range(4) if self._subscribe(index)}

    def close(self) -> None:
        """Unsubscribe from all."""
        for subscription in self._subscriptions:
            subscription.close()

    def _choose(self, index: int, choice: Choice) -> None:
        before = self._choices[index]
        if choice.remark and (before is None or before.remark != choice.remark):
            self._node.get_logger().info(choice.remark)
        self._choices[index] = choice
        wanted = type_name(choice.kind)
        self._endpoints[index] = tuple(e for e in choice.publishers if e.kind == wanted)
        topic = self.topics[index]
        topic.name, topic.problem = choice.topic.full, choice.problem
        topic.publishers = len(self._endpoints[index])

    def _subscribe(self, index: int) -> bool:
        choice = self._choices[index]
        return choice is not None and self._subscriptions[index].follow(
            choice.kind, choice.topic, self._endpoints[index]
        )

    def _callback(self, index: int) -> Callable[..., None]:
        if not REPORTS_MESSAGE_INFO:
            return lambda message: self._receive(index, message, None)
        return lambda message, info: self._receive(index, message, gid_of(info))
