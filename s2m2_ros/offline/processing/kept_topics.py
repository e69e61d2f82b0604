"""Which topics of a recording are carried along, and in which form."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from s2m2_ros.io.recordings.storage.compression import decompressed
from s2m2_ros.io.recordings.storage.stored_messages import StoredMessage, StoredTopic
from s2m2_ros.io.sources.stereo_frame import PlaybackError, seconds_text
from s2m2_ros.messages.plain_messages import definition, message_types
from s2m2_ros.offline.output_formats import OutputFormat
from s2m2_ros.offline.processing.options import ALL, ProcessOptions
from s2m2_ros.offline.processing.streams import KeptMessage

_logger = logging.getLogger(__name__)

# What a rosbag2 recording holds: other encodings and definitions make it unreadable.
ROSBAG2_ENCODING = 'cdr'
ROSBAG2_DEFINITIONS = ('ros2msg', 'ros2idl')


class KeptTopics:
    """The channels that are kept, as they are; those of ROS 1 as the same messages of ROS 2.

    Attributes:
        topics: what is written, one for each channel of the result.
        names: of their topics.
        remarks: what is not kept and why, whole sentences.

    """

    def __init__(
        self, recorded: Sequence[StoredTopic], options: ProcessOptions, outputs: Collection[str]
    ) -> None:
        """Take the channels that are recorded, and the topics that are written anew.

        Raises PlaybackError for a pattern that fits nothing, and for a topic that is named and
        cannot be kept.
        """
        self._advice = f'{options.names("formats")} mcap keeps it'
        self._is_rosbag2 = OutputFormat.ROSBAG2 in options.formats
        self.topics: list[StoredTopic] = []
        self.remarks: list[str] = []
        self._numbers: dict[StoredTopic, int] = {}
        chosen = _chosen(recorded, options)
        replaced = sorted({topic.topic for topic in chosen} & set(outputs))
        if replaced:
            _logger.info('written anew, not kept: %s', ', '.join(replaced))
        for topic in chosen:
            if topic.topic not in outputs:
                self._add(topic, is_named=_is_named(topic.topic, options.keep))
        self.names = frozenset(topic.topic for topic in self._numbers)

    def carried(self, message: StoredMessage) -> KeptMessage | None:
        """Return the message as it is written, None if it is not kept; raises PlaybackError."""
        number = self._numbers.get(message.topic.channel)
        if number is None:
            return None
        data = _as_written(message, self.topics[number])
        return KeptMessage(number, message.log_ns, data, message.publish_ns, message.sequence)

    def _add(self, topic: StoredTopic, *, is_named: bool) -> None:
        kept = _in_ros2(topic)
        problem = self._problem(kept)
        if problem:
            text = f'{topic.topic} is not kept: {problem}'
            if is_named:
                raise PlaybackError(text)
            self.remarks.append(text)
            return
        if kept.encoding == ROSBAG2_ENCODING and not kept.definition:
            self.remarks.append(
                f'{topic.topic} is kept without the definition of its type '
                f'{topic.type_name or "(none)"}, which is not recorded'
            )
        written = kept.channel
        number = next(self._equal(written), len(self.topics))
        if number == len(self.topics):
            self.topics.append(written)
        self._numbers[topic.channel] = number

    def _equal(self, channel: StoredTopic) -> Iterator[int]:
        """Yield the numbers of channels that messages of another can be written to."""
        for number, other in enumerate(self.topics):
            # A rosbag2 recording describes each topic once.
            is_same = (other.topic, other.type_name) == (channel.topic, channel.type_name)
            if other == channel or (self._is_rosbag2 and is_same):
                yield number

    def _problem(self, topic: StoredTopic) -> str:
        """Return why a topic cannot be kept; empty if it can."""
        if not self._is_rosbag2:
            return ''
        if topic.encoding != ROSBAG2_ENCODING:
            encoding = topic.encoding or 'unknown'
            return f'its encoding is {encoding}, and rosbag2 holds only CDR: {self._advice}'
        if topic.definition and topic.definition_format not in ROSBAG2_DEFINITIONS:
            kind = topic.definition_format or 'unknown'
            return f'its type is defined as {kind}, which rosbag2 does not read: {self._advice}'
        return '' if topic.type_name else f'it has no type, which rosbag2 needs: {self._advice}'


def _chosen(recorded: Sequence[StoredTopic], options: ProcessOptions) -> list[StoredTopic]:
    patterns = options.keep
    if ALL in patterns:
        return list(recorded)
    for pattern in patterns:
        if not any(_fits(topic.topic, pattern) for topic in recorded):
            listed = ', '.join(sorted({topic.topic for topic in recorded})) or 'none'
            raise PlaybackError(
                f"{options.names('keep')}: no topic '{pattern}': recorded are {listed}"
            )
    return [t for t in recorded if any(_fits(t.topic, pattern) for pattern in patterns)]


def _fits(topic: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(topic, pattern) or _is_named(topic, [pattern])


def _is_named(topic: str, patterns: Sequence[str]) -> bool:
    return topic in patterns or topic.removeprefix('/') in patterns


def _in_ros2(topic: StoredTopic) -> StoredTopic:
    """Return a topic as it is written: of ROS 2 and with a definition, if its type is known."""
    is_known = topic.type_name in message_types().types
    if topic.encoding == 'ros1' and is_known:
        text = definition(topic.type_name).encode()
        return replace(topic, encoding='cdr', definition=text, definition_format='ros2msg')
    has_definition = topic.definition and topic.definition_format
    if topic.encoding == 'cdr' and is_known and not has_definition:
        text = definition(topic.type_name).encode()
        return replace(topic, definition=text, definition_format='ros2msg')
    return topic


def _as_written(message: StoredMessage, kept: StoredTopic) -> bytes:
    if message.topic.encoding == 'cdr':
        # rosbag2 may have compressed each message; CDR never begins as compressed data does.
        try:
            return decompressed(message.data)
        except PlaybackError as error:
            raise _damaged(message, str(error)) from error
    if message.topic.encoding == kept.encoding:
        return message.data
    try:
        return bytes(message_types().ros1_to_cdr(message.data, message.topic.type_name))
    except Exception as error:  # rosbags raises what struct and NumPy do for damaged data
        reason = f'its {len(message.data)} bytes are no whole {message.topic.type_name}'
        raise _damaged(message, reason) from error


def _damaged(message: StoredMessage, reason: str) -> PlaybackError:
    return PlaybackError(
        f'a message on {message.topic.topic} at {seconds_text(message.log_ns)} s is damaged and '
        f'not kept: {reason}'
    )
