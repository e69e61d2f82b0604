"""What a recording holds beside its pairs: transforms, and the camera that colors clouds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from s2m2_ros.io.recordings.recorded_infos import INFO_TYPE
from s2m2_ros.io.recordings.storage.stored_messages import StoredTopic, TimeWindow
from s2m2_ros.io.sources.stereo_frame import NANOSECONDS, PlaybackError
from s2m2_ros.messages.output_topics import CLOUDS
from s2m2_ros.offline.processing.color_images import ColorImages
from s2m2_ros.offline.processing.color_target import (
    ColorTarget,
    color_image_topic,
    color_target,
)
from s2m2_ros.offline.processing.frames import (
    LONGEST_APART_NS,
    MOVING_TRANSFORMS,
    STATIC_TRANSFORMS,
    FrameTree,
)
from s2m2_ros.offline.processing.options import ProcessOptions
from s2m2_ros.offline.processing.pair_extras import PairExtras
from s2m2_ros.offline.processing.recorded_messages import RecordedMessages, widened

# The latter is that of bags of ROS 1 before 2013.
TRANSFORM_TYPES = ('tf2_msgs/msg/TFMessage', 'tf/msg/tfMessage')
# What is read around a segment at least, so that pairs at its ends are complete.
MARGIN_NS = NANOSECONDS


class RecordedExtras:
    """Finds what the options ask for besides the pairs.

    Attributes:
        color_topic: of the images that color clouds; empty if none are wanted.

    """

    def __init__(
        self, topics: Sequence[StoredTopic], messages: RecordedMessages, options: ProcessOptions
    ) -> None:
        """Look for the images that color clouds, and for static transforms.

        Raises PlaybackError if images are wanted and not there.
        """
        self._topics, self._messages, self._options = topics, messages, options
        self._images = color_image_topic(topics, options)
        self.color_topic = self._images if options.colors_clouds else ''
        self._static = self._found_static()

    @property
    def needs_transforms(self) -> bool:
        """Return whether anything is transformed into, or followed in, another frame."""
        return bool(self._wanted_frames())

    def check_transforms(self, frames: Sequence[str]) -> None:
        """Raise PlaybackError if another frame is wanted and no transform of it is recorded.

        ``frames`` are those of the rigs, empty where one has no pair.
        """
        known = sorted({*frames} - {''})
        missing = {n: w for n, w in self._wanted_frames().items() if w[0] not in known}
        if not (known and missing):
            return
        topics = f'{MOVING_TRANSFORMS} or {STATIC_TRANSFORMS}'
        recorded = {topic.topic for topic in self._topics if topic.count}
        if not recorded & self._of_transforms(MOVING_TRANSFORMS, STATIC_TRANSFORMS):
            name, (wanted, consequence) = next(iter(missing.items()))
            raise PlaybackError(
                f"{self._options.names(name)} = '{wanted}': nothing is recorded on {topics}, so "
                f'{consequence}: {", ".join(known)}'
            )
        found: set[str] = set()
        for names in self._recorded_frames():
            found |= names
            if {wanted for wanted, _ in missing.values()} <= found:
                return
        name, wanted = next((n, w) for n, (w, _) in missing.items() if w not in found)
        raise PlaybackError(
            f"{self._options.names(name)} = '{wanted}': no transform to or from it is recorded on "
            f'{topics}; frames there: {", ".join(sorted(found))}'
        )

    def _recorded_frames(self) -> Iterator[set[str]]:
        """Yield the frames of each message of transforms, the static ones first."""
        moving = self._messages.contents(self._of_transforms(MOVING_TRANSFORMS), TimeWindow())
        for message in chain(self._static, (content for _, content in moving)):
            yield FrameTree([message]).names

    def _wanted_frames(self) -> dict[str, tuple[str, str]]:
        """Return the frames that are wanted by option, and what holds if there is none."""
        options, found = self._options, {}
        if options.points_frame and not CLOUDS.isdisjoint(options.outputs):
            consequence = 'clouds stay in the frame of the left camera'
            found['points_frame'] = (options.points_frame, consequence)
        if options.temporal_fixed_frame:
            consequence = 'the temporal filter cannot follow the left camera'
            found['temporal_fixed_frame'] = (options.temporal_fixed_frame, consequence)
        return found

    def targets(self, frames: Sequence[str]) -> list[ColorTarget | None]:
        """Return the camera that depth is registered to, as rigs with these frames see it.

        Raises PlaybackError if its calibration or place is not recorded.
        """
        topic = self._options.color_info
        if not topic:
            return [None] * len(frames)
        found = self._messages.contents({topic}, TimeWindow())
        info = next((content for _, content in found), None)
        if info is None or not hasattr(info, 'distortion_model'):
            kinds = [t.topic for t in self._topics if t.type_name == INFO_TYPE]
            raise PlaybackError(
                f"{self._options.names('color_info')}: no camera_info on '{topic}'; recorded are "
                + (', '.join(sorted(kinds)) or 'none')
            )
        tree = FrameTree(self._static)
        return [color_target(info, self._options, self._images, tree, frame) for frame in frames]

    def of_window(self, window: TimeWindow, targets: Sequence[ColorTarget | None]) -> PairExtras:
        """Return what completes the pairs of a window."""
        options = self._options
        moving: list[Any] = []
        if self.needs_transforms:
            margin_ns = LONGEST_APART_NS + MARGIN_NS
            around = widened(window, margin_ns, margin_ns)
            found = self._messages.contents(self._of_transforms(MOVING_TRANSFORMS), around)
            moving = [content for _, content in found]
        colors = ColorImages(self.color_topic, options) if self.color_topic else None
        frames = FrameTree(self._static, moving)
        return PairExtras(
            options.points_frame if 'points_frame' in self._wanted_frames() else '',
            options.temporal_fixed_frame,
            frames,
            targets,
            colors,
        )

    def _found_static(self) -> list[Any]:
        """Return the transforms that do not change, if any are needed."""
        options = self._options
        if not (options.points_frame or options.temporal_fixed_frame or options.color_info):
            return []
        found = self._messages.contents(self._of_transforms(STATIC_TRANSFORMS), TimeWindow())
        return [content for _, content in found]

    def _of_transforms(self, *names: str) -> set[str]:
        """Return which of these topics hold transforms; others may have their names."""
        return {
            topic.topic
            for topic in self._topics
            if topic.topic in names and topic.type_name in TRANSFORM_TYPES
        }
