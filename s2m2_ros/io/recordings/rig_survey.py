"""What the beginning of a recording shows of one stereo rig."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.recordings.pairing import PairingRule, measured_rule
from s2m2_ros.io.recordings.recorded_infos import INFO_TYPE, RecordedTopics

if TYPE_CHECKING:
    from s2m2_ros.io.recordings.storage.stored_messages import StoredMessage

# Images of each side whose timestamps decide how pairs are matched.
SURVEYED_IMAGES = 60


@dataclass(frozen=True)
class RigSurvey:
    """The rule for pairs, first calibrations and frames by topic, and the first timestamps."""

    rule: PairingRule
    infos: dict[str, Any]
    stamps_ns: tuple[Sequence[int], Sequence[int]]
    frames: dict[str, str]

    def has_own_infos(self, topics: RecordedTopics) -> bool:
        """Return whether each camera has a calibration of its own in the recording."""
        own = topics.left_info != topics.right_info
        return own and topics.left_info in self.infos and topics.right_info in self.infos


def survey(contents: Iterable[tuple[StoredMessage, Any]], topics: RecordedTopics) -> RigSurvey:
    """Read on until the timestamps show the rule and each calibration came once.

    ``contents`` are messages of these topics, as stored and deserialized.
    """
    timestamps: dict[str, deque[int]] = {
        topic: deque(maxlen=2 * SURVEYED_IMAGES) for topic in (topics.left, topics.right)
    }
    infos: dict[str, Any] = {}
    frames: dict[str, str] = {}
    awaited = {topics.left_info, topics.right_info} - {''}
    for message, content in contents:
        frames.setdefault(message.topic.topic, str(content.header.frame_id))
        if message.topic.type_name == INFO_TYPE:
            infos.setdefault(message.topic.topic, content)
        else:
            timestamps[message.topic.topic].append(stamp_of(message, content))
        surveyed = min(len(side) for side in timestamps.values())
        if surveyed >= SURVEYED_IMAGES and awaited <= infos.keys():
            break
    left, right = timestamps[topics.left], timestamps[topics.right]
    return RigSurvey(measured_rule(left, right), infos, (left, right), frames)


def stamp_of(message: StoredMessage, content: Any) -> int:
    """Return the timestamp of a message, or when it was recorded if its driver gave none."""
    return stamp_ns(content.header) or message.log_ns
