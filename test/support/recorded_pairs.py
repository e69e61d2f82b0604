"""Recordings of small stereo pairs, written without ROS, in every kind of file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mcap.writer import CompressionType, Writer
from rosbags.typesys import Stores, get_typestore

TYPES = get_typestore(Stores.ROS2_HUMBLE)
ROS1_TYPES = get_typestore(Stores.ROS1_NOETIC)
SECOND = 10**9
LEFT_P = (40.0, 0.0, 2.0, 0.0, 0.0, 40.0, 1.5, 0.0, 0.0, 0.0, 1.0, 0.0)
RIGHT_P = (40.0, 0.0, 2.0, -4.0, 0.0, 40.0, 1.5, 0.0, 0.0, 0.0, 1.0, 0.0)
IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
INFO = 'sensor_msgs/msg/CameraInfo'


@dataclass(frozen=True)
class Written:
    """One message to be recorded."""

    topic: str
    time_ns: int
    message: Any

    @property
    def cdr(self) -> bytes:
        return bytes(TYPES.serialize_cdr(self.message, self.message.__msgtype__))


def message(name: str, **fields: Any) -> Any:
    return TYPES.types[name](**fields)


def header(time_ns: int, frame_id: str = 'camera') -> Any:
    stamp = message('builtin_interfaces/msg/Time', sec=time_ns // SECOND, nanosec=time_ns % SECOND)
    return message('std_msgs/msg/Header', stamp=stamp, frame_id=frame_id)


def image(value: int, time_ns: int, *, width: int = 4, height: int = 3) -> Any:
    return message(
        IMAGE, header=header(time_ns), height=height, width=width, encoding='mono8',
        is_bigendian=0, step=width, data=np.full(width * height, value % 256, np.uint8),
    )  # fmt: skip


def compressed(value: int, time_ns: int) -> Any:
    import cv2

    data = cv2.imencode('.png', np.full((3, 4), value, np.uint8))[1]
    return message(COMPRESSED, header=header(time_ns), format='mono8; png compressed ', data=data)


def info(P: Sequence[float], time_ns: int) -> Any:
    roi = message(
        'sensor_msgs/msg/RegionOfInterest',
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False,
    )  # fmt: skip
    K = [P[0], P[1], P[2], P[4], P[5], P[6], 0.0, 0.0, 1.0]
    return message(
        INFO, header=header(time_ns), height=3, width=4, distortion_model='plumb_bob',
        d=np.zeros(5), k=np.array(K), r=np.eye(3).ravel(), p=np.array(P), binning_x=0,
        binning_y=0, roi=roi,
    )  # fmt: skip


def pairs(
    count: int = 4,
    *,
    left: str = '/left/image_rect',
    right: str = '/right/image_rect',
    infos: tuple[str, str] | None = ('/left/camera_info', '/right/camera_info'),
    period_ns: int = SECOND // 10,
) -> list[Written]:
    """Return the messages of pairs whose left image is 10 i and right image 10 i + 1."""
    written = []
    for number in range(1, count + 1):
        time_ns = 100 * SECOND + number * period_ns
        if infos:
            written.append(Written(infos[0], time_ns, info(LEFT_P, time_ns)))
            written.append(Written(infos[1], time_ns, info(RIGHT_P, time_ns)))
        written.append(Written(left, time_ns, image(10 * number, time_ns)))
        written.append(Written(right, time_ns, image(10 * number + 1, time_ns)))
    return written


def write_mcap(
    path: Path,
    messages: Iterable[Written],
    *,
    compression: CompressionType = CompressionType.ZSTD,
    chunk_size: int = 200,
    encoding: str = 'cdr',
    **options: Any,
) -> Path:
    """Write an MCAP file by the reference writer; ``options`` are those of its `Writer`.

    ``encoding`` is cdr or ros1.
    """
    with path.open('wb') as file:
        writer = Writer(file, compression=compression, chunk_size=chunk_size, **options)
        writer.start('ros2')
        schemas: dict[str, int] = {}
        channels: dict[str, int] = {}
        for item in messages:
            name = item.message.__msgtype__
            if name not in schemas:
                text = TYPES.generate_msgdef(name, ros_version=2)[0].encode()
                schemas[name] = writer.register_schema(name, 'ros2msg', text)
            if item.topic not in channels:
                channels[item.topic] = writer.register_channel(item.topic, encoding, schemas[name])
            data = item.cdr if encoding == 'cdr' else bytes(TYPES.cdr_to_ros1(item.cdr, name))
            writer.add_message(channels[item.topic], item.time_ns, data, item.time_ns)
        writer.finish()
    return path


def write_sqlite(path: Path, messages: Iterable[Written], *, pack: Any = bytes) -> Path:
    """Write the tables of rosbag2's first version; ``pack`` compresses each message."""
    with sqlite3.connect(path) as connection:
        connection.execute(
            'CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, '
            'serialization_format TEXT NOT NULL)'
        )
        connection.execute(
            'CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, '
            'timestamp INTEGER NOT NULL, data BLOB NOT NULL)'
        )
        numbers: dict[str, int] = {}
        for item in messages:
            if item.topic not in numbers:
                numbers[item.topic] = len(numbers) + 1
                row = (numbers[item.topic], item.topic, item.message.__msgtype__, 'cdr')
                connection.execute('INSERT INTO topics VALUES(?, ?, ?, ?)', row)
            values = (numbers[item.topic], item.time_ns, pack(item.cdr))
            connection.execute(
                'INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)', values
            )
    connection.close()
    return path


def write_ros1(path: Path, messages: Iterable[Written], *, writer_class: Any = None) -> Path:
    """Write a ROS 1 bag, whose headers have a number that ROS 2's lack.

    ``writer_class`` is in place of that of `rosbags`.
    """
    from rosbags.rosbag1 import Writer as BagWriter

    with (writer_class or BagWriter)(path) as writer:
        connections: dict[str, Any] = {}
        for item in messages:
            name = item.message.__msgtype__
            if item.topic not in connections:
                connections[item.topic] = writer.add_connection(
                    item.topic, name, typestore=ROS1_TYPES
                )
            data = TYPES.cdr_to_ros1(item.cdr, name)
            writer.write(connections[item.topic], item.time_ns, data)
    return path


def values(frames: Iterable[Any]) -> list[tuple[int, int]]:
    """Return the first pixel of the left and the right image of each frame."""
    return [
        (int(left.flat[0]), int(right.flat[0]))
        for left, right in (frame.arrays() for frame in frames)
    ]
