"""The stereo cameras of a recording: which there are, and what is known of each beforehand."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from s2m2_ros.io.recordings.recording_topics import (
    RecordedTopics,
    choose_all_pairs,
    choose_shared_topic,
    choose_topics,
)
from s2m2_ros.io.recordings.rig_survey import RigSurvey, survey
from s2m2_ros.io.recordings.storage.stored_messages import StoredTopic, TimeWindow
from s2m2_ros.io.sources.calibration_search import CalibrationLookup, no_calibration
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.offline.processing.options import ProcessOptions
from s2m2_ros.offline.processing.recorded_messages import RecordedMessages

_logger = logging.getLogger(__name__)

# Calibrations for each image from which on they come with the images, though some are lost.
INFOS_OF_EACH = 0.5


@dataclass(frozen=True, eq=False)
class StereoCamera:
    """What is known of a rig before a segment is read.

    Attributes:
        topics: of its images and calibrations.
        survey: what its beginning shows.
        lookup: of calibration files; None if the recorded calibration counts.
        has_info_of_each_image: whether the recorded ones come with the images, each of the
            timestamp of one.

    """

    topics: RecordedTopics
    survey: RigSurvey
    lookup: CalibrationLookup | None
    has_info_of_each_image: bool = False

    @property
    def info_topics(self) -> set[str]:
        """Return the topics of the calibrations that count."""
        return set() if self.lookup else {self.topics.left_info, self.topics.right_info}

    @property
    def image_topics(self) -> set[str]:
        """Return the topics of the images."""
        return {self.topics.left, self.topics.right}

    @property
    def info_names(self) -> tuple[str, str]:
        """Return what the calibrations are called."""
        if self.lookup is None:
            return self.topics.left_info, self.topics.right_info
        return 'the left calibration', 'the right calibration'


def find_cameras(
    path: Path, topics: Sequence[StoredTopic], messages: RecordedMessages, options: ProcessOptions
) -> tuple[list[StereoCamera], list[str]]:
    """Return the cameras of a recording, and why others cannot be processed.

    Raises PlaybackError if there is none.
    """
    cameras, errors = [], []
    for rig in _chosen(topics, options):
        try:
            cameras.append(_surveyed(path, rig, topics, messages, options))
        except PlaybackError as error:
            errors.append(str(error))
    if not cameras:
        raise PlaybackError('; '.join(errors))
    for text in errors:
        _logger.error("'%s': %s; the other rigs are processed", path, text)
    return cameras, errors


def rule_remarks(cameras: Sequence[StereoCamera]) -> Iterator[str]:
    """Yield how pairs are found where timestamps are not equal."""
    for camera in cameras:
        rule = camera.survey.rule
        if rule.tolerance_ns and camera.topics.left != camera.topics.right:
            yield (
                f'{camera.topics.left} and {camera.topics.right} have no equal timestamps: '
                f'nearest ones within {rule.tolerance_ns / 1e6:.1f} ms are paired'
            )


def _chosen(topics: Sequence[StoredTopic], options: ProcessOptions) -> list[RecordedTopics]:
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
            choose_topics(topics, left=left, right=right, video=True, names=options.names)
            for left, right in options.pairs
        ]
    return choose_all_pairs(topics, video=True, names=options.names)


def _surveyed(
    path: Path,
    topics: RecordedTopics,
    recorded: Sequence[StoredTopic],
    messages: RecordedMessages,
    options: ProcessOptions,
) -> StereoCamera:
    wanted = {topics.left, topics.right, topics.left_info, topics.right_info} - {''}
    found = survey(messages.contents(wanted, TimeWindow()), topics)
    if found.has_own_infos(topics) and not options.calibration:
        return StereoCamera(topics, found, None, _has_info_of_each_image(topics, found, recorded))
    lookup = CalibrationLookup(options.calibration, names=options.names)
    if not lookup.files(path):
        raise PlaybackError(
            f'no camera_info is recorded for both {topics.left} and {topics.right}; '
            f'{no_calibration(path, options.names)}'
        )
    return StereoCamera(topics, found, lookup)


def _has_info_of_each_image(
    topics: RecordedTopics, found: RigSurvey, recorded: Sequence[StoredTopic]
) -> bool:
    """Return whether there are about as many calibrations as images, of their timestamps."""
    counts = {topic.topic: topic.count for topic in recorded}
    return all(
        info in found.stamped_infos and counts.get(info, 0) >= INFOS_OF_EACH * counts.get(image, 0)
        for info, image in (
            (topics.left_info, topics.left),
            (topics.right_info, topics.right),
        )
    )
