"""The stereo cameras of a recording: which there are, and what is known of each beforehand."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from s2m2_ros.io.recordings.recorded_infos import RecordedTopics, listed_infos
from s2m2_ros.io.recordings.recording_topics import (
    choose_all_pairs,
    choose_named_pairs,
    choose_shared_topics,
    left_out,
)
from s2m2_ros.io.recordings.rig_survey import RigSurvey, survey, timestamps_remark
from s2m2_ros.io.recordings.storage.stored_messages import StoredTopic, TimeWindow
from s2m2_ros.io.recordings.topic_names import differ_in_numbers, info_names
from s2m2_ros.io.sources.calibration_search import CalibrationLookup, no_calibration
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.offline.processing.options import ProcessOptions
from s2m2_ros.offline.processing.recorded_messages import RecordedMessages
from s2m2_ros.text_safety import safe_text

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

    @property
    def has_baseline(self) -> bool:
        """Return False if the first calibrations say that both cameras are in one place."""
        if self.lookup is not None:
            return True
        left, right = (self.survey.infos[name].p for name in self.info_names)
        return not right[0] or bool(left[3] != right[3])

    def differing_frames(self) -> Iterator[str]:
        """Yield words on frames of an image and its calibration that are not the same."""
        frames = self.survey.frames
        for image, info in zip(self.topics.images, self.info_names, strict=True):
            names = [frames.get(topic, '').lstrip('/') for topic in (image, info)]
            if self.lookup is None and names[0] != names[1]:
                yield (
                    f"{image} has the frame_id '{safe_text(names[0])}' and {info} "
                    f"'{safe_text(names[1])}': does the calibration belong to this camera?"
                )


@dataclass(frozen=True, eq=False)
class FoundCameras:
    """The stereo cameras of a recording.

    Attributes:
        cameras: those that are processed.
        unusable: why other rigs cannot be.
        remarks: which images are in no rig and why, and what is doubtful; whole sentences.

    """

    cameras: Sequence[StereoCamera]
    unusable: Sequence[str]
    remarks: Sequence[str]


def find_cameras(
    path: Path, topics: Sequence[StoredTopic], messages: RecordedMessages, options: ProcessOptions
) -> FoundCameras:
    """Return the cameras of a recording. Raises PlaybackError if there is none."""
    rigs = _chosen(topics, options)
    cameras, unusable = [], []
    for rig in rigs:
        try:
            cameras.append(_surveyed(path, rig, topics, messages, options))
        except PlaybackError as error:
            unusable.append(str(error))
    if not cameras:
        raise PlaybackError('; '.join(unusable))
    for text in unusable:
        _logger.error("'%s': %s; the other rigs are processed", path, text)
    remarks: list[str] = []
    if not options.pairs:
        setting = options.names('shared_topic' if options.layout.in_one_image else 'pairs')
        others = _color_images(topics, options)
        remarks += left_out(topics, rigs, others=others, setting=setting)
        cameras, more = _without_guesses(cameras, options)
        remarks += more
    remarks += _rule_remarks(cameras)
    for camera in cameras:
        remarks += camera.differing_frames()
    return FoundCameras(cameras, unusable, remarks)


def _rule_remarks(cameras: Sequence[StereoCamera]) -> Iterator[str]:
    """Yield how pairs are found where timestamps are not equal."""
    for camera in cameras:
        if text := timestamps_remark(camera.topics, camera.survey):
            yield text


def _without_guesses(
    cameras: Sequence[StereoCamera], options: ProcessOptions
) -> tuple[list[StereoCamera], list[str]]:
    """Leave out cameras that only neighboring numbers make a pair, where P says they are none."""
    guesses = [c for c in cameras if differ_in_numbers(c.topics.images) and not c.has_baseline]
    if len(guesses) == len(cameras):
        return list(cameras), []
    remarks = [
        f'{camera.topics.left} and {camera.topics.right} are not processed: by their camera_info '
        f'they are no stereo pair (P[3] of both is the same, so there is no baseline); '
        f'name pairs by {options.names("pairs")}'
        for camera in guesses
    ]
    return [camera for camera in cameras if camera not in guesses], remarks


def _color_images(topics: Sequence[StoredTopic], options: ProcessOptions) -> set[str]:
    """Return the images that the color camera may be of, which is in no pair."""
    color = {t.topic for t in topics if options.color_info in info_names(t.topic)}
    return {options.color_image} | color


def _chosen(topics: Sequence[StoredTopic], options: ProcessOptions) -> list[RecordedTopics]:
    if options.layout.in_one_image:
        return choose_shared_topics(
            topics,
            named=[left for left, _ in options.pairs],
            input_layout=options.layout.value,
            video=True,
            names=options.names,
        )
    if options.pairs:
        return choose_named_pairs(topics, options.pairs, video=True, names=options.names)
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
            f'no camera_info is recorded for both {topics.left} and {topics.right} '
            f'({listed_infos(recorded)}); {no_calibration(path, options.names)}'
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
