"""Which topics of a recording are carried along, and in which form."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace

from s2m2_ros.io.recordings.storage.compression import decompressed
from s2m2_ros.io.recordings.storage.stored_messages import StoredMessage, StoredTopic
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.messages.plain_messages import definition, message_types
from s2m2_ros.offline.processing.options import ALL
from s2m2_ros.offline.processing.streams import KeptMessage

_logger = logging.getLogger(__name__)


class KeptTopics:
    """The topics that are kept; those of ROS 1 as the same messages of ROS 2."""

    def __init__(
        self, recorded: Sequence[StoredTopic], patterns: Sequence[str], outputs: Collection[str]
    ) -> None:
        """Take what is recorded, names or patterns, and the topics that are written anew.

        A topic that cannot be carried along is reported in the log. Raises PlaybackError for a
        pattern that fits nothing.
        """
        chosen = _chosen(recorded, patterns)
        replaced = sorted({topic.topic for topic in chosen} & set(outputs))
        if replaced:
            _logger.info('written anew, not kept: %s', ', '.join(replaced))
        self.topics: list[StoredTopic] = []
        self._numbers: dict[tuple[str, str], int] = {}
        for topic in chosen:
            if topic.topic in outputs:
                continue
            kept = _with_definition(topic)
            if kept is None:
                _logger.warning(
                    '%s is not kept: the recording lacks the definition of its type %s',
                    topic.topic,
                    topic.type_name or '(none)',
                )
                continue
            self._numbers[topic.topic, topic.type_name] = len(self.topics)
            self.topics.append(kept)
        self.names = frozenset(topic.topic for topic in self.topics)

    def carried(self, message: StoredMessage) -> KeptMessage | None:
        """Return the message as it is written, None if it is not kept; raises PlaybackError."""
        number = self._numbers.get((message.topic.topic, message.topic.type_name))
        if number is None:
            return None
        return KeptMessage(number, message.log_ns, _as_cdr(message))


def _chosen(recorded: Sequence[StoredTopic], patterns: Sequence[str]) -> list[StoredTopic]:
    if ALL in patterns:
        return [topic for topic in recorded if topic.count]
    for pattern in patterns:
        if not any(_fits(topic.topic, pattern) for topic in recorded):
            listed = ', '.join(sorted(topic.topic for topic in recorded)) or 'none'
            raise PlaybackError(f"no topic '{pattern}' to keep: recorded are {listed}")
    return [t for t in recorded if any(_fits(t.topic, pattern) for pattern in patterns)]


def _fits(topic: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(topic, pattern) or topic == f'/{pattern}'


def _with_definition(topic: StoredTopic) -> StoredTopic | None:
    """Return a topic with the definition that is written; None if there is none."""
    is_known = topic.type_name in message_types().types
    if topic.encoding == 'ros1':
        if not is_known:
            return None
        return replace(
            topic,
            encoding='cdr',
            definition=definition(topic.type_name).encode(),
            definition_format='ros2msg',
        )
    if topic.definition and topic.definition_format:
        return topic
    if not is_known:
        return None
    text = definition(topic.type_name)
    return replace(topic, definition=text.encode(), definition_format='ros2msg')


def _as_cdr(message: StoredMessage) -> bytes:
    if message.topic.encoding == 'cdr':
        # rosbag2 may have compressed each message; CDR never begins as compressed data does.
        return decompressed(message.data)
    if message.topic.encoding != 'ros1':
        return message.data
    try:
        return bytes(message_types().ros1_to_cdr(message.data, message.topic.type_name))
    except Exception as error:  # rosbags raises what struct and NumPy do for damaged data
        raise PlaybackError(f'a message on {message.topic.topic} is damaged') from error
