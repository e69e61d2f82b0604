"""Stereo pairs in recordings of ROS 2 and ROS 1, read without ROS and its storage plugins."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2m2_ros.geometry import CameraModel
from s2m2_ros.io.recordings.pairing import PairMaker
from s2m2_ros.io.recordings.recorded_infos import INFO_TYPE, RecordedTopics, listed_infos
from s2m2_ros.io.recordings.recording_topics import choose_shared_topics, choose_topics
from s2m2_ros.io.recordings.rig_survey import stamp_of, survey, timestamps_remark
from s2m2_ros.io.recordings.topic_names import is_rectified
from s2m2_ros.io.sources.calibration_search import CalibrationLookup, no_calibration
from s2m2_ros.io.sources.stereo_frame import (
    PlaybackError,
    StereoFrame,
    image_pixels,
    image_size,
    seconds_text,
)
from s2m2_ros.io.sources.view_layout import ViewLayout, split_views
from s2m2_ros.optional_packages import require_packages

if TYPE_CHECKING:
    from s2m2_ros.io.recordings.storage.stored_messages import StoredMessage

_logger = logging.getLogger(__name__)


class Recording:
    """Plays the stereo pairs of a recording; iterating over it reads it once from the start."""

    def __init__(
        self,
        path: Path,
        *,
        left_topic: str = '',
        right_topic: str = '',
        calibration: Sequence[Path] = (),
        layout: ViewLayout = ViewLayout.TWO_TOPICS,
        needs_calibration: bool = True,
    ) -> None:
        """Look into the recording.

        ``calibration``, one file or two, replaces the one recorded; without either, one that lies
        beside the recording is taken. With ``layout``, one topic holds both views. Raises
        :class:`S2M2Error` if it cannot be read, holds no such topics, or has no calibration though
        ``needs_calibration``.
        """
        require_packages('recordings', 'rosbags', 'mcap', 'lz4', 'zstandard')
        from s2m2_ros.io.recordings.storage.recording_files import RecordingFiles

        self._path = path
        self._layout = layout
        self._damage_reported = False
        self._lookup = CalibrationLookup(calibration, is_needed=needs_calibration)
        self._files = RecordingFiles(path)
        try:
            self.topics = self._chosen(left_topic, right_topic)
            self._survey = survey(self._contents(), self.topics)
            self._uses_files = bool(calibration) or not self._survey.has_own_infos(self.topics)
            if self._uses_files and needs_calibration and not self._lookup.files(path):
                raise self._without_calibration()
        except BaseException:
            self.close()
            raise
        self._report()

    def __iter__(self) -> Iterator[StereoFrame]:
        infos = dict(self._survey.infos)
        pairs: PairMaker[Any] = PairMaker(self._survey.rule)
        is_empty = True
        for message, content in self._contents():
            if message.topic.type_name == INFO_TYPE:
                infos[message.topic.topic] = content
                continue
            for left, right in self._pairs(pairs, message, content):
                is_empty = False
                yield self._frame(left, right, infos)
        for left, right in pairs.finish():
            is_empty = False
            yield self._frame(left, right, infos)
        if is_empty:
            raise PlaybackError(self._why_empty())
        if pairs.unpaired:
            _logger.info("'%s': %d images have no counterpart", self._path, pairs.unpaired)

    def close(self) -> None:
        """Close the files and remove what was unpacked; garbage collection does so as well."""
        self._files.close()

    def _chosen(self, left_topic: str, right_topic: str) -> RecordedTopics:
        topics = self._files.topics()
        if not self._layout.in_one_image:
            return choose_topics(topics, left=left_topic, right=right_topic)
        named = [name for name in (left_topic or right_topic,) if name]
        return choose_shared_topics(topics, named=named, input_layout=self._layout.value)[0]

    def _contents(self) -> Iterator[tuple[StoredMessage, Any]]:
        """Yield the messages of the pair as stored and deserialized; damaged ones are skipped."""
        from s2m2_ros.io.recordings.storage.deserialization import deserialized
        from s2m2_ros.io.recordings.storage.stored_messages import ROS_ENCODINGS

        topics = self.topics
        wanted = {topics.left, topics.right, topics.left_info, topics.right_info} - {''}
        for message in self._files.messages(wanted):
            if message.topic.encoding not in ROS_ENCODINGS:
                continue
            try:
                yield message, deserialized(message)
            except PlaybackError as error:
                self._report_damage(error)

    def _report_damage(self, error: PlaybackError) -> None:
        if not self._damage_reported:
            self._damage_reported = True
            _logger.warning("'%s': %s; damaged messages are skipped", self._path, error)

    def _pairs(
        self, pairs: PairMaker[Any], message: StoredMessage, content: Any
    ) -> Iterator[tuple[tuple[int, Any], tuple[int, Any]]]:
        """Yield the pairs that an image completes: the timestamp and image of each side."""
        stamp = stamp_of(message, content)
        if self._layout.in_one_image:
            left, right = split_views(image_pixels(content), self._layout)
            yield (stamp, left), (stamp, right)
            return
        side = 0 if message.topic.topic == self.topics.left else 1
        yield from pairs.add(
            side, stamp, (stamp, content), log_ns=message.log_ns, size=len(message.data)
        )

    def _frame(
        self, left: tuple[int, Any], right: tuple[int, Any], infos: dict[str, Any]
    ) -> StereoFrame:
        left_info, right_info = self._infos(image_size(left[1]), infos)
        timestamps = (left[0], right[0])
        name = seconds_text(left[0])
        return StereoFrame(left[1], right[1], left_info, right_info, name, timestamps)

    def _why_empty(self) -> str:
        """Return why no left image has a right one."""
        left, right = self._survey.stamps_ns
        if not left or not right:
            topic = self.topics.right if left else self.topics.left
            return f"'{self._path}' holds no image on {topic} that can be read"
        return (
            f"'{self._path}': no left image has a right one: {self.topics.left} begins at "
            f'{seconds_text(left[0])} s, {self.topics.right} at {seconds_text(right[0])} s; were '
            'the timestamps set by different clocks?'
        )

    def _infos(self, size: tuple[int, int], infos: dict[str, Any]) -> tuple[Any, Any]:
        if not self._uses_files:
            return infos[self.topics.left_info], infos[self.topics.right_info]
        models: tuple[CameraModel | None, CameraModel | None]
        models = self._lookup.models(self._path, size) or (None, None)
        return models

    def _without_calibration(self) -> PlaybackError:
        left, right = self.topics.left_info, self.topics.right_info
        if left and left == right:
            return PlaybackError(_one_info(left, self._survey.infos.get(left)))
        lacking = self.topics.left if not left else self.topics.right
        return PlaybackError(
            f'no camera_info is recorded for {lacking} ({listed_infos(self._files.topics())}); '
            f'{no_calibration(self._path)}'
        )

    def _report(self) -> None:
        """Say in the log what was chosen, where that is not plain."""
        topics = self.topics
        names = topics.left if topics.left == topics.right else f'{topics.left}, {topics.right}'
        _logger.info("'%s': playing %s", self._path, names)
        if not is_rectified(topics.left):
            _logger.info('no name of a topic says that its images are rectified (`rect`)')
        if text := timestamps_remark(topics, self._survey):
            _logger.warning('%s (period %.1f ms)', text, self._survey.rule.period_ns / 1e6)


def _one_info(topic: str, info: Any) -> str:
    """Return why one CameraInfo does not do for two cameras."""
    text = f'{topic} is the only camera_info recorded, for both images, but a pair needs two: '
    shift = float(info.p[3]) if info is not None else 0.0
    if shift:
        text += (
            f'its P[3] = {shift:g} makes it that of the right camera (baseline '
            f'{-shift / (float(info.p[0]) or 1.0):g} m), and the left one is missing; '
        )
    else:
        text += 'its P[3] is 0, so the baseline is not in it; '
    return f'{text}set the parameter calibration to a file with both cameras'
