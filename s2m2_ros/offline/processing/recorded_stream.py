"""The pairs of a recording, by segments of time."""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError
from s2m2_ros.io.images.pixel_range import PixelRange
from s2m2_ros.io.recordings.pairing import PairMaker
from s2m2_ros.io.recordings.recording_topics import (
    COMPRESSED_TYPE,
    INFO_TYPE,
    VIDEO_TYPES,
    RecordedTopics,
    choose_all_pairs,
    choose_shared_topic,
    choose_topics,
)
from s2m2_ros.io.recordings.rig_survey import RigSurvey, stamp_of, survey
from s2m2_ros.io.recordings.storage.deserialization import deserialized
from s2m2_ros.io.recordings.storage.file_names import recording_files
from s2m2_ros.io.recordings.storage.recording_files import RecordingFiles
from s2m2_ros.io.recordings.storage.stored_messages import (
    StoredMessage,
    StoredTopic,
    TimeWindow,
)
from s2m2_ros.io.sources.calibration_search import CalibrationLookup, no_calibration
from s2m2_ros.io.sources.stereo_frame import (
    NANOSECONDS,
    PlaybackError,
    image_size,
    seconds_text,
)
from s2m2_ros.messages.camera_info import camera_info_message
from s2m2_ros.messages.output_topics import CLOUDS
from s2m2_ros.messages.pair_decoder import StereoTopics, decode_pair
from s2m2_ros.messages.plain_messages import plain_header
from s2m2_ros.offline.processing.color_images import ColorImages
from s2m2_ros.offline.processing.color_target import (
    ColorTarget,
    color_image_topic,
    color_target,
)
from s2m2_ros.offline.processing.fingerprints import file_fingerprint
from s2m2_ros.offline.processing.frames import (
    LONGEST_AFTER_NS,
    LONGEST_BEFORE_NS,
    MOVING_TRANSFORMS,
    STATIC_TRANSFORMS,
    FrameTree,
)
from s2m2_ros.offline.processing.kept_topics import KeptTopics
from s2m2_ros.offline.processing.namespaces import rig_namespaces
from s2m2_ros.offline.processing.options import ProcessOptions
from s2m2_ros.offline.processing.pair_extras import PairExtras
from s2m2_ros.offline.processing.recorded_video import (
    VideoTopics,
    is_key,
    is_packet,
    with_header,
)
from s2m2_ros.offline.processing.segments import time_segments
from s2m2_ros.offline.processing.streams import (
    ImageCount,
    Item,
    KeptMessage,
    Rig,
    Segment,
    StampedPair,
)

_logger = logging.getLogger(__name__)

# What is read around a segment, so that pairs at its ends are complete.
MARGIN_NS = NANOSECONDS
# How far back a calibration is looked for at first, where it comes seldom.
FIRST_LOOK_BACK_NS = 4 * NANOSECONDS
# Segments whose first pairs decide which values of deep images are black and white.
RANGE_SAMPLES = 16


@dataclass(frozen=True, eq=False)
class _Camera:
    """What is known of a rig before a segment is read."""

    topics: RecordedTopics
    survey: RigSurvey
    lookup: CalibrationLookup | None

    @property
    def info_topics(self) -> set[str]:
        return set() if self.lookup else {self.topics.left_info, self.topics.right_info}

    @property
    def image_topics(self) -> set[str]:
        return {self.topics.left, self.topics.right}


@dataclass(frozen=True)
class _Image:
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


@dataclass
class _RigState:
    """What is kept of a rig while a segment is read."""

    camera: _Camera
    pairs: PairMaker[_Image]
    infos: dict[str, Any]
    range: PixelRange
    counts: list[int] = field(default_factory=lambda: [0, 0])


class RecordedStream:
    """The rigs of a recording; see `Stream`."""

    def __init__(self, path: Path, options: ProcessOptions, output_topics: Sequence[str]) -> None:
        """Look into the recording; ``output_topics`` are never carried along under their names.

        Raises S2M2Error if it cannot be read, holds no stereo pair or no calibration of one.
        """
        self._path, self._options = path, options
        self._files = RecordingFiles(path)
        try:
            damage = self._files.take_damage()
            self._open()
            self.losses: Sequence[str] = [*damage, *self._unusable]
            outputs = {rig.topic(output) for rig in self.rigs for output in output_topics}
            self._kept = KeptTopics(self._files.topics(), options.keep, outputs)
            self.kept: Sequence[StoredTopic] = self._kept.topics
            length_ns = round(options.segment_seconds * NANOSECONDS)
            self.segments: Sequence[Segment] = time_segments(self._files.spans(), length_ns)
            self._note_video()
            self._ranges = self._found_ranges()
            self._static = self._found_static()
            images = color_image_topic(self._files.topics(), options)
            self.targets: Sequence[ColorTarget | None] = self._found_targets(images)
            self._color_topic = images if options.colors_clouds else ''
            doubts = [target.doubt for target in self.targets if target and target.doubt]
            self.remarks: Sequence[str] = [*self.remarks, *dict.fromkeys(doubts)]
            self._check_transforms()
        except BaseException:
            self.close()
            raise

    def items(self, segment: Segment) -> Iterator[Item]:
        """Yield what belongs to a segment: a pair does by the time of its left image."""
        window = TimeWindow(segment.start, segment.end)
        extras = self._extras(window)
        for item in self._items(window, self._ranges, colors=self._color_topic):
            if isinstance(item, StampedPair):
                yield from extras.take(item)
            elif isinstance(item, _Image):
                yield from extras.add_color(item.content, item.stored.log_ns)
            else:
                yield item
        yield from extras.finish()

    def first_pair(self, rig: int) -> StampedPair | None:
        """Return the first pair of a rig; None without any."""
        ranges = [PixelRange(self._options.pixel_range) for _ in self.rigs]
        return self._first_pair(rig, TimeWindow(), ranges)

    def take_damage(self) -> list[str]:
        """Return what was found damaged since the last call."""
        return self._files.take_damage()

    def fingerprint(self) -> dict[str, Any]:
        """Return what is checked of the recording's files and calibration."""
        files = recording_files(self._path)
        calibration = [
            file for camera in self._cameras if camera.lookup
            for file in camera.lookup.files(self._path) or ()
        ]  # fmt: skip
        return {
            'files': [file_fingerprint(file) for file in files],
            'calibration': [file_fingerprint(f) for f in dict.fromkeys(calibration)],
        }

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def _open(self) -> None:
        topics = self._files.topics()
        self._video = {topic.topic for topic in topics if topic.type_name in VIDEO_TYPES}
        chosen = self._chosen(topics)
        cameras, errors = [], []
        for rig in chosen:
            try:
                cameras.append(self._surveyed(rig))
            except PlaybackError as error:
                errors.append(str(error))
        if not cameras:
            raise PlaybackError('; '.join(errors))
        for text in errors:
            _logger.error("'%s': %s; the other rigs are processed", self._path, text)
        self._unusable = errors
        self._cameras = cameras
        names = rig_namespaces([c.topics for c in cameras], self._options.namespace)
        self.rigs: Sequence[Rig] = [
            Rig(name, StereoTopics(c.topics.left, c.topics.right, *_info_names(c)))
            for name, c in zip(names, cameras, strict=True)
        ]
        counts = {topic.topic: topic.count for topic in topics}
        self.expected_pairs = sum(
            min(counts.get(name, 0) for name in camera.image_topics) for camera in cameras
        )
        self.remarks = list(self._rule_remarks())

    def _chosen(self, topics: Sequence[StoredTopic]) -> list[RecordedTopics]:
        options = self._options
        if options.layout.in_one_image:
            named = [left for left, _ in options.pairs] or ['']
            layout = options.layout.value
            return [
                choose_shared_topic(
                    topics, named=n, input_layout=layout, video=True, names=options.names
                )
                for n in named
            ]
        if options.pairs:
            return [
                choose_topics(topics, left=left, right=right, video=True)
                for left, right in options.pairs
            ]
        return choose_all_pairs(topics, video=True, names=options.names)

    def _surveyed(self, topics: RecordedTopics) -> _Camera:
        wanted = {topics.left, topics.right, topics.left_info, topics.right_info} - {''}
        found = survey(self._contents(wanted, TimeWindow()), topics)
        if found.has_own_infos(topics) and not self._options.calibration:
            return _Camera(topics, found, None)
        lookup = CalibrationLookup(self._options.calibration)
        if not lookup.files(self._path):
            raise PlaybackError(
                f'no camera_info is recorded for both {topics.left} and {topics.right}; '
                f'{no_calibration(self._path, self._options.names)}'
            )
        return _Camera(topics, found, lookup)

    def _rule_remarks(self) -> Iterator[str]:
        for camera in self._cameras:
            rule = camera.survey.rule
            if rule.tolerance_ns and not self._options.layout.in_one_image:
                yield (
                    f'{camera.topics.left} and {camera.topics.right} have no equal timestamps: '
                    f'nearest ones within {rule.tolerance_ns / 1e6:.1f} ms are paired'
                )

    def _found_ranges(self) -> list[PixelRange]:
        """Return black and white of each rig, found from pairs of the whole recording."""
        ranges = [PixelRange(self._options.pixel_range) for _ in self.rigs]
        step = max(1, len(self.segments) // RANGE_SAMPLES)
        for rig in range(len(self.rigs)):
            for segment in self.segments[::step]:
                window = TimeWindow(segment.start, segment.end)
                found = self._first_pair(rig, window, ranges)
                if found and found.pair and found.pair.left.dtype == 'uint8':
                    break
        self._files.take_damage()
        return ranges

    def _found_targets(self, images: str) -> list[ColorTarget | None]:
        """Return the camera that depth is registered to, as each rig sees it."""
        topic = self._options.color_info
        if not topic:
            return [None] * len(self.rigs)
        info = next((content for _, content in self._contents({topic}, TimeWindow())), None)
        if info is None or not hasattr(info, 'distortion_model'):
            kinds = [t.topic for t in self._files.topics() if t.type_name == INFO_TYPE]
            raise PlaybackError(
                f"{self._options.names('color_info')}: no camera_info on '{topic}'; recorded are "
                + (', '.join(sorted(kinds)) or 'none')
            )
        frames = FrameTree(self._static)
        pairs = (self.first_pair(rig) for rig in range(len(self.rigs)))
        left = [pair.header.frame_id if pair else '' for pair in pairs]
        return [color_target(info, self._options, images, frames, frame) for frame in left]

    def _note_video(self) -> None:
        """Take note of CompressedImages that are packets of video, as some drivers send them."""
        used = set[str]().union(*(camera.image_topics for camera in self._cameras))
        for topic in self._files.topics():
            if topic.type_name == COMPRESSED_TYPE and topic.topic in used:
                contents = self._contents({topic.topic}, TimeWindow())
                first = next((content for _, content in contents), None)
                if first is not None and is_packet(first):
                    self._video.add(topic.topic)

    def _found_static(self) -> list[Any]:
        """Return the transforms that do not change, if any are needed."""
        options = self._options
        if not (options.points_frame or options.temporal_fixed_frame or options.color_info):
            return []
        return [content for _, content in self._contents({STATIC_TRANSFORMS}, TimeWindow())]

    def _check_transforms(self) -> None:
        """Raise PlaybackError if clouds cannot be transformed, since no transform is recorded."""
        wanted = self._options.points_frame
        if not wanted or CLOUDS.isdisjoint(self._options.outputs):
            return
        topics = {topic.topic for topic in self._files.topics() if topic.count}
        if topics & {MOVING_TRANSFORMS, STATIC_TRANSFORMS}:
            return
        pairs = [self.first_pair(rig) for rig in range(len(self.rigs))]
        frames = sorted({pair.header.frame_id for pair in pairs if pair})
        if frames and wanted not in frames:
            raise PlaybackError(
                f"{self._options.names('points_frame')} = '{wanted}': nothing is recorded on "
                f'{MOVING_TRANSFORMS} or {STATIC_TRANSFORMS}, so clouds stay in the frame of the '
                f'left camera: {", ".join(frames)}'
            )

    def _extras(self, window: TimeWindow) -> PairExtras:
        """Return what completes the pairs of a window."""
        options = self._options
        moving: list[Any] = []
        if options.points_frame or options.temporal_fixed_frame:
            around = _widened(window, LONGEST_BEFORE_NS + MARGIN_NS, LONGEST_AFTER_NS + MARGIN_NS)
            moving = [content for _, content in self._contents({MOVING_TRANSFORMS}, around)]
        colors = ColorImages(self._color_topic, options) if self._color_topic else None
        frames = FrameTree(self._static, moving)
        return PairExtras(
            options.points_frame,
            options.temporal_fixed_frame,
            frames,
            self.targets,
            colors,
            self._files.note_damage,
        )

    def _first_pair(
        self, rig: int, window: TimeWindow, ranges: Sequence[PixelRange]
    ) -> StampedPair | None:
        items = self._items(window, ranges, only=rig)
        pairs = (item for item in items if isinstance(item, StampedPair) and item.pair)
        return next(pairs, None)

    def _items(
        self,
        window: TimeWindow,
        ranges: Sequence[PixelRange],
        *,
        only: int | None = None,
        colors: str = '',
    ) -> Iterator[Item | _Image]:
        wide = _widened(window, MARGIN_NS, MARGIN_NS)
        cameras = self._cameras if only is None else [self._cameras[only]]
        states = {
            index if only is None else only: _RigState(
                camera,
                PairMaker(camera.survey.rule),
                self._infos_before(camera, wide),
                copy.deepcopy(ranges[index]) if only is None else ranges[only],
            )
            for index, camera in enumerate(cameras)
        }
        kept = frozenset[str]() if only is not None else self._kept.names
        for message, content in self._read(cameras, colors, kept, wide):
            if content is None:
                if window.holds(message.log_ns):
                    yield from self._carried(message)
                continue
            if message.topic.topic == colors:
                yield _Image(message, content, stamp_of(message, content))
            for index, state in states.items():
                for images in self._added(state, message, content, window):
                    yield self._pair(index, state, *images)
        for index, state in states.items():
            for left, right in state.pairs.finish():
                if window.holds(left.stored.log_ns):
                    yield self._pair(index, state, left, right)
            yield ImageCount(index, *state.counts)

    def _read(
        self, cameras: Sequence[_Camera], colors: str, kept: Collection[str], window: TimeWindow
    ) -> Iterator[tuple[StoredMessage, Any]]:
        """Yield messages to be carried along with None, and those of rigs with their content."""
        images = {colors}.union(*(camera.image_topics for camera in cameras)) - {''}
        read = images.union(*(camera.info_topics for camera in cameras)) - {''}
        video = VideoTopics(self._files.note_damage)
        wide = self._from_key_frames(images, window)
        for message in self._files.messages({*read, *kept}, wide):
            topic = message.topic.topic
            if topic in kept:
                yield message, None
            content = self._content(message) if topic in read else None
            if content is None:
                continue
            found = video.images(topic, content) if topic in images else [content]
            for image in found:
                yield message, image

    def _from_key_frames(self, topics: set[str], window: TimeWindow) -> TimeWindow:
        """Return the window, from where each topic of video can be decoded on."""
        start, spans = window.start_ns, self._files.spans()
        if start is None or not spans:
            return window
        length, end, earliest = FIRST_LOOK_BACK_NS, start, start
        missing = self._video & topics
        while missing and end > spans[0][0]:
            keys = {
                message.topic.topic: message.log_ns
                for message, content in self._contents(missing, TimeWindow(end - length, end))
                if is_key(content)
            }
            earliest = min([earliest, *keys.values()])
            missing -= keys.keys()
            end, length = end - length, 4 * length
        return TimeWindow(earliest, window.end_ns)

    def _carried(self, message: StoredMessage) -> Iterator[KeptMessage]:
        try:
            carried = self._kept.carried(message)
        except PlaybackError as error:
            self._files.note_damage(str(error))
        else:
            if carried:
                yield carried

    def _added(
        self, state: _RigState, message: StoredMessage, content: Any, window: TimeWindow
    ) -> Iterator[tuple[_Image, _Image]]:
        """Take note of a message; yield the pairs of the window that it completes."""
        topics, topic = state.camera.topics, message.topic.topic
        if message.topic.type_name == INFO_TYPE:
            if topic in state.camera.info_topics:
                state.infos[topic] = content
            return
        if topic not in state.camera.image_topics:
            return
        image = _Image(message, content, stamp_of(message, content))
        is_inside = window.holds(message.log_ns)
        if topics.left == topics.right:
            if is_inside:
                state.counts = [count + 1 for count in state.counts]
                yield image, image
            return
        side = 0 if topic == topics.left else 1
        state.counts[side] += is_inside
        for left, right in state.pairs.add(side, image.stamp_ns, image, size=len(content.data)):
            if window.holds(left.stored.log_ns):
                yield left, right

    def _pair(self, rig: int, state: _RigState, left: _Image, right: _Image) -> StampedPair:
        header = left.content.header
        plain = plain_header(0, _frame_id(header))
        # As it is, even if it has no meaning.
        plain.stamp.sec, plain.stamp.nanosec = header.stamp.sec, header.stamp.nanosec
        name, log_ns = seconds_text(left.stamp_ns), left.stored.log_ns
        try:
            infos = self._infos(state, left)
            topics = self.rigs[rig].topics
            messages = _Messages(left.content, right.content, *infos, topics)
            pair = decode_pair(messages, state.range, self._options.layout)
        except (ImageError, CalibrationError, PlaybackError) as error:
            return StampedPair(rig, name, log_ns, plain, error=str(error))
        return StampedPair(rig, name, log_ns, plain, infos[0], pair)

    def _infos(self, state: _RigState, left: _Image) -> tuple[Any, Any]:
        camera = state.camera
        if camera.lookup is None:
            found = [state.infos.get(name) for name in (camera.topics.left_info,
                                                        camera.topics.right_info)]  # fmt: skip
            if None in found:
                raise PlaybackError('no camera_info came so far')
            return found[0], found[1]
        width, height = image_size(left.content)
        if self._options.layout.value == 'side_by_side':
            width //= 2
        elif self._options.layout.value == 'top_bottom':
            height //= 2
        models = camera.lookup.models(self._path, (width, height))
        if models is None:
            raise no_calibration(self._path, self._options.names)
        header = plain_header(0, _frame_id(left.content.header))
        made = [
            camera_info_message(model, header, raw=bool(model.K and model.R)) for model in models
        ]
        return made[0], made[1]

    def _infos_before(self, camera: _Camera, window: TimeWindow) -> dict[str, Any]:
        """Return the newest calibration of each camera before a window, else the first there is.

        They may come once at the start of a recording, or with every image.
        """
        infos = dict(camera.survey.infos)
        missing = camera.info_topics - {''}
        end, length = window.start_ns, FIRST_LOOK_BACK_NS
        spans = self._files.spans()
        while missing and end is not None and spans and end > spans[0][0]:
            found = {
                message.topic.topic: content
                for message, content in self._contents(missing, TimeWindow(end - length, end))
            }
            infos.update(found)
            missing = missing - found.keys()
            end, length = end - length, 4 * length
        return infos

    def _contents(
        self, topics: set[str], window: TimeWindow
    ) -> Iterator[tuple[StoredMessage, Any]]:
        for message in self._files.messages(topics, window):
            content = self._content(message)
            if content is not None:
                yield message, content

    def _content(self, message: StoredMessage) -> Any:
        """Return a message, None where it is damaged."""
        try:
            return with_header(deserialized(message))
        except PlaybackError as error:
            self._files.note_damage(str(error))
            return None


def _widened(window: TimeWindow, before_ns: int, after_ns: int) -> TimeWindow:
    return TimeWindow(
        None if window.start_ns is None else window.start_ns - before_ns,
        None if window.end_ns is None else window.end_ns + after_ns,
    )


def _frame_id(header: Any) -> str:
    """Return the frame as the node publishes it: tf2 rejects a leading slash."""
    return str(header.frame_id).lstrip('/')


def _info_names(camera: _Camera) -> tuple[str, str]:
    if camera.lookup is None:
        return camera.topics.left_info, camera.topics.right_info
    return 'the left calibration', 'the right calibration'
