"""Compressed clouds, read as point_cloud_transport's plugins read them."""

from __future__ import annotations

import math
import sys
import zlib
from typing import Any

import numpy as np
import pytest
import zstandard
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from s2m2_ros.node.outputs.compressed_clouds import compressed_cloud_message, message_class

NAMES = ('zlib', 'zstd')


def cloud() -> PointCloud2:
    """Return 3 x 5 points with an unknown one."""
    values = np.arange(60, dtype=np.float32).reshape(3, 5, 4)
    values[1, 2, :3] = math.nan
    message = PointCloud2(
        header=Header(stamp=Time(sec=3), frame_id='left_optical'),
        height=3,
        width=5,
        fields=[
            PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
            for i, name in enumerate(('x', 'y', 'z', 'rgb'))
        ],
        point_step=16,
        row_step=80,
        is_dense=False,
    )
    message.data.frombytes(values.tobytes())
    return message


def decompressed(message: Any) -> bytes:
    data = bytes(message.compressed_data)
    if message.format == 'zlib':
        return zlib.decompress(data)
    # The plugin allocates what the frame says before it decompresses.
    assert zstandard.frame_content_size(data) == message.row_step * message.height
    return zstandard.ZstdDecompressor().decompress(data)


@pytest.mark.parametrize('name', NAMES)
def test_all_of_the_cloud_comes_back(name: str) -> None:
    original = cloud()
    made = compressed_cloud_message(original, name)
    received = deserialize_message(serialize_message(made), type(made))
    assert received.format == name
    assert decompressed(received) == bytes(original.data)
    for field in ('header', 'height', 'width', 'fields', 'is_bigendian', 'point_step', 'row_step',
                  'is_dense'):  # fmt: skip
        assert getattr(received, field) == getattr(original, field), field


def test_the_streams_begin_as_their_formats_say() -> None:
    # RFC 1950: deflate with a window of 32 KiB, fastest; RFC 8878: the magic number of a frame.
    assert bytes(compressed_cloud_message(cloud(), 'zlib').compressed_data[:2]) == b'\x78\x01'
    assert bytes(compressed_cloud_message(cloud(), 'zstd').compressed_data[:4]) == b'(\xb5/\xfd'


@pytest.mark.parametrize('name', NAMES)
def test_an_empty_cloud_is_a_message_too(name: str) -> None:
    empty = cloud()
    empty.width = empty.height = empty.row_step = 0
    del empty.data[:]
    assert decompressed(compressed_cloud_message(empty, name)) == b''


def test_the_fields_are_those_that_the_documentation_lists() -> None:
    made = message_class('zlib')
    assert made is not None
    assert list(made.get_fields_and_field_types().items()) == [
        ('header', 'std_msgs/Header'),
        ('height', 'uint32'),
        ('width', 'uint32'),
        ('fields', 'sequence<sensor_msgs/PointField>'),
        ('is_bigendian', 'boolean'),
        ('point_step', 'uint32'),
        ('row_step', 'uint32'),
        ('compressed_data', 'sequence<uint8>'),
        ('is_dense', 'boolean'),
        ('format', 'string'),
    ]


def test_without_the_messages_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'point_cloud_interfaces.msg', None)
    assert message_class('zlib') is None
    assert message_class('zstd') is None
    with pytest.raises(ValueError, match='point_cloud_interfaces'):
        compressed_cloud_message(cloud(), 'zlib')


def test_without_the_library_there_is_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'zstandard', None)
    assert message_class('zlib') is not None
    assert message_class('zstd') is None
