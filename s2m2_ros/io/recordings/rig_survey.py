"""What the beginning of a recording shows of one stereo rig."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.recordings.pairing import EQUAL_FRACTION, PairingRule, measured_rule
from s2m2_ros.io.recordings.recorded_infos import INFO_TYPE, RecordedTopics

if TYPE_CHECKING:
    from s2m2_ros.io.recordings.storage.stored_messages import StoredMessage

# Images of each side whose timestamps decide how pairs are matched.
SURVEYED_IMAGES = 60
# Timestamps that are compared: one side, or the calibrations, may be recorded seconds later.
COMPARED = 20_000


@dataclass(frozen=True)
class RigSurvey:
    """What the beginning shows.

    Attributes:
        rule: for pairs.
        infos: the first calibrations by topic.
        stamps_ns: the first timestamps of both sides.
        frames: the first frame by topic.
        stamped_infos: topics of calibrations whose timestamps are those of their images.
        unstamped: topics whose images have none: when they were recorded stands for that.

    """

    rule: PairingRule
    infos: dict[str, Any]
    stamps_ns: tuple[Sequence[int], Sequence[int]]
    frames: dict[str, str]
    stamped_infos: frozenset[str] = frozenset()
    unstamped: frozenset[str] = frozenset()

    def has_own_infos(self, topics: RecordedTopics) -> bool:
        """Return whether each camera has a calibration of its own in the recording."""
        own = topics.left_info != topics.right_info
        return own and topics.left_info in self.infos and topics.right_info in self.infos


def survey(contents: Iterable[tuple[StoredMessage, Any]], topics: RecordedTopics) -> RigSurvey:
    """Read on until the timestamps show the rule and each calibration came once.

    ``contents`` are messages of these topics, as stored and deserialized.
    """
    timestamps: dict[str, deque[int]] = {
        topic: deque(maxlen=COMPARED) for topic in (topics.left, topics.right)
    }
    of_infos: dict[str, set[int]] = {}
    infos: dict[str, Any] = {}
    unstamped = {topics.left, topics.right}
    frames: dict[str, str] = {}
    awaited = {topics.left_info, topics.right_info} - {''}
    for message, content in contents:
        frames.setdefault(message.topic.topic, str(content.header.frame_id))
        if message.topic.type_name == INFO_TYPE:
            infos.setdefault(message.topic.topic, content)
            of_infos.setdefault(message.topic.topic, set()).add(stamp_ns(content.header))
        else:
            timestamps[message.topic.topic].append(stamp_of(message, content))
            if stamp_ns(content.header):
                unstamped.discard(message.topic.topic)
        surveyed = min(len(side) for side in timestamps.values())
        if surveyed >= SURVEYED_IMAGES and awaited <= infos.keys():
            break
    left, right = timestamps[topics.left], timestamps[topics.right]
    stamped = frozenset(
        info
        for info, images in ((topics.left_info, left), (topics.right_info, right))
        if _are_common(of_infos.get(info, set()), images)
    )
    rule = measured_rule(left, right)
    return RigSurvey(rule, infos, (left, right), frames, stamped, frozenset(unstamped))


def _are_common(stamps_ns: set[int], images_ns: Sequence[int]) -> bool:
    common = stamps_ns.intersection(images_ns)
    return bool(common) and len(common) >= EQUAL_FRACTION * len(stamps_ns)


def stamp_of(message: StoredMessage, content: Any) -> int:
    """Return the timestamp of a message, or when it was recorded if its driver gave none."""
    return stamp_ns(content.header) or message.log_ns


def timestamps_remark(topics: RecordedTopics, found: RigSurvey) -> str:
    """Return how images are paired where that is not by equal timestamps; empty where it is."""
    tolerance_ns, names = found.rule.tolerance_ns, sorted({topics.left, topics.right})
    nearest = f'nearest ones within {tolerance_ns / 1e6:.1f} ms are paired'
    if unstamped := sorted(found.unstamped):
        text = (
            f'the images of {" and ".join(unstamped)} have no timestamps (0): when they were '
            'recorded stands for that'
        )
        if len(names) == 1:
            return text
        return (
            f'{text}, and {nearest if tolerance_ns else "equal ones are paired"}; these may be of '
            'different moments: have the driver of the cameras set timestamps'
        )
    if tolerance_ns and len(names) == 2:
        return f'{topics.left} and {topics.right} have no equal timestamps: {nearest}'
    return ''
