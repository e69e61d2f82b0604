"""The pairs of one rig, from its messages in the order of their time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError
from s2m2_ros.io.images.pixel_range import PixelRange
from s2m2_ros.io.recordings.pairing import QUEUE_BYTES, PairMaker
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
from s2m2_ros.offline.processing.pair_infos import PairInfos, PairTime
from s2m2_ros.offline.processing.recorded_cameras import StereoCamera
from s2m2_ros.offline.processing.streams import ImageCount, StampedPair

# Why an image is in no pair though another one is near.
NOT_EQUAL = (
    'a right image is near, but its timestamp is not equal, as those of the pairs at the start of '
    'the recording are (was the common trigger lost?)'
)


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


@dataclass(frozen=True)
class _LeftImage:
    """What is known of a left image when it is no longer kept."""

    header: Any
    stamp_ns: int
    log_ns: int


class RigReader:
    """Makes pairs of the messages of one rig in one window of time."""

    def __init__(
        self, rig: RigPlace, window: TimeWindow, infos: dict[str, Any], values: PixelRange
    ) -> None:
        """Take the calibrations before the window, and which values are black and white."""
        self._rig, self._camera, self._window = rig, rig.camera, window
        rule, topics = rig.camera.survey.rule, rig.camera.topics
        self._pairs: PairMaker[RecordedImage] = PairMaker(rule)
        self._infos = PairInfos(
            (topics.left_info, topics.right_info),
            infos,
            rule.period_ns,
            wait=rig.camera.has_info_of_each_image,
        )
        self._range = values
        # Pairs that wait for their calibrations.
        self._complete: deque[tuple[RecordedImage, RecordedImage]] = deque()
        self._bytes = 0
        self._counts = [0, 0]
        self._alone_ns: tuple[list[int], list[int]] = ([], [])

    def is_settled(self, now_ns: int) -> bool:
        """Return whether nothing that comes may belong to the images of the window."""
        return not self._complete and self._pairs.is_settled(self._window.holds, now_ns)

    def add(self, message: StoredMessage, content: Any) -> Iterator[StampedPair]:
        """Take a message, which may be of other rigs; yield the pairs that it completes."""
        if message.topic.type_name == INFO_TYPE:
            if message.topic.topic in self._camera.info_topics:
                self._infos.add(message.topic.topic, content, message.log_ns)
        elif message.topic.topic in self._camera.image_topics:
            for left, right in self._added(message, content):
                self._keep(left, right)
        yield from self._calibrated(message.log_ns)
        yield from self._alone()

    def finish(self) -> Iterator[StampedPair | ImageCount]:
        """Yield the last pairs, and how many images there were."""
        for left, right in self._pairs.finish():
            self._keep(left, right)
        yield from self._calibrated(None)
        yield from self._alone()
        (lefts, rights), (left_ns, right_ns) = self._counts, self._alone_ns
        yield ImageCount(self._rig.number, lefts, rights, tuple(left_ns), tuple(right_ns))

    def _added(
        self, message: StoredMessage, content: Any
    ) -> Iterator[tuple[RecordedImage, RecordedImage]]:
        """Take an image; yield the pairs that it completes."""
        topics = self._camera.topics
        image = RecordedImage(message, content, stamp_of(message, content))
        log_ns, is_inside = message.log_ns, self._window.holds(message.log_ns)
        if topics.left == topics.right:
            self._counts = [count + is_inside for count in self._counts]
            yield image, image
            return
        side = 0 if message.topic.topic == topics.left else 1
        self._counts[side] += is_inside
        note = None if side else _left_image(image)
        yield from self._pairs.add(
            side, image.stamp_ns, image, log_ns=log_ns, size=_size(image), note=note
        )

    def _keep(self, left: RecordedImage, right: RecordedImage) -> None:
        """Have a pair wait for its calibrations, if it is of the window."""
        if self._window.holds(left.stored.log_ns):
            self._complete.append((left, right))
            self._bytes += _size(left) + _size(right)

    def _calibrated(self, now_ns: int | None) -> Iterator[StampedPair]:
        """Yield the pairs whose calibrations are there, in their order; None: all are."""
        while self._complete:
            left, right = self._complete[0]
            try:
                infos = self._calibrations(left, right, now_ns)
                if infos is None and self._bytes > QUEUE_BYTES:
                    raise PlaybackError(
                        'its camera_info is recorded so much later that more than '
                        f'{QUEUE_BYTES >> 20} MiB of images were between them'
                    )
            except (ImageError, CalibrationError, PlaybackError) as error:
                found = self._failed(_left_image(left), str(error))
            else:
                if infos is None:
                    return
                found = self._pair(left, right, infos)
            self._complete.popleft()
            self._bytes -= _size(left) + _size(right)
            yield found

    def _alone(self) -> Iterator[StampedPair]:
        """Take note of the images without a pair; yield those that lost the common trigger."""
        for found in self._pairs.take_alone():
            if not self._window.holds(found.log_ns):
                continue
            if found.is_near and found.note:
                yield self._failed(found.note, NOT_EQUAL)
            else:
                self._alone_ns[found.side].append(found.stamp_ns)

    def _failed(self, left: _LeftImage, reason: str) -> StampedPair:
        name, number = seconds_text(left.stamp_ns), self._rig.number
        return StampedPair(number, name, left.log_ns, _plain(left.header), error=reason)

    def _pair(
        self, left: RecordedImage, right: RecordedImage, infos: tuple[Any, Any]
    ) -> StampedPair:
        rig, name = self._rig, seconds_text(left.stamp_ns)
        try:
            messages = _Messages(left.content, right.content, *infos, rig.topics)
            pair = decode_pair(messages, self._range, rig.options.layout)
        except (ImageError, CalibrationError, PlaybackError) as error:
            return self._failed(_left_image(left), str(error))
        header = _plain(left.content.header)
        return StampedPair(rig.number, name, left.stored.log_ns, header, infos[0], pair)

    def _calibrations(
        self, left: RecordedImage, right: RecordedImage, now_ns: int | None
    ) -> tuple[Any, Any] | None:
        """Return those of a pair, None if they may come yet."""
        camera, rig = self._camera, self._rig
        if camera.lookup is None:
            time = PairTime((left.stamp_ns, right.stamp_ns), left.stored.log_ns)
            return self._infos.find(time, now_ns)
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


def _left_image(left: RecordedImage) -> _LeftImage:
    return _LeftImage(left.content.header, left.stamp_ns, left.stored.log_ns)


def _size(image: RecordedImage) -> int:
    return len(image.content.data)


def _plain(header: Any) -> Any:
    """Return a header with its time as it is, even if that has no meaning."""
    plain = plain_header(0, _frame_id(header))
    plain.stamp.sec, plain.stamp.nanosec = header.stamp.sec, header.stamp.nanosec
    return plain


def _frame_id(header: Any) -> str:
    """Return the frame as the node publishes it: tf2 rejects a leading slash."""
    return str(header.frame_id).lstrip('/')
