"""The camera beside the stereo pair (color beside infrared): its calibration and latest images.

Messages arrive in the executor's thread; the worker asks for what belongs to a pair.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.node.faults import Fault, FaultLog
from s2m2_ros.node.inputs.delivery import explain_image_loss, explain_mismatch
from s2m2_ros.node.inputs.endpoints import Endpoint, Topic, node_names, publishers_of
from s2m2_ros.node.inputs.frames import FrameWatch
from s2m2_ros.node.inputs.input_qos import InputSubscription
from s2m2_ros.node.inputs.input_transport import (
    Choice,
    ImageTopics,
    choose,
    choose_info,
    type_name,
)
from s2m2_ros.node.inputs.pairing import TimedImage
from s2m2_ros.node.inputs.sync_diagnosis import InputTopic, explain_missing
from s2m2_ros.node.wait_budget import WaitBudget
from s2m2_ros.text_safety import safe_text

IMAGE_NAME, INFO_NAME = 'color/image_rect', 'color/camera_info'
# Images that are kept, to find the one of a pair's moment, and the bytes that they may take.
RECENT, LARGEST_KEPT = 8, 64 * 2**20
# Seconds that a pair waits for the image of its moment, if images come at all.
IMAGE_WAIT = 0.1
# So many seconds after subscribing nothing is missing yet: it is still being found.
START_UP = 3.0
# Images that have not come for so many seconds do not come at all.
STOPPED = 1.0
VIDEO = 'video is decoded for left and right images only: republish it as {} or compressed'


class ImageTimeline:
    """The latest images of a camera by timestamp; any thread."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._images: deque[TimedImage] = deque(maxlen=RECENT)
        self._arrived_at = float('-inf')
        self._waits = WaitBudget()

    def add(self, image: TimedImage) -> None:
        """Keep an image; forget all others if time jumped back."""
        with self._arrived:
            if self._images and image.stamp < self._images[-1].stamp:
                self._images.clear()
            self._images.append(image)
            while len(self._images) > 1 and sum(i.size for i in self._images) > LARGEST_KEPT:
                self._images.popleft()
            self._arrived_at = time.monotonic()
            self._arrived.notify_all()

    def clear(self) -> None:
        """Forget all images; whoever waits for one gets none."""
        with self._arrived:
            self._images.clear()
            self._arrived_at = float('-inf')
            self._arrived.notify_all()

    def nearest(self, stamp: int, timeout: float = IMAGE_WAIT) -> TimedImage | None:
        """Return the image whose timestamp is nearest, in nanoseconds; None if there is none.

        Waits at most `timeout` seconds while a nearer one may still come. If none came in
        time lately, as from a camera whose clock is behind, few pairs wait.
        """
        with self._arrived:
            timeout = self._waits.limit(timeout)
            deadline = time.monotonic() + timeout
            while True:
                found = min(self._images, key=lambda i: abs(i.stamp - stamp), default=None)
                now = time.monotonic()
                if now - self._arrived_at > STOPPED:
                    return found
                final = self._is_final(found, stamp)
                if final or now >= deadline:
                    if final or timeout:
                        self._waits.report(found=final)
                    return found
                self._arrived.wait(deadline - now)

    def _is_final(self, found: TimedImage | None, stamp: int) -> bool:
        """Return whether no image to come can be nearer."""
        if found is None:
            return False
        stamps = [image.stamp for image in self._images]
        if stamps[-1] >= stamp:
            return True
        periods = [b - a for a, b in itertools.pairwise(stamps)]
        return bool(periods) and 2 * (stamp - found.stamp) <= min(periods)


class ColorCamera:
    """Subscribes to the camera beside the pair, as it is published; images only on demand.

    Attributes:
        topics: what arrived on calibration and image, subscribed or not.
        timeline: its images.
        image_is_named: whether the name of the image topic means anything: remapped, or published.

    """

    def __init__(self, node: Any, faults: FaultLog) -> None:
        self.topics = (InputTopic(''), InputTopic(''))
        self.timeline = ImageTimeline()
        self._node = node
        self._faults = faults
        self._frames = FrameWatch(faults)
        self._names = ImageTopics.resolve(node, IMAGE_NAME)
        self._info_name = Topic.resolve(node, INFO_NAME)
        self._info: CameraInfo | None = None
        self._endpoints: tuple[tuple[Endpoint, ...], ...] = ((), ())
        self._subscriptions = (
            InputSubscription(node, self._guarded(self._take_info), self._changed, latched=True),
            InputSubscription(node, self._guarded(self._take_image), self._changed, latched=False),
        )
        self._transport = 'auto'
        self._with_images = False
        self._image_bytes: int | None = None
        self._closed = False
        self._began_at = time.monotonic()
        usual = node.resolve_topic_name(IMAGE_NAME, only_expand=True)
        self._is_remapped = self.image_topic != usual
        self.image_is_named = self._is_remapped

    @property
    def info(self) -> CameraInfo | None:
        """The newest calibration; any thread."""
        return self._info

    @property
    def subscribed(self) -> tuple[InputTopic, ...]:
        """What is subscribed: the calibration, and maybe the image."""
        return self.topics if self._with_images else self.topics[:1]

    @property
    def is_new(self) -> bool:
        """Whether it was subscribed just now, so that nothing is missing yet; any thread."""
        return time.monotonic() - self._began_at < START_UP

    @property
    def info_topic(self) -> str:
        """The full name of the calibration's topic."""
        return self._info_name.full

    @property
    def image_topic(self) -> str:
        """The full name of the image topic, without that of a compressed copy."""
        return self._names.raw.full

    def follow(self, transport: str, *, images: bool) -> None:
        """Subscribe as the publishers and `image_transport` require; to images only if asked."""
        self._transport = transport
        if self._with_images and not images:
            self._subscriptions[1].close()
            self.timeline.clear()
            self.topics[1].recent.clear()
        if images and not self._with_images:
            self._began_at = time.monotonic()
        self._with_images = images
        info = choose_info(self._info_name, publishers_of(self._node, self._info_name.full))
        image = self._choose_image(transport)
        self._endpoints = tuple(
            tuple(e for e in choice.publishers if e.kind == type_name(choice.kind))
            for choice in (info, image)
        )
        for index, choice in enumerate((info, image)):
            topic = self.topics[index]
            topic.name, topic.problem = choice.topic.full, choice.problem
            topic.publishers = len(self._endpoints[index])
            if index == 0 or images:
                self._subscriptions[index].follow(
                    choice.kind, choice.topic, self._endpoints[index]
                )

    def close(self) -> None:
        """Unsubscribe."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.close()
        self.timeline.clear()
        self._faults.reset(Fault.COLOR_CAMERA, Fault.COLOR_PUBLISHERS)

    def check(self) -> None:
        """Follow the publishers, and report what is ambiguous among them."""
        self.follow(self._transport, images=self._with_images)
        crowds = [
            f'{topic.name} has {topic.publishers} publishers ({node_names(endpoints)}), of which '
            'one at a time is right: stop the others'
            for topic, endpoints in zip(self.subscribed, self._endpoints, strict=False)
            if topic.publishers > 1
        ]
        if crowds:
            self._faults.report(Fault.COLOR_PUBLISHERS, '; '.join(crowds))
        else:
            self._faults.clear(Fault.COLOR_PUBLISHERS)

    def explain_missing_info(self) -> str:
        """Return why there is no calibration."""
        reason = explain_mismatch(self._subscriptions[0], self._endpoints[0])
        return reason or '; '.join(explain_missing(self.topics[:1]))

    def explain_missing_image(self) -> str:
        """Return why there is no image."""
        subscription, publishers = self._subscriptions[1], self._endpoints[1]
        return (
            explain_mismatch(subscription, publishers)
            or explain_image_loss(subscription, publishers, self._image_bytes, self._info)
            or '; '.join(explain_missing(self.topics[1:]))
        )

    def _choose_image(self, transport: str) -> Choice:
        raw, compressed = (publishers_of(self._node, t.full) for t in self._names[:2])
        self.image_is_named = self._is_remapped or bool(raw or compressed)
        choice = choose(transport, self._names, raw, compressed)
        if choice.kind in (Image, CompressedImage):
            return choice
        problem = f'{choice.topic.full}: {VIDEO.format(type_name(Image))}'
        return replace(choice, kind=Image, remark='', problem=problem)

    def _take_info(self, message: Any) -> None:
        self._frames.correct(self.topics[0].name, message)
        self.topics[0].take(stamp_ns(message.header), time.monotonic())
        self._info = message

    def _take_image(self, message: Any) -> None:
        stamp = stamp_ns(message.header)
        self._frames.correct(self.topics[1].name, message)
        self.topics[1].take(stamp, time.monotonic())
        self._image_bytes = len(message.data)
        self.timeline.add(TimedImage(stamp, message, len(message.data)))

    def _changed(self) -> None:
        if not self._closed:
            self._guarded(lambda: self.follow(self._transport, images=self._with_images))()

    def _guarded(self, call: Callable[..., None]) -> Callable[..., None]:
        """Return the call with its errors reported: in a callback they would end the node."""

        def guarded(*arguments: Any) -> None:
            try:
                call(*arguments[:1])  # the message; rclpy may give what it knows of it, too
            except Exception as error:
                self._faults.report(Fault.DISPATCH, safe_text(repr(error)))

        return guarded
