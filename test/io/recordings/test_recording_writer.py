"""What the writer records, read back by the MCAP reference reader: none of our code."""

from __future__ import annotations

import math
from array import array
from pathlib import Path
from typing import Any

import numpy as np
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.typesys import Stores, get_typestore
from s2m2_ros.msg import InferenceStats, StereoEstimate
from sensor_msgs.msg import CameraInfo, Image

from s2m2_ros.io.recordings.recording_writer import RecordingWriter, SerializedMessage
from s2m2_ros.player.ros_serialization import definition, serialized


def read(folder: Path) -> list[tuple[str, int, Any]]:
    (path,) = folder.glob('*.mcap')
    with path.open('rb') as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        return [
            (channel.topic, message.log_time, decoded)
            for _, channel, message, decoded in reader.iter_decoded_messages()
        ]


def test_messages_of_rclpy_come_back_as_written(tmp_path: Path) -> None:
    image = Image(height=1, width=3, encoding='mono8', step=3, data=array('B', [1, 2, 3]))
    image.header.frame_id = 'left'
    info = CameraInfo(width=3, p=[float(k) for k in range(12)])
    stats = InferenceStats(backend='sgbm', pairs_dropped=2**40, latency_ms=math.nan)
    with RecordingWriter(tmp_path / 'bag') as writer:
        writer.write('/image', serialized(image), 5)
        writer.write('/info', serialized(info), 6)
        writer.write('/stats', serialized(stats), 7)
        writer.write('/image', serialized(image), 8)
        assert writer.counts == {'/image': 2, '/info': 1, '/stats': 1}
    messages = read(tmp_path / 'bag')
    assert [(topic, time) for topic, time, _ in messages] == [
        ('/image', 5),
        ('/info', 6),
        ('/stats', 7),
        ('/image', 8),
    ]
    read_image, read_info, read_stats = (decoded for _, _, decoded in messages[:3])
    assert (bytes(read_image.data), read_image.header.frame_id) == (b'\1\2\3', 'left')
    assert list(read_info.p) == list(range(12))
    assert (read_stats.backend, read_stats.pairs_dropped) == ('sgbm', 2**40)
    assert math.isnan(read_stats.latency_ms)


def test_messages_within_messages_come_back_as_written(tmp_path: Path) -> None:
    estimate = StereoEstimate()
    estimate.disparity.t = 0.25
    estimate.confidence.encoding = '32FC1'
    with RecordingWriter(tmp_path / 'bag') as writer:
        writer.write('/estimate', serialized(estimate), 5)
    ((_, _, decoded),) = read(tmp_path / 'bag')
    assert (decoded.disparity.t, decoded.confidence.encoding) == (0.25, '32FC1')


def test_types_of_strangers_come_back_with_their_parts(tmp_path: Path) -> None:
    """A message of a package that neither ROS nor this one knows, with a part of its own."""
    text = 'Part part\nuint8 last\n' + '=' * 80 + '\nMSG: other_msgs/Part\nuint32 value\n'
    message = SerializedMessage('other_msgs/msg/Whole', text, b'\0\1\0\0\7\0\0\0\3')
    with RecordingWriter(tmp_path / 'bag') as writer:
        writer.write('/whole', message, 5)
    ((_, _, decoded),) = read(tmp_path / 'bag')
    assert (decoded.part.value, decoded.last) == (7, 3)


def test_messages_of_rosbags_come_back_as_written(tmp_path: Path) -> None:
    types: Any = get_typestore(Stores.ROS2_HUMBLE).types
    stamp = types['builtin_interfaces/msg/Time'](sec=7, nanosec=8)
    header = types['std_msgs/msg/Header'](stamp=stamp, frame_id='left')
    image = types['sensor_msgs/msg/CompressedImage'](
        header=header, format='png', data=np.array([1, 2], np.uint8)
    )
    with RecordingWriter(tmp_path / 'bag') as writer:
        writer.write('/image', image, 5)
    ((_, _, decoded),) = read(tmp_path / 'bag')
    assert (decoded.header.stamp.sec, decoded.format, bytes(decoded.data)) == (7, 'png', b'\1\2')


def test_definition_is_that_of_a_msg_file() -> None:
    assert definition(Image) == (
        'std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\n'
        'uint8 is_bigendian\nuint32 step\nuint8[] data\n'
    )
    assert 'float64[12] p\n' in definition(CameraInfo)
    assert 'float64[] d\n' in definition(CameraInfo)
