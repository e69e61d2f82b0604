"""The pairs of a recording, by segments of time."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from s2m2_ros.io.images.pixel_range import PixelRange
from s2m2_ros.io.recordings.pairing import LONGEST_WAIT_NS
from s2m2_ros.io.recordings.rig_survey import stamp_of
from s2m2_ros.io.recordings.storage.file_names import recording_files
from s2m2_ros.io.recordings.storage.recording_files import RecordingFiles
from s2m2_ros.io.recordings.storage.stored_messages import (
    ROS_ENCODINGS,
    StoredMessage,
    StoredRecord,
    StoredTopic,
    TimeWindow,
)
from s2m2_ros.io.sources.stereo_frame import NANOSECONDS, PlaybackError
from s2m2_ros.messages.pair_decoder import StereoTopics
from s2m2_ros.offline.processing.color_target import ColorTarget
from s2m2_ros.offline.processing.fingerprints import file_fingerprint
from s2m2_ros.offline.processing.kept_topics import KeptTopics
from s2m2_ros.offline.processing.namespaces import rig_namespaces
from s2m2_ros.offline.processing.options import ProcessOptions
from s2m2_ros.offline.processing.pair_extras import PairExtras
from s2m2_ros.offline.processing.recorded_cameras import FoundCameras, find_cameras
from s2m2_ros.offline.processing.recorded_extras import MARGIN_NS, RecordedExtras
from s2m2_ros.offline.processing.recorded_messages import RecordedMessages, widened
from s2m2_ros.offline.processing.rig_reader import RecordedImage, RigPlace, RigReader
from s2m2_ros.offline.processing.segments import time_segments
from s2m2_ros.offline.processing.streams import Item, KeptMessage, Rig, Segment, StampedPair

_logger = logging.getLogger(__name__)

# Segments whose first pairs decide which values of deep images are black and white.
RANGE_SAMPLES = 16


class RecordedStream:
    """The rigs of a recording; see `Stream`."""

    def __init__(self, path: Path, options: ProcessOptions, output_topics: Sequence[str]) -> None:
        """Look into the recording; ``output_topics`` are never carried along under their names.

        Raises S2M2Error if it cannot be read, holds no stereo pair or no calibration of one.
        """
        self._path, self._options = path, options
        self._files = RecordingFiles(path, is_reporting=False)
        damage = self._files.take_damage()
        try:
            self._messages = RecordedMessages(self._files)
            found = self._open_rigs()
            self.losses: Sequence[str] = [*damage, *found.unusable]
            outputs = {rig.topic(output) for rig in self.rigs for output in output_topics}
            self._kept = KeptTopics(self._files.channels(), options, outputs)
            self.kept: Sequence[StoredTopic] = self._kept.topics
            self.remarks: Sequence[str] = [*found.remarks, *self._kept.remarks]
            length_ns = round(options.segment_seconds * NANOSECONDS)
            self.segments: Sequence[Segment] = time_segments(self._files.spans(), length_ns)
            self._messages.note_video(set[str]().union(*(c.image_topics for c in found.cameras)))
            self._ranges = self._found_ranges()
            self._open_extras()
        except BaseException:
            # It may be why.
            for text in damage:
                _logger.warning("'%s': %s", path, text)
            self.close()
            raise

    def items(self, segment: Segment) -> Iterator[Item]:
        """Yield what belongs to a segment: a pair does by the time of its left image."""
        window = TimeWindow(segment.start, segment.end)
        extras = self._extras.of_window(window, self.targets)
        for item in self._items(window, self._ranges, extras=extras):
            if isinstance(item, StampedPair):
                yield from extras.take(item)
            elif isinstance(item, RecordedImage):
                yield from extras.add_color(item.content, item.stored.log_ns)
            else:
                yield item
        yield from extras.finish()

    def first_pair(self, rig: int) -> StampedPair | None:
        """Return the first pair of a rig; None without any."""
        ranges = [PixelRange(self._options.pixel_range) for _ in self.rigs]
        return self._first_pair(rig, TimeWindow(), ranges)

    def records(self) -> list[StoredRecord]:
        """Return the attachments and metadata records that come along with kept topics."""
        return list(self._files.records()) if self._options.keep else []

    def take_damage(self) -> list[str]:
        """Return what was found damaged since the last call."""
        return self._files.take_damage()

    def fingerprint(self) -> dict[str, Any]:
        """Return what is checked of the recording's files and calibration."""
        found = recording_files(self._path)
        calibration = [
            file
            for place in self._places
            if place.camera.lookup
            for file in place.camera.lookup.files(self._path) or ()
        ]
        missing = {'missing': list(found.missing_names)} if found.missing_names else {}
        return {
            'files': [file_fingerprint(file) for file in found.files],
            'calibration': [file_fingerprint(f) for f in dict.fromkeys(calibration)],
            **missing,
        }

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def _open_rigs(self) -> FoundCameras:
        """Find the rigs; return them, and why others are not processed."""
        topics, options = self._files.topics(), self._options
        found = find_cameras(self._path, topics, self._messages, options)
        cameras = found.cameras
        names = rig_namespaces([c.topics for c in cameras], options.namespace)
        self.rigs: Sequence[Rig] = [
            Rig(name, StereoTopics(c.topics.left, c.topics.right, *c.info_names))
            for name, c in zip(names, cameras, strict=True)
        ]
        self._places = [
            RigPlace(number, camera, rig.topics, self._path, options)
            for number, (camera, rig) in enumerate(zip(cameras, self.rigs, strict=True))
        ]
        counts = {t.topic: t.count for t in topics if t.encoding in ROS_ENCODINGS}
        self.expected_pairs = sum(
            min(counts.get(name, 0) for name in camera.image_topics) for camera in cameras
        )
        return found

    def _open_extras(self) -> None:
        self._extras = RecordedExtras(self._files.topics(), self._messages, self._options)
        frames = [''] * len(self.rigs)
        if self._options.color_info or self._extras.needs_transforms:
            pairs = (self.first_pair(rig) for rig in range(len(self.rigs)))
            frames = [pair.header.frame_id if pair else '' for pair in pairs]
        self.targets: Sequence[ColorTarget | None] = self._extras.targets(frames)
        doubts = [target.doubt for target in self.targets if target and target.doubt]
        self.remarks = [*self.remarks, *dict.fromkeys(doubts)]
        self._extras.check_transforms(frames)

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
        extras: PairExtras | None = None,
    ) -> Iterator[Item | RecordedImage]:
        places = self._places if only is None else [self._places[only]]
        colors = self._extras.color_topic if extras else ''
        before_ns = max(self._reach_before(place, window, colors) for place in places)
        wide = widened(window, before_ns, LONGEST_WAIT_NS + MARGIN_NS)
        readers = [
            RigReader(
                place,
                window,
                self._infos_before(place, wide),
                copy.deepcopy(ranges[place.number]) if only is None else ranges[only],
            )
            for place in places
        ]
        images = {colors}.union(*(place.camera.image_topics for place in places)) - {''}
        infos = set[str]().union(*(place.camera.info_topics for place in places)) - {''}
        kept = frozenset[str]() if only is not None else self._kept.names
        waiting: list[RigReader | PairExtras] = [*readers, *([extras] if extras else [])]
        enough = widened(window, 0, MARGIN_NS).end_ns
        for message, content in self._messages.images(images, infos, kept, wide):
            is_beyond = enough is not None and message.log_ns >= enough
            if is_beyond and all(w.is_settled(message.log_ns) for w in waiting):
                break
            if content is None:
                if window.holds(message.log_ns):
                    yield from self._carried(message)
                continue
            if message.topic.topic == colors:
                yield RecordedImage(message, content, stamp_of(message, content))
            for reader in readers:
                yield from reader.add(message, content)
        for reader in readers:
            yield from reader.finish()

    def _reach_before(self, place: RigPlace, window: TimeWindow, colors: str) -> int:
        """Return how much earlier than a window what belongs to its first left image may be."""
        if window.start_ns is None:
            return 0
        topics = place.camera.topics
        left = self._first_stamp(topics.left, window)
        wanted = {topics.right, colors} - {topics.left, ''}
        if place.camera.has_info_of_each_image:
            wanted |= place.camera.info_topics
        reaches = [self._reach_of(topic, left, window.start_ns) for topic in sorted(wanted)]
        reach_ns = max(reaches, default=0)
        # What is out of order may be still earlier.
        return reach_ns + MARGIN_NS

    def _reach_of(self, topic: str, left_ns: int | None, start_ns: int) -> int:
        """Return how much earlier than a time a topic has what belongs to a left image."""
        if left_ns is None:
            return 0
        before_ns = 0
        while before_ns < LONGEST_WAIT_NS:
            before_ns = min(max(2 * before_ns, MARGIN_NS), LONGEST_WAIT_NS)
            first = self._first_stamp(topic, TimeWindow(start_ns - before_ns, start_ns))
            if first is not None and first <= left_ns:
                return before_ns if before_ns > MARGIN_NS else 0
        # Either there is nothing, or it is further away.
        return 0 if first is None else before_ns

    def _first_stamp(self, topic: str, window: TimeWindow) -> int | None:
        found = self._messages.contents({topic}, window)
        return next((stamp_of(message, content) for message, content in found), None)

    def _carried(self, message: StoredMessage) -> Iterator[KeptMessage]:
        try:
            carried = self._kept.carried(message)
        except PlaybackError as error:
            self._files.note_damage(str(error))
        else:
            if carried:
                yield carried

    def _infos_before(self, place: RigPlace, window: TimeWindow) -> dict[str, Any]:
        """Return the newest calibration of each camera before a window, else the first there is.

        They may come once at the start of a recording, or with every image.
        """
        camera = place.camera
        found = self._messages.last_before(camera.info_topics - {''}, window)
        return {**camera.survey.infos, **found}
