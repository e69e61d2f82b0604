"""Small recordings that would take minutes or gigabytes, had the readers no limits."""

from __future__ import annotations

import bz2
import gzip
import logging
import lzma
import os
import random
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from s2m2_ros.io.recordings.recording_reader import Recording
from s2m2_ros.io.recordings.storage.recording_files import RecordingFiles
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from support.limits import bounded

MAGIC = b'\x89MCAP0\r\n'


def sized(text: bytes) -> bytes:
    return struct.pack('<I', len(text)) + text


def record(kind: int, content: bytes) -> bytes:
    return struct.pack('<BQ', kind, len(content)) + content


def chunk(packed: bytes, size: int, compression: bytes = b'zstd') -> bytes:
    head = struct.pack('<QQQI', 0, 1, size, 0) + sized(compression)
    return record(6, head + struct.pack('<Q', len(packed)) + packed)


def repeated(block: bytes, times: int) -> bytes:
    return zstandard.compress(block * times)


CHANNEL = record(3, struct.pack('<H', 1) + sized(b'sensor_msgs/msg/Image') + sized(b'') * 2)
CHANNEL += record(4, struct.pack('<HH', 1, 1) + sized(b'/left/image') + sized(b'cdr') + sized(b''))
SMALL_MESSAGE = record(5, struct.pack('<HIQQ', 1, 0, 0, 0))
LARGE_MESSAGE = record(5, struct.pack('<HIQQ', 9, 0, 0, 0) + bytes(200 << 20))
LARGE_CHUNK = chunk(zstandard.compress(LARGE_MESSAGE), len(LARGE_MESSAGE))


def reading(path: Path) -> str:
    """Open and play a recording within the limits; return why it was refused, if it was."""
    with bounded():
        try:
            for _ in Recording(path, needs_calibration=False):
                pass
        except PlaybackError as error:
            return str(error)
    return ''


@pytest.mark.parametrize(
    ('content', 'report'),
    [
        (chunk(repeated(record(0x80, b''), 5_000_000), 45_000_000), 'too many records'),
        (chunk(repeated(SMALL_MESSAGE, 1_500_000), 1_500_000 * 31), 'too many records'),
        (chunk(b'', 300 << 20), 'declares 314572800 bytes'),
        (LARGE_CHUNK * 100, 'declares implausible sizes'),
        (record(0x80, b'') * 4_000_000, 'is read'),
        (chunk(b'', 0, b'\x1b[31m' * 1000), r"'\x1b[31m"),
    ],
    ids=['small records', 'small messages', 'declared', 'many chunks', 'no chunks', 'name'],
)  # fmt: skip
def test_mcap(
    content: bytes, report: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / 'bomb.mcap').write_bytes(MAGIC + CHANNEL + content)
    with caplog.at_level(logging.WARNING):
        assert reading(tmp_path / 'bomb.mcap')
    assert report in caplog.text
    assert '\x1b' not in caplog.text


@pytest.mark.parametrize('start', [MAGIC, b'anything'])
def test_a_compressed_recording_of_very_many_zeros(start: bytes, tmp_path: Path) -> None:
    with zstandard.ZstdCompressor().stream_writer((tmp_path / 'bomb.mcap.zst').open('wb')) as out:
        out.write(start)
        for _ in range(300):
            out.write(bytes(4 << 20))
    expected = 'is implausible' if start == MAGIC else 'is no recording'
    assert expected in reading(tmp_path / 'bomb.mcap.zst')


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    'gz': gzip.compress,
    'bz2': bz2.compress,
    'xz': lzma.compress,
    'lz4': lz4.frame.compress,
    'zst': zstandard.compress,
}


@pytest.mark.parametrize('suffix', PACKERS)
@pytest.mark.parametrize('at', [6, 12, 40, 2000])
def test_damaged_compressed_recordings(suffix: str, at: int, tmp_path: Path) -> None:
    content = random.Random(0).randbytes(5000)  # noqa: S311 (no secret)
    packed = PACKERS[suffix](content)
    (tmp_path / f'a.mcap.{suffix}').write_bytes(packed[:at] + b'\xff' * 40 + packed[at + 40 :])
    assert reading(tmp_path / f'a.mcap.{suffix}')


class TestMetadata:
    """What surrounds the names of the files is not worked on."""

    @pytest.mark.parametrize(
        'text',
        [
            'a0: &a0 {a: 1, b: 2}\n' + ''.join(
                f'a{i}: &a{i}\n  <<: [{",".join([f"*a{i - 1}"] * 9)}]\n' for i in range(1, 12)
            ),
            f'a: [{"1," * 300_000}]\n',
            f'a: {"1:" * 100_000}1\n',
            f'a: {"[" * 200_000}\n',
            'a: !!bool foo\n',
            f'a: {"9" * 900_000}\n',
        ],
        ids=['merge keys', 'long', 'base 60', 'deep', 'wrong type', 'digits'],
    )  # fmt: skip
    def test_that_takes_very_long(self, text: str, tmp_path: Path) -> None:
        (tmp_path / 'metadata.yaml').write_text(
            text + 'rosbag2_bagfile_information: {relative_file_paths: [a.mcap]}\n'
        )
        (tmp_path / 'a.mcap').write_bytes(MAGIC + CHANNEL)
        with bounded(), RecordingFiles(tmp_path) as files:
            assert [topic.topic for topic in files.topics()] == ['/left/image']


MESSAGES = 'id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER'
TOPICS = (
    'CREATE TABLE topics(id INTEGER, name TEXT, type TEXT, serialization_format TEXT)',
    "INSERT INTO topics VALUES (1, '/left', 'sensor_msgs/msg/Image', 'cdr')",
)


@pytest.mark.parametrize(
    ('statements', 'reason'),
    [
        (['CREATE VIEW messages AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r)'
          ' SELECT x AS id, 1 AS topic_id, x AS timestamp, zeroblob(9) AS data FROM r'],
         "no plain table 'messages'"),
        ([f'CREATE TABLE messages({MESSAGES}, data BLOB AS (zeroblob(900000000)))',
          'INSERT INTO messages VALUES (1, 1, 1)'], "no plain table 'messages'"),
        ([f'CREATE TABLE "Messages"({MESSAGES}, data BLOB)'], 'which topics'),
    ],
    ids=['without an end', 'computed', 'upper case'],
)  # fmt: skip
def test_sqlite(statements: list[str], reason: str, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / 'bomb.db3')
    for statement in (*TOPICS, *statements):
        connection.execute(statement)
    connection.commit()
    connection.close()
    found = reading(tmp_path / 'bomb.db3')
    assert reason in found


def test_a_cut_sqlite_file_whose_pages_hold_the_same_rows_over_and_over(tmp_path: Path) -> None:
    """Of which each page says to hold as many rows as a number can count."""
    connection = sqlite3.connect(tmp_path / 'bomb.db3')
    for statement in (*TOPICS, f'CREATE TABLE messages({MESSAGES}, data BLOB)'):
        connection.execute(statement)
    connection.commit()
    connection.close()
    content = bytearray((tmp_path / 'bomb.db3').read_bytes())
    # A row of 200 MB, of which the rest follows on the last page again and again.
    row = b'\xdf\xd7\x84\x00' + b'\x01' + b'\x08\x00\x01\x06\xbf\xaf\x88\x0c'
    page = b'\x0d\0\0\xff\xff\0\0\0' + b'\x0f\x00' * 1900
    page = page.ljust(0xF00, b'\0') + row.ljust(256, b'\7')
    content += page * 2000
    content[28:32] = (1 << 20).to_bytes(4, 'big')
    (tmp_path / 'bomb.db3').write_bytes(content)
    assert reading(tmp_path / 'bomb.db3')


def field(name: str, value: bytes) -> bytes:
    return sized(name.encode() + b'=' + value)


def bag(*, compression: bytes, packed: bytes, entries: int = 1, infos: int = 1) -> bytes:
    """Return a ROS 1 bag of one chunk, whose index is listed `infos` times."""

    def part(*fields: bytes, data: bytes = b'') -> bytes:
        return sized(b''.join(fields)) + sized(data)

    def number(value: int) -> bytes:
        return struct.pack('<I', value)

    def head(place: int) -> bytes:
        return b'#ROSBAG V2.0\n' + part(
            field('op', b'\x03'), field('index_pos', struct.pack('<Q', place)),
            field('conn_count', number(2)), field('chunk_count', number(infos)),
        )  # fmt: skip

    start = len(head(0))
    size = field('size', number(1 << 31))
    chunk = part(field('op', b'\x05'), field('compression', compression), size, data=packed)
    index, connections = b'', b''
    for key, side in enumerate((b'left', b'right')):
        connection = field('conn', number(key))
        index += part(field('op', b'\x04'), field('ver', number(1)), connection,
                      field('count', number(entries)), data=bytes(12) * entries)  # fmt: skip
        kind = field('type', b'sensor_msgs/Image') + field('md5sum', b'0' * 32)
        topic = field('topic', b'/%s/image_rect' % side)
        connections += part(field('op', b'\x07'), connection, topic,
                            data=topic + kind + field('message_definition', b'x'))  # fmt: skip
    place = field('chunk_pos', struct.pack('<Q', start))
    info = part(
        field('op', b'\x06'), field('ver', number(1)), place,
        field('start_time', bytes(8)), field('end_time', bytes(8)), field('count', number(2)),
        data=struct.pack('<IIII', 0, entries, 1, entries),
    )  # fmt: skip
    return head(start + len(chunk) + len(index)) + chunk + index + connections + info * infos


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (bag(compression=b'bz2', packed=bz2.compress(bytes(400 << 20))), 'holds more than'),
        (bag(compression=b'lz4', packed=lz4.frame.compress(bytes(1 << 30))), 'holds more than'),
        (bag(compression=b'none', packed=b'', entries=5000, infos=2000), 'more than once'),
        (b'#ROSBAG V' + b'2' * 1_000_000, 'version 2.0'),
    ],
    ids=['bz2', 'lz4', 'index', 'version'],
)  # fmt: skip
def test_ros1_bags(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / 'bomb.bag').write_bytes(content)
    assert reason in reading(tmp_path / 'bomb.bag')


def test_what_is_neither_a_file_nor_a_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'a.mcap')
    assert 'neither a regular file nor a folder' in reading(tmp_path / 'a.mcap')
    shutil.rmtree(tmp_path)
