"""The messages of a recording with their content; what is damaged is noted and left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from s2m2_ros.io.recordings.recording_topics import COMPRESSED_TYPE, VIDEO_TYPES
from s2m2_ros.io.recordings.storage.deserialization import deserialized
from s2m2_ros.io.recordings.storage.recording_files import RecordingFiles
from s2m2_ros.io.recordings.storage.stored_messages import (
    ROS_ENCODINGS,
    StoredMessage,
    TimeWindow,
)
from s2m2_ros.io.sources.stereo_frame import NANOSECONDS, PlaybackError
from s2m2_ros.offline.processing.recorded_video import (
    VideoTopics,
    is_key,
    is_packet,
    with_header,
)

# How far back is looked at first for what comes seldom: calibrations, key frames.
FIRST_LOOK_BACK_NS = 4 * NANOSECONDS


class RecordedMessages:
    """Reads messages from the files of a recording."""

    def __init__(self, files: RecordingFiles) -> None:
        """Take open files."""
        self._files = files
        self._video = {t.topic for t in files.topics() if t.type_name in VIDEO_TYPES}

    def note_video(self, topics: Collection[str]) -> None:
        """Take note of CompressedImages that are packets of video, as some drivers send them."""
        for topic in self._files.topics():
            if topic.type_name == COMPRESSED_TYPE and topic.topic in topics:
                contents = self.contents({topic.topic}, TimeWindow())
                first = next((content for _, content in contents), None)
                if first is not None and is_packet(first):
                    self._video.add(topic.topic)

    def contents(
        self, topics: Collection[str], window: TimeWindow
    ) -> Iterator[tuple[StoredMessage, Any]]:
        """Yield the messages of ROS on these topics, as stored and deserialized."""
        for message in self._files.messages(topics, window):
            content = self._content(message)
            if content is not None:
                yield message, content

    def images(
        self,
        images: Collection[str],
        others: Collection[str],
        kept: Collection[str],
        window: TimeWindow,
    ) -> Iterator[tuple[StoredMessage, Any]]:
        """Yield messages to be carried along with None, and those of cameras with their content.

        Video among ``images`` is decoded from the key frame before the window on; a packet that
        gives no picture is a `LostPicture`.
        """
        read = {*images, *others}
        video = VideoTopics()
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

    def last_before(self, topics: Collection[str], window: TimeWindow) -> dict[str, Any]:
        """Return the newest message of each topic before a window, if there is one."""
        return self._looked_back(topics, window, lambda _: True)[0]

    def _from_key_frames(self, topics: Collection[str], window: TimeWindow) -> TimeWindow:
        """Return the window, from where each topic of video can be decoded on."""
        _, times = self._looked_back(self._video.intersection(topics), window, is_key)
        if window.start_ns is None:
            return window
        return TimeWindow(min([window.start_ns, *times.values()]), window.end_ns)

    def _looked_back(
        self, topics: Collection[str], window: TimeWindow, is_wanted: Callable[[Any], bool]
    ) -> tuple[dict[str, Any], dict[str, int]]:
        """Return content and time of the last such message of each topic before a window."""
        found: dict[str, Any] = {}
        times: dict[str, int] = {}
        end, length = window.start_ns, FIRST_LOOK_BACK_NS
        missing, spans = set(topics), self._files.spans()
        while missing and end is not None and spans and end > spans[0][0]:
            for message, content in self.contents(missing, TimeWindow(end - length, end)):
                if is_wanted(content):
                    found[message.topic.topic] = content
                    times[message.topic.topic] = message.log_ns
            missing -= found.keys()
            end, length = end - length, 4 * length
        return found, times

    def _content(self, message: StoredMessage) -> Any:
        """Return a message, None where it is damaged or none of ROS."""
        if message.topic.encoding not in ROS_ENCODINGS:
            return None
        try:
            return with_header(deserialized(message))
        except PlaybackError as error:
            self._files.note_damage(str(error))
            return None


def widened(window: TimeWindow, before_ns: int, after_ns: int) -> TimeWindow:
    """Return a window with more before and after it."""
    return TimeWindow(
        None if window.start_ns is None else window.start_ns - before_ns,
        None if window.end_ns is None else window.end_ns + after_ns,
    )
