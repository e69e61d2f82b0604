"""What a pair gets besides its images: the frame of its clouds, and the image of their colors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.messages.output_topics import CLOUDS
from s2m2_ros.offline.processing.color_images import ColorImages
from s2m2_ros.offline.processing.color_target import ColorTarget
from s2m2_ros.offline.processing.frames import FrameTree
from s2m2_ros.offline.processing.recorded_video import LostPicture
from s2m2_ros.offline.processing.streams import StampedPair


@dataclass(frozen=True)
class PairExtras:
    """Completes the pairs of one segment.

    Attributes:
        points_frame: that clouds are transformed into; empty for the left camera's.
        fixed_frame: in which the temporal filter follows the camera; empty: it does not.
        frames: where both are found.
        targets: the color camera of each rig.
        colors: its images; None if none are wanted.

    """

    points_frame: str
    fixed_frame: str
    frames: FrameTree
    targets: Sequence[ColorTarget | None]
    colors: ColorImages | None

    def is_settled(self, _: int) -> bool:
        """Return whether no pair waits for the image of its colors, whatever the time."""
        return self.colors is None or self.colors.is_settled

    def add_color(self, message: Any, log_ns: int) -> Iterator[StampedPair]:
        """Take an image of the color camera; yield the pairs that waited for it."""
        if self.colors is not None and not isinstance(message, LostPicture):
            self.colors.add(message, log_ns)
            yield from self.colors.ready()

    def take(self, pair: StampedPair) -> Iterator[StampedPair]:
        """Take a pair; yield those that are complete."""
        pair = self._posed(self._located(pair))
        target = self.targets[pair.rig]
        if self.colors is None or target is None:
            yield pair
            return
        self.colors.wait(pair, target.camera)
        yield from self.colors.ready()

    def finish(self) -> Iterator[StampedPair]:
        """Yield the pairs that still wait."""
        if self.colors is not None:
            yield from self.colors.ready(at_end=True)

    def _located(self, pair: StampedPair) -> StampedPair:
        frame = str(pair.header.frame_id)
        if pair.pair is None or self.points_frame in ('', frame):
            return pair
        try:
            time_ns = stamp_ns(pair.header) or pair.log_ns
            transform = self.frames.find(frame, self.points_frame, time_ns)
        except PlaybackError as error:
            return _lacking(
                replace(pair, without=CLOUDS),
                f'without points (other outputs are written): {error}',
            )
        return replace(pair, transform=transform)

    def _posed(self, pair: StampedPair) -> StampedPair:
        if pair.pair is None or not self.fixed_frame:
            return pair
        try:
            time_ns = stamp_ns(pair.header) or pair.log_ns
            pose = self.frames.find(str(pair.header.frame_id), self.fixed_frame, time_ns)
        except PlaybackError as error:
            return _lacking(pair, f'not averaged by the temporal filter: {error}')
        return replace(pair, pose=pose)


def _lacking(pair: StampedPair, what: str) -> StampedPair:
    return replace(pair, lacks=(*pair.lacks, what))
