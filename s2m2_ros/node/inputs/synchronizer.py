"""The inputs become pairs with their calibration, and every left image is accounted for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.sources.view_layout import ViewLayout
from s2m2_ros.messages.pair_decoder import StereoTopics
from s2m2_ros.node.faults import DropCause, Fault, FaultLog
from s2m2_ros.node.inputs.calibration_cache import MOST_PUBLISHERS, Accepted, TimedInfo
from s2m2_ros.node.inputs.calibration_join import CalibrationJoin, PairedImages
from s2m2_ros.node.inputs.delivery import explain_image_loss, explain_mismatch
from s2m2_ros.node.inputs.endpoints import node_names
from s2m2_ros.node.inputs.frames import FrameWatch
from s2m2_ros.node.inputs.pairing import StereoPairing, TimedImage
from s2m2_ros.node.inputs.publisher_watch import PublisherWatch
from s2m2_ros.node.inputs.stereo_inputs import (
    IMAGES,
    INFOS,
    LEFT_IMAGE,
    LEFT_INFO,
    StereoInputs,
)
from s2m2_ros.node.inputs.sync_diagnosis import (
    InputTopic,
    PairProgress,
    explain_rates,
    explain_silence,
)
from s2m2_ros.node.inputs.video_inputs import VideoInputs
from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.statistics import Counters
from s2m2_ros.text_safety import safe_text

__all__ = ['PairSynchronizer', 'StereoMessages', 'StereoTopics']

# Seconds that a pair waits for the camera_info of its own timestamps, where there usually is one.
COMPANION_WAIT = 0.1
# Fewer messages than this in `sync_timeout` mean that the transport loses most of them.
HARDLY_ANY = 3
FAULTS = (
    Fault.SYNCHRONIZATION,
    Fault.RATES,
    Fault.FRAME_ID,
    Fault.QOS,
    Fault.PUBLISHERS,
    Fault.REMAPPING,
    Fault.INPUT,
    Fault.VIDEO,
)


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
    """Subscribes, synchronizes and dispatches each pair at once; all in the executor's thread.

    Images are what is synchronized; each pair then gets its calibration (`CalibrationJoin`). Left
    images are counted one by one: each is received, then matched, or dropped for a cause.
    `dispatch(messages)` must return at once.
    """

    def __init__(
        self,
        node: Any,
        settings: Settings,
        counters: Counters,
        faults: FaultLog,
        dispatch: Callable[[StereoMessages], None],
    ) -> None:
        self._node = node
        self._settings = settings
        self._counters = counters
        self._faults = faults
        self._dispatch = dispatch
        self._progress = PairProgress(time.monotonic())
        self._pairing = StereoPairing(counters.drop)
        self._join = CalibrationJoin(counters.drop, self._send)
        self._publishers = PublisherWatch()
        self._frames = FrameWatch(faults)
        self._video = VideoInputs(faults)
        # Publishers that were looked up in the graph, found or not.
        self._asked_for: deque[bytes | None] = deque(maxlen=MOST_PUBLISHERS)
        self._image_bytes: dict[int, int] = {}
        self._closed = False
        self._inputs = StereoInputs(
            node,
            self._arrived,
            self._publishers_changed,
            one_image=ViewLayout(settings.input_layout).in_one_image,
        )
        self._wait_timer = node.create_timer(
            COMPANION_WAIT, self._end_waiting, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._wait_timer.cancel()
        self._configure()
        try:
            self._follow()
        except Exception:
            self.close(DropCause.UNMATCHED)  # else what was subscribed so far would go on
            raise
        names = self._inputs.names
        self._faults.follow(
            Fault.REMAPPING, explain_remapping(names, one_image=self._inputs.one_image)
        )

    @property
    def topics(self) -> list[InputTopic]:
        """The inputs as they are subscribed now: left and right images, left and right infos."""
        return self._inputs.topics

    def close(self, cause: DropCause) -> None:
        """Unsubscribe; images that still wait are dropped for this cause."""
        self._closed = True
        self._inputs.close()
        self._node.destroy_timer(self._wait_timer)
        self._pairing.clear(cause)
        self._join.clear(cause)
        self._faults.reset(*FAULTS)

    def adopt(self, settings: Settings) -> None:
        """Synchronize by these settings from now on."""
        self._settings = settings
        self._configure()

    def check(self) -> None:
        """Follow the publishers; report if there was no pair for too long, and why."""
        self._follow()
        now = time.monotonic()
        foreign = self._explain_foreign_infos()
        self._faults.follow(Fault.PUBLISHERS, self._publishers.explain() or foreign)
        starved = self._progress.is_missing(now, self._settings.sync_timeout)
        self._faults.follow(Fault.QOS, self._explain_delivery(starved))
        images, infos = self._inputs.images, self.topics[2:]
        if not starved:
            compared = images if self._settings.cache_camera_info else [*images, *infos]
            self._faults.follow(Fault.RATES, explain_rates(compared, now))
        elif undecoded := self._video.problem:
            self._faults.report(Fault.VIDEO, undecoded)
        elif not self._publishers.is_ambiguous and foreign is None:
            text = explain_silence(images, infos, self._settings, now)
            self._faults.report(Fault.SYNCHRONIZATION, text)

    def _configure(self) -> None:
        settings = self._settings
        slop = round(settings.slop * 1e9) if settings.approximate_sync else 0
        self._pairing.configure(slop=slop, queue_size=settings.sync_queue_size)
        self._join.configure(
            cached=settings.cache_camera_info, tolerance=slop, size=settings.sync_queue_size
        )

    def _follow(self) -> None:
        """Subscribe as the publishers require, which may have changed."""
        for index in IMAGES:
            self._inputs.subscription(index).in_order = self._video.is_video(index)
        if self._inputs.follow(self._settings.image_transport) & set(IMAGES):
            self._restart()
        now = time.monotonic()
        for index in IMAGES:
            self._publishers.follow(
                index, self.topics[index].name, self._inputs.endpoints(index), now
            )
        for index in INFOS:
            alive = {endpoint.gid for endpoint in self._inputs.endpoints(index)}
            self._join.retain(index - LEFT_INFO, alive)

    def _publishers_changed(self) -> None:
        try:
            if not self._closed:
                self._follow()
        except Exception as error:  # an error in a callback would end the node
            self._faults.report(Fault.DISPATCH, safe_text(repr(error)))

    def _arrived(self, index: int, message: Any, gid: bytes | None) -> None:
        try:
            self._frames.correct(self.topics[index].name, message)
            if index in IMAGES:
                self._take_image(index, message, gid)
            else:
                self._take_info(index, message, gid)
        except Exception as error:  # an error in a callback would end the node
            self._faults.report(Fault.DISPATCH, safe_text(repr(error)))

    def _take_info(self, index: int, message: Any, gid: bytes | None) -> None:
        stamp = stamp_ns(message.header)
        self.topics[index].take(stamp, time.monotonic())
        publisher = self._inputs.identify(index, gid)
        self._join.add_info(index - LEFT_INFO, TimedInfo(stamp, message), publisher)

    def _take_image(self, index: int, message: Any, gid: bytes | None) -> None:
        now, stamp, topic = time.monotonic(), stamp_ns(message.header), self.topics[index]
        if gid not in self._asked_for and not self._publishers.knows(index, gid):
            self._follow()
            self._asked_for.append(gid)
        gid = self._inputs.identify(index, gid)
        if index == LEFT_IMAGE:
            self._counters.receive()
        used, fresh = self._publishers.admit(index, gid, now)
        if not used:
            if index == LEFT_IMAGE:
                self._counters.drop(DropCause.OTHER_PUBLISHER)
            return
        if fresh:
            self._restart()
        self._watch_stamp(topic, stamp)
        self._image_bytes[index] = len(message.data)
        message = self._video.decode(index, topic.name, message, gid)
        if message is None:
            if index == LEFT_IMAGE:
                self._counters.drop(DropCause.UNDECODED)
            return
        topic.take(stamp, now)
        image = TimedImage(stamp, message, len(message.data))
        pair = (image, image) if self._inputs.one_image else self._pairing.add(index, image)
        if pair is not None:
            self._paired(pair)

    def _watch_stamp(self, topic: InputTopic, stamp: int) -> None:
        newest = topic.newest_stamp
        if newest is not None and stamp < newest:
            back = (newest - stamp) / 1e9
            self._faults.report(
                Fault.TIMESTAMPS,
                f'the timestamps of {topic.name} jumped back by {back:.3g} s: a recording that '
                'loops, a clock that was set, or two publishers; synchronizing again',
            )
            self._restart()
        if stamp == 0:
            self._faults.report(
                Fault.ZERO_TIMESTAMPS,
                f'{topic.name} has messages without a timestamp, so pairs may be mixed up: let '
                'the driver set it',
            )

    def _restart(self) -> None:
        """Forget the images that wait: the next ones cannot match them."""
        self._pairing.clear()
        self._join.clear(DropCause.UNMATCHED)
        for index in IMAGES:
            self.topics[index].recent.clear()

    def _paired(self, images: tuple[TimedImage, TimedImage]) -> None:
        self._counters.match()
        left, right = (self._accepted(side) for side in IMAGES)
        self._join.add_pair(PairedImages(images, (left, right)))
        if self._join.waits:
            self._wait_timer.reset()

    def _accepted(self, side: int) -> Accepted:
        """Return whose calibrations are right: those of the images' node, if it publishes any."""
        source = self._publishers.source(LEFT_IMAGE if self._inputs.one_image else side)
        return self._inputs.published_by(source, LEFT_INFO + side) or None

    def _end_waiting(self) -> None:
        self._wait_timer.cancel()
        self._join.flush()

    def _send(self, pair: PairedImages, left_info: Any, right_info: Any) -> None:
        now, names = time.monotonic(), self._inputs.names
        left, right = (image.message for image in pair.images)
        self._progress.note(now)
        self._frames.check(names, (left, right, left_info, right_info))
        self._dispatch(StereoMessages(left, right, left_info, right_info, names, now))
        self._faults.clear(Fault.SYNCHRONIZATION)

    def _explain_delivery(self, starved: bool) -> str | None:
        reasons = []
        for index in range(4):
            subscription = self._inputs.subscription(index)
            publishers = self._inputs.endpoints(index)
            reason = explain_mismatch(subscription, publishers)
            if reason is None and index in IMAGES and starved and self._loses(index):
                arrived, info = self._image_bytes.get(index), self._join.newest_info(index)
                reason = explain_image_loss(subscription, publishers, arrived, info)
            if reason is not None:
                reasons.append(reason)
        return '; '.join(reasons) or None

    def _loses(self, index: int) -> bool:
        """Return whether hardly any message of an input arrived in the last `sync_timeout`."""
        since = time.monotonic() - self._settings.sync_timeout
        return len(self.topics[index].timestamps_since(since)) < HARDLY_ANY

    def _explain_foreign_infos(self) -> str | None:
        """Return which calibrations are of other cameras, if pairs lack their own."""
        for side, index in zip(IMAGES, INFOS, strict=True):
            if self._join.lacks_right_info(side):
                source = self._publishers.source(side)
                return (
                    f'the images of {source.node if source else "an unknown node"} wait for their '
                    f'calibration: {self.topics[index].name} has come from other nodes only (its '
                    f'publishers are {node_names(self._inputs.endpoints(index))}); stop the others'
                )
        return None


def explain_remapping(names: StereoTopics, *, one_image: bool = False) -> str | None:
    """Return which inputs are one topic that must be two; None if all differ."""
    reasons = []
    if names.left == names.right and not one_image:
        reasons.append(
            f'left/image_rect and right/image_rect are both {names.left}: remap each to its '
            'camera, or set input_layout to side_by_side or top_bottom if it holds both views'
        )
    if names.left_info == names.right_info:
        reasons.append(
            f'left/camera_info and right/camera_info are both {names.left_info}: the right camera '
            'needs a calibration of its own, with P[3] = -fx * baseline'
        )
    return '; '.join(reasons) or None
