"""The pairs of one rig, from its messages in the order of their time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError
from s2m2_ros.io.images.pixel_range import PixelRange
from s2m2_ros.io.recordings.pairing import PairMaker
from s2m2_ros.io.recordings.recorded_infos import INFO_TYPE
from s2m2_ros.io.recordings.rig_survey import stamp_of
from s2m2_ros.io.recordings.storage.stored_messages import StoredMessage, TimeWindow
from s2m2_ros.io.sources.calibration_search import no_calibration
from s2m2_ros.io.sources.stereo_frame import PlaybackError, image_size, seconds_text
from s2m2_ros.io.sources.view_layout import ViewLayout
from s2m2_ros.messages.camera_info import camera_info_message
from s2m2_ros.messages.pair_decoder import StereoTopics, decode_pair
from s2m2_ros.messages.plain_messages import plain_header
from s2m2_ros.offline.processing.options import ProcessOptions
from s2m2_ros.offline.processing.recorded_cameras import StereoCamera
from s2m2_ros.offline.processing.streams import ImageCount, StampedPair


@dataclass(frozen=True)
class RecordedImage:
    """An image as stored, and what is in it."""

    stored: StoredMessage
    content: Any
    stamp_ns: int


@dataclass(frozen=True)
class _Messages:
    """One pair, as `decode_pair` takes it."""

    left: Any
    right: Any
    left_info: Any
    right_info: Any
    topics: StereoTopics


@dataclass(frozen=True, eq=False)
class RigPlace:
    """Which rig it is: its number, camera and topics, the recording and the options."""

    number: int
    camera: StereoCamera
    topics: StereoTopics
    path: Path
    options: ProcessOptions


class RigReader:
    """Makes pairs of the messages of one rig in one window of time."""

    def __init__(
        self, rig: RigPlace, window: TimeWindow, infos: dict[str, Any], values: PixelRange
    ) -> None:
        """Take the calibrations before the window, and which values are black and white."""
        self._rig, self._camera, self._window = rig, rig.camera, window
        self._pairs: PairMaker[RecordedImage] = PairMaker(rig.camera.survey.rule)
        self._infos, self._range = infos, values
        self._counts = [0, 0]

    def add(self, message: StoredMessage, content: Any) -> Iterator[StampedPair]:
        """Take a message, which may be of other rigs; yield the pairs that it completes."""
        for left, right in self._added(message, content):
            yield self._pair(left, right)

    def finish(self) -> Iterator[StampedPair | ImageCount]:
        """Yield the last pairs, and how many images there were."""
        for left, right in self._pairs.finish():
            if self._window.holds(left.stored.log_ns):
                yield self._pair(left, right)
        yield ImageCount(self._rig.number, *self._counts)

    def _added(
        self, message: StoredMessage, content: Any
    ) -> Iterator[tuple[RecordedImage, RecordedImage]]:
        """Take note of a message; yield the pairs of the window that it completes."""
        topics, topic = self._camera.topics, message.topic.topic
        if message.topic.type_name == INFO_TYPE:
            if topic in self._camera.info_topics:
                self._infos[topic] = content
            return
        if topic not in self._camera.image_topics:
            return
        image = RecordedImage(message, content, stamp_of(message, content))
        is_inside = self._window.holds(message.log_ns)
        if topics.left == topics.right:
            if is_inside:
                self._counts = [count + 1 for count in self._counts]
                yield image, image
            return
        side = 0 if topic == topics.left else 1
        self._counts[side] += is_inside
        for left, right in self._pairs.add(side, image.stamp_ns, image, size=len(content.data)):
            if self._window.holds(left.stored.log_ns):
                yield left, right

    def _pair(self, left: RecordedImage, right: RecordedImage) -> StampedPair:
        header, rig = left.content.header, self._rig
        plain = plain_header(0, _frame_id(header))
        # As it is, even if it has no meaning.
        plain.stamp.sec, plain.stamp.nanosec = header.stamp.sec, header.stamp.nanosec
        name, log_ns = seconds_text(left.stamp_ns), left.stored.log_ns
        try:
            infos = self._calibrations(left)
            messages = _Messages(left.content, right.content, *infos, rig.topics)
            pair = decode_pair(messages, self._range, rig.options.layout)
        except (ImageError, CalibrationError, PlaybackError) as error:
            return StampedPair(rig.number, name, log_ns, plain, error=str(error))
        return StampedPair(rig.number, name, log_ns, plain, infos[0], pair)

    def _calibrations(self, left: RecordedImage) -> tuple[Any, Any]:
        camera, rig = self._camera, self._rig
        if camera.lookup is None:
            topics = camera.topics
            found = [self._infos.get(name) for name in (topics.left_info, topics.right_info)]
            if None in found:
                raise PlaybackError('no camera_info came so far')
            return found[0], found[1]
        width, height = image_size(left.content)
        if rig.options.layout is ViewLayout.SIDE_BY_SIDE:
            width //= 2
        elif rig.options.layout is ViewLayout.TOP_BOTTOM:
            height //= 2
        models = camera.lookup.models(rig.path, (width, height))
        if models is None:
            raise no_calibration(rig.path, rig.options.names)
        header = plain_header(0, _frame_id(left.content.header))
        made = [
            camera_info_message(model, header, raw=bool(model.K and model.R)) for model in models
        ]
        return made[0], made[1]


def _frame_id(header: Any) -> str:
    """Return the frame as the node publishes it: tf2 rejects a leading slash."""
    return str(header.frame_id).lstrip('/')
