"""Frame names of the inputs: what tf2 rejects is corrected or reported; text made printable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from s2m2_ros.node.faults import Fault, FaultLog
from s2m2_ros.text_safety import LIMIT, safe_text

# A driver has a few frames; more come from one that changes them all the time.
MOST_NAMES = 100


class TopicFrame(NamedTuple):
    """The frame_id of a topic, as it came."""

    topic: str
    frame_id: str


class FrameWatch:
    """Corrects frame names, and reports those that leave the outputs unusable.

    A problem is reported once, until it changes.
    """

    def __init__(self, faults: FaultLog) -> None:
        self._faults = faults
        self._with_slash: dict[tuple[str, str], str] = {}
        self._last: list[TopicFrame] = []

    def correct(self, topic: str, message: Any) -> None:
        """Take leading slashes off the message's frame_id."""
        came = str(message.header.frame_id)
        name = came.lstrip('/')
        if name == came:
            self._with_slash.pop((topic, name), None)
            return
        message.header.frame_id = name
        if len(self._with_slash) > MOST_NAMES:
            self._with_slash.clear()
        self._with_slash[topic, name] = came

    def check(self, topics: Sequence[str], messages: Sequence[Any]) -> None:
        """Look at one pair's messages: left and right image, left and right info."""
        names = [
            (topic, str(message.header.frame_id))
            for topic, message in zip(topics, messages, strict=True)
        ]
        frames = [TopicFrame(name[0], self._with_slash.get(name, name[1])) for name in names]
        if frames == self._last:
            return
        self._last = frames
        problem = explain_frames(frames)
        if problem is None:
            self._faults.clear(Fault.FRAME_ID)
        else:
            self._faults.report(Fault.FRAME_ID, problem)


def explain_frames(frames: Sequence[TopicFrame]) -> str | None:
    """Return what is wrong with the frames of left and right image, left and right info."""
    reasons = [reason for frame in frames if (reason := _explain(frame))]
    for image, info in zip(frames[:2], frames[2:], strict=True):
        if image.frame_id.lstrip('/') != info.frame_id.lstrip('/'):
            reasons.append(
                f"{image.topic} has the frame_id '{safe_text(image.frame_id)}' and {info.topic} "
                f"'{safe_text(info.frame_id)}': does the calibration belong to this camera? The "
                "outputs carry the left image's frame"
            )
    return '; '.join(reasons) or None


def _explain(frame: TopicFrame) -> str | None:
    name = frame.frame_id.lstrip('/')
    if not name.strip():
        found = f"'{safe_text(frame.frame_id)}' as frame_id" if frame.frame_id else 'no frame_id'
        return (
            f'{frame.topic} has {found}: tf2, rviz2 and Nav2 drop messages without a frame; set '
            'the frame in the camera driver'
        )
    if name != frame.frame_id:
        return (
            f"{frame.topic} has the frame_id '{safe_text(frame.frame_id)}': tf2 rejects a leading "
            f"slash, so it is removed ('{safe_text(name)}'); set it without one in the driver"
        )
    if len(name) > LIMIT or not name.isprintable():
        return (
            f'{frame.topic} has an unusable frame_id of {len(name)} characters, '
            f"'{safe_text(name)}': set a plain name in the camera driver"
        )
    return None
