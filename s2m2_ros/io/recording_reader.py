"""Stereo pairs in rosbag2 recordings (MCAP or SQLite), read without a ROS storage plugin."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from s2m2_ros.errors import S2M2Error
from s2m2_ros.io.compressed_images import announced_size
from s2m2_ros.io.stereo_frame import PlaybackError, StereoFrame, read_camera_infos

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

IMAGE_TYPES = {
    'sensor_msgs/msg/Image': Image,
    'sensor_msgs/msg/CompressedImage': CompressedImage,
}
INFO_TYPE = 'sensor_msgs/msg/CameraInfo'
# How the topic of the left image differs from the right one's: plain words, RealSense.
MARKERS = (('left', 'right'), ('infra1', 'infra2'))
# Images of one pair that no hardware trigger joins differ by less than half a period at 30 Hz.
PAIR_TOLERANCE_S = 0.015


@dataclass(frozen=True)
class RecordedTopics:
    """Names of the recorded images; the calibrations lie beside them, as ROS has it."""

    left: str
    right: str

    @property
    def infos(self) -> tuple[str, str]:
        """Return the topics of the left and right CameraInfo."""
        return _info_topic(self.left), _info_topic(self.right)


def _info_topic(image_topic: str) -> str:
    return image_topic.removesuffix('/compressed').rpartition('/')[0] + '/camera_info'


def choose_topics(images: Sequence[str], *, left: str = '', right: str = '') -> RecordedTopics:
    """Return the two image topics: those named, or else the only fitting pair.

    Where several pairs fit, the one pair with 'rect' in its names is taken. Raises
    :class:`PlaybackError` that lists the images recorded if that leaves none or several.
    """
    if left or right:
        missing = [name for name in (left, right) if name not in images]
        if missing:
            raise PlaybackError(f"no images on '{missing[0]}': recorded are {_listed(images)}")
        return RecordedTopics(left, right)
    pairs = [
        RecordedTopics(name, name.replace(first, second))
        for name in images
        for first, second in MARKERS
        if first in name and name.replace(first, second) in images
    ]
    rectified = [pair for pair in pairs if 'rect' in pair.left.rpartition('/image')[2]]
    chosen = rectified if len(pairs) > 1 else pairs
    if len(chosen) != 1:
        raise PlaybackError(
            'cannot tell which topics are the rectified stereo pair: set recorded_left and '
            f'recorded_right; recorded images are {_listed(images)}'
        )
    return chosen[0]


def _listed(names: Sequence[str]) -> str:
    return ', '.join(sorted(names)) or 'none'


@dataclass
class PairMaker:
    """Joins left and right images whose stamps are closest, within :data:`PAIR_TOLERANCE_S`."""

    left: deque[Any] = field(default_factory=deque)
    right: deque[Any] = field(default_factory=deque)

    def pairs(self) -> Iterator[tuple[Any, Any]]:
        """Take out every pair that is complete; drop images whose partner never came."""
        while self.left and self.right:
            apart = stamp_seconds(self.left[0]) - stamp_seconds(self.right[0])
            if abs(apart) <= PAIR_TOLERANCE_S:
                yield self.left.popleft(), self.right.popleft()
            else:
                (self.right if apart > 0 else self.left).popleft()


def stamp_seconds(message: Any) -> float:
    """Return the time in a message's header in seconds."""
    stamp = message.header.stamp
    return float(stamp.sec + stamp.nanosec * 1e-9)


class Recording:
    """Plays the stereo pairs of a recording; iterating over it reads it once from the start."""

    def __init__(
        self,
        path: Path,
        *,
        left_topic: str = '',
        right_topic: str = '',
        calibration: Sequence[Path] = (),
        frame_ids: Sequence[str] = ('', ''),
    ) -> None:
        """Look into the recording.

        ``calibration``, one file or two, replaces the one recorded; ``frame_ids`` name the
        cameras where the recording does not. Raises :class:`PlaybackError` if it cannot be read
        or holds no such topics.
        """
        self._path = path
        self._calibration = calibration
        self._frame_ids = frame_ids
        with self._open() as reader:
            images = [c.topic for c in reader.connections if c.msgtype in IMAGE_TYPES]
            self._topics = choose_topics(images, left=left_topic, right=right_topic)
            recorded = {c.topic for c in reader.connections if c.msgtype == INFO_TYPE}
        lacking = [name for name in self._topics.infos if name not in recorded]
        if lacking and not calibration:
            raise PlaybackError(
                f"'{path}' has no calibration on '{lacking[0]}': give a calibration file"
            )

    def __iter__(self) -> Iterator[StereoFrame]:
        images, infos = PairMaker(), dict.fromkeys(self._topics.infos)
        with self._open() as reader:
            wanted = {self._topics.left, self._topics.right, *infos}
            connections = [c for c in reader.connections if c.topic in wanted]
            infos = {name: _first(reader, name) for name in infos}
            for connection, _, data in reader.messages(connections):
                if connection.msgtype == INFO_TYPE:
                    infos[connection.topic] = deserialize_message(data, CameraInfo)
                    continue
                message = deserialize_message(data, IMAGE_TYPES[connection.msgtype])
                (images.left if connection.topic == self._topics.left else images.right).append(
                    message
                )
                for left, right in images.pairs():
                    yield self._frame(left, right, *infos.values())

    def _frame(
        self, left: Any, right: Any, left_info: CameraInfo | None, right_info: CameraInfo | None
    ) -> StereoFrame:
        for message, frame_id in zip((left, right), self._frame_ids, strict=True):
            message.header.frame_id = message.header.frame_id or frame_id
        if self._calibration:
            frame_ids = (left.header.frame_id, right.header.frame_id)
            left_info, right_info = read_camera_infos(self._calibration, _size(left), frame_ids)
        return StereoFrame(left, right, left_info, right_info, time=stamp_seconds(left))

    @contextmanager
    def _open(self) -> Iterator[AnyReader]:
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise PlaybackError(
                'recordings are read by the package rosbags: run `pip install rosbags`'
            ) from error
        # Older SQLite recordings carry no message definitions.
        store = get_typestore(Stores.ROS2_HUMBLE)
        try:
            with AnyReader([self._path], default_typestore=store) as reader:
                yield reader
        except S2M2Error:
            raise
        except Exception as error:  # rosbags, zstd, SQLite and CDR each have theirs for damage
            reason = str(error) or type(error).__name__
            raise PlaybackError(f"cannot read the recording '{self._path}': {reason}") from error


def _first(reader: AnyReader, topic: str) -> CameraInfo | None:
    """Return the first calibration on a topic, for images that were recorded before it."""
    connections = [c for c in reader.connections if c.topic == topic]
    if not connections:
        return None
    for _, _, data in reader.messages(connections):
        info: CameraInfo = deserialize_message(data, CameraInfo)
        return info
    return None


def _size(message: Image | CompressedImage) -> tuple[int, int]:
    if isinstance(message, Image):
        return message.width, message.height
    return announced_size(bytes(message.data))
