"""Four input topics become pairs: subscriptions, message_filters, and what befell each image."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from message_filters import (
    ApproximateTimeSynchronizer,
    SimpleFilter,
    Subscriber,
    TimeSynchronizer,
)
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from s2m2_ros.node.faults import DropCause, Fault, FaultLog
from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.statistics import Counters
from s2m2_ros.node.sync_diagnosis import InputTopic, explain_rates, explain_silence

LEFT_IMAGE = 0


class StereoTopics(NamedTuple):
    """Full names of the four inputs, for error messages."""

    left: str
    right: str
    left_info: str
    right_info: str


@dataclass(frozen=True, eq=False)
class StereoMessages:
    """One pair as it arrived."""

    left: Image | CompressedImage
    right: Image | CompressedImage
    left_info: CameraInfo
    right_info: CameraInfo
    topics: StereoTopics
    arrived_at: float  # monotonic seconds, of the last of the four


class PairSynchronizer:
    """Subscribes, synchronises and hands each pair over at once; all in the executor's thread.

    Left images are counted one by one: each is received, then matched, or dropped as unmatched
    when a later pair comes together, the queue is full, or stamps jump back. Only the hand-over
    may be slow to nobody: `hand_over(messages)` must return at once.
    """

    def __init__(
        self,
        node: Any,
        settings: Settings,
        counters: Counters,
        faults: FaultLog,
        hand_over: Callable[[StereoMessages], None],
    ) -> None:
        self._node = node
        self._settings = settings
        self._counters = counters
        self._faults = faults
        self._hand_over = hand_over
        self._waiting: list[int] = []
        self._progress_at = time.monotonic()
        self._gates: list[Any] = []
        self._subscribers = [self._subscribe(kind, name) for kind, name in _inputs(settings)]
        self.topics = [InputTopic(s.sub.topic_name) for s in self._subscribers]
        for index, subscriber in enumerate(self._subscribers):
            subscriber.registerCallback(self._arrived, index)
        self._rebuild()

    def close(self, cause: DropCause) -> None:
        """Unsubscribe; images that still wait for a partner are dropped for this cause."""
        for subscriber in self._subscribers:
            self._node.destroy_subscription(subscriber.sub)
        self._subscribers = []
        self._give_up(len(self._waiting), cause)
        self._faults.reset(Fault.SYNCHRONIZATION, Fault.RATES, Fault.INPUT)

    def adopt(self, settings: Settings) -> None:
        """Synchronise by these settings from now on."""
        self._settings = settings
        self._rebuild()

    def check(self) -> None:
        """Complain if there was no pair for too long, or if one topic is slower than another."""
        now = time.monotonic()
        if now - self._progress_at < self._settings.sync_timeout:
            self._compare_rates()
            return
        publishers = [self._node.count_publishers(topic.name) for topic in self.topics]
        text = explain_silence(self.topics, publishers, self._settings, now)
        self._faults.report(Fault.SYNCHRONIZATION, text)

    def _compare_rates(self) -> None:
        difference = explain_rates(self.topics)
        if difference is None:
            self._faults.clear(Fault.RATES)
        else:
            self._faults.report(Fault.RATES, difference)

    def _subscribe(self, kind: type[Any], name: str) -> Any:
        # A profile of its own for each: rclpy writes the overrides into it.
        profile = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
        )
        return Subscriber(
            self._node,
            kind,
            name,
            qos_profile=profile,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _rebuild(self) -> None:
        """Start with empty queues: those of message_filters are deaf after a jump back in time."""
        self._give_up(len(self._waiting), DropCause.UNMATCHED)
        self._gates = [SimpleFilter() for _ in self._subscribers]
        size = self._settings.sync_queue_size
        synchronizer = (
            ApproximateTimeSynchronizer(self._gates, size, self._settings.slop)
            if self._settings.approximate_sync
            else TimeSynchronizer(self._gates, size)
        )
        synchronizer.registerCallback(self._matched)
        for topic in self.topics:
            topic.recent.clear()

    def _arrived(self, message: Any, index: int) -> None:
        try:
            self._take(message, index)
        except Exception as error:  # an error in a callback would end the node
            self._faults.report(Fault.DISPATCH, f'{error!r}')

    def _take(self, message: Any, index: int) -> None:
        topic, stamp = self.topics[index], _nanoseconds(message)
        newest = topic.newest_stamp
        if newest is not None and stamp < newest:
            back = (newest - stamp) / 1e9
            self._faults.report(
                Fault.TIMESTAMPS,
                f'the stamps of {topic.name} jumped back by {back:.3g} s: a recording that loops, '
                'a clock that was set, or two publishers; synchronising anew',
            )
            self._rebuild()
        if stamp == 0:
            self._faults.report(
                Fault.ZERO_TIMESTAMPS,
                f'{topic.name} has messages without a stamp, so pairs may be mixed up: let the '
                'driver stamp them',
            )
        topic.take(stamp, time.monotonic())
        if index == LEFT_IMAGE:
            self._receive(stamp)
        self._gates[index].signalMessage(message)

    def _receive(self, stamp: int) -> None:
        self._counters.receive()
        if stamp in self._waiting:  # the queues keep the newest of one stamp
            self._waiting.remove(stamp)
            self._counters.drop(DropCause.SAME_TIMESTAMP)
        self._waiting.append(stamp)
        self._give_up(len(self._waiting) - self._settings.sync_queue_size, DropCause.UNMATCHED)

    def _matched(self, left: Any, right: Any, left_info: Any, right_info: Any) -> None:
        # The real message_filters stays locked for ever if this raises.
        try:
            stamp = _nanoseconds(left)
            if stamp not in self._waiting:
                return
            self._give_up(self._waiting.index(stamp), DropCause.UNMATCHED)
            self._waiting.remove(stamp)
            self._counters.match()
            self._progress_at = time.monotonic()
            names = StereoTopics(*(topic.name for topic in self.topics))
            pair = StereoMessages(left, right, left_info, right_info, names, self._progress_at)
            self._hand_over(pair)
            self._faults.clear(Fault.SYNCHRONIZATION)
        except Exception as error:
            self._faults.report(Fault.DISPATCH, f'{error!r}')

    def _give_up(self, count: int, cause: DropCause) -> None:
        """Drop the oldest of the images that wait."""
        if count > 0:
            del self._waiting[:count]
            self._counters.drop(cause, count)


def _inputs(settings: Settings) -> list[tuple[type[Any], str]]:
    compressed = settings.image_transport == 'compressed'
    kind, suffix = (CompressedImage, '/compressed') if compressed else (Image, '')
    return [
        (kind, f'left/image_rect{suffix}'),
        (kind, f'right/image_rect{suffix}'),
        (CameraInfo, 'left/camera_info'),
        (CameraInfo, 'right/camera_info'),
    ]


def _nanoseconds(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
