"""What the writer records, read back by the MCAP reference reader: none of our code."""

from __future__ import annotations

import math
from array import array
from pathlib import Path
from typing import Any

from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from s2m2_ros.msg import InferenceStats
from sensor_msgs.msg import CameraInfo, Image

from s2m2_ros.io.recording_writer import RecordingWriter, definition


def read(folder: Path) -> list[tuple[str, int, Any]]:
    (path,) = folder.glob('*.mcap')
    with path.open('rb') as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        return [
            (channel.topic, message.log_time, decoded)
            for _, channel, message, decoded in reader.iter_decoded_messages()
        ]


def test_messages_come_back_as_written(tmp_path: Path) -> None:
    image = Image(height=1, width=3, encoding='mono8', step=3, data=array('B', [1, 2, 3]))
    image.header.frame_id = 'left'
    info = CameraInfo(width=3, p=[float(k) for k in range(12)])
    stats = InferenceStats(backend='sgbm', pairs_dropped=2**40, latency_ms=math.nan)
    with RecordingWriter(tmp_path / 'bag') as writer:
        writer.write('/image', image, 5)
        writer.write('/info', info, 6)
        writer.write('/stats', stats, 7)
        writer.write('/image', image, 8)
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


def test_definition_is_that_of_a_msg_file() -> None:
    assert definition(Image) == (
        'std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\n'
        'uint8 is_bigendian\nuint32 step\nuint8[] data\n'
    )
    assert 'float64[12] p\n' in definition(CameraInfo)
    assert 'float64[] d\n' in definition(CameraInfo)
