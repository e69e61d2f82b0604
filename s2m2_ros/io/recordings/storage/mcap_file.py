"""MCAP files: whole, without a summary, and cut short or damaged as far as they are readable."""

from __future__ import annotations

import heapq
import logging
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from io import BytesIO
from operator import itemgetter
from pathlib import Path
from typing import Any

from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.records import Channel, Chunk, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk

from s2m2_ros.io.recordings.storage.compression import (
    LARGEST_BLOCK,
    decompressed,
    is_plausible,
)
from s2m2_ros.io.recordings.storage.stored_messages import StoredMessage, StoredTopic, message_type
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.text_safety import safe_text

_logger = logging.getLogger(__name__)

MAGIC = b'\x89MCAP0\r\n'
RECORD_HEAD = struct.Struct('<BQ')
CONTENT = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE, Opcode.CHUNK)
# No chunk holds more records, and no file more in a row that are neither messages nor chunks.
MOST_RECORDS = 200_000
# What `mcap` raises for records whose content is not as declared.
DAMAGE = (McapError, struct.error, ValueError, KeyError, OverflowError, MemoryError, StopIteration)


class McapFile:
    """Reads an MCAP file by its summary, or else by going through it once."""

    def __init__(self, path: Path, name: Path) -> None:
        """Open the file, called ``name`` in messages; damage is reported in the log once.

        Raises PlaybackError if nothing in it is readable.
        """
        self._name = name
        self._size = path.stat().st_size
        self._file = path.open('rb')
        self._channels: dict[int, StoredTopic] = {}
        self._schemas: dict[int, str] = {}
        # When each chunk, and each message outside of chunks, begins, and where it lies.
        self._chunks: list[tuple[int, int]] = []
        self._loose: list[tuple[int, int]] = []
        self._counts: Counter[int] = Counter()
        self._reported = False
        self._unpacked_size = 0
        self.start_ns = 0
        try:
            if not self._read_summary():
                self._scan()
        except BaseException:
            self._file.close()
            raise
        self.topics = [
            replace(channel, count=self._counts[number])
            for number, channel in self._channels.items()
        ]
        self.start_ns = min(self._chunks + self._loose, default=(0, 0))[0]

    def messages(self, topics: Collection[str]) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time."""
        numbers = {n for n, channel in self._channels.items() if channel.topic in topics}
        streams = [self._timed(chunk, numbers) for chunk in self._chunks]
        streams.append(
            (t, m) for place in sorted(self._loose) for t, m in self._timed(place, numbers)
        )
        for _, message in heapq.merge(*streams, key=itemgetter(0)):
            if message is not None:
                topic = self._channels[message.channel_id]
                yield StoredMessage(topic, message.log_time, message.data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _timed(
        self, place: tuple[int, int], numbers: Collection[int]
    ) -> Iterator[tuple[int, Message | None]]:
        """Yield times and messages; first a time alone, so that nothing is read too early."""
        start_ns, offset = place
        yield start_ns, None
        found = [m for m in self._messages_at(offset) if m.channel_id in numbers]
        for message in sorted(found, key=lambda m: m.log_time):
            yield message.log_time, message

    def _messages_at(self, offset: int) -> list[Message]:
        record = next((record for _, record in self._records(offset)), None)
        try:
            records = self._unpacked(record) if isinstance(record, Chunk) else [record]
        except (*DAMAGE, PlaybackError) as error:
            self._report(f'is damaged at byte {offset} ({_reason(error)}): the rest is played')
            return []
        return [m for m in records if isinstance(m, Message)]

    def _read_summary(self) -> bool:
        """Take topics and chunks from the summary; return whether it is whole."""
        try:
            summary = make_reader(self._file).get_summary()
        except (*DAMAGE, OSError):
            return False
        statistics = summary and summary.statistics
        if not summary or not statistics or not summary.chunk_indexes:
            return False
        if statistics.chunk_count != len(summary.chunk_indexes):
            return False
        if any(
            c.schema_id and c.schema_id not in summary.schemas for c in summary.channels.values()
        ):
            return False
        for schema in summary.schemas.values():
            self._note(schema)
        for channel in summary.channels.values():
            self._note(channel)
        self._counts.update(statistics.channel_message_counts)
        self._chunks = [
            (c.message_start_time, c.chunk_start_offset) for c in summary.chunk_indexes
        ]
        return True

    def _scan(self) -> None:
        """Go through the file from the start, as far as it is whole."""
        if self._size < len(MAGIC):
            raise PlaybackError(f"'{self._name}' is empty or cut short: it holds no message")
        for offset, record in self._records(len(MAGIC)):
            if isinstance(record, Chunk):
                self._unpacked_size += record.uncompressed_size
                if not is_plausible(self._unpacked_size, self._size):
                    self._report(
                        f'declares implausible sizes: only its first {offset} bytes are read'
                    )
                    break
                self._scan_chunk(offset, record)
            elif isinstance(record, Message):
                self._counts[record.channel_id] += 1
                self._loose.append((record.log_time, offset))
            else:
                self._note(record)
        if not self._channels:
            raise PlaybackError(
                f"'{self._name}' holds no readable message: it is damaged or cut short; try "
                '`mcap recover`'
            )

    def _scan_chunk(self, offset: int, chunk: Chunk) -> None:
        try:
            records = self._unpacked(chunk)
        except (*DAMAGE, PlaybackError) as error:
            self._report(f'is damaged at byte {offset} ({_reason(error)}): the rest is played')
            return
        for record in records:
            self._note(record)
            if isinstance(record, Message):
                self._counts[record.channel_id] += 1
        self._chunks.append((chunk.message_start_time, offset))

    def _note(self, record: Any) -> None:
        if isinstance(record, Schema):
            self._schemas[record.id] = message_type(record.name)
        elif isinstance(record, Channel):
            type_name = self._schemas.get(record.schema_id, '')
            encoding = record.message_encoding
            self._channels[record.id] = StoredTopic(record.topic, type_name, encoding, 0)

    def _records(self, position: int) -> Iterator[tuple[int, McapRecord]]:
        """Yield records from a position on, with where they begin, to the end of what is whole."""
        skipped = 0
        while position <= self._size:
            self._file.seek(position)
            head = self._file.read(RECORD_HEAD.size)
            opcode, length = RECORD_HEAD.unpack(head) if len(head) == RECORD_HEAD.size else (0, 0)
            end = position + RECORD_HEAD.size + length
            if opcode in (Opcode.DATA_END, Opcode.FOOTER):
                return
            skipped = 0 if opcode in CONTENT else skipped + 1
            if opcode == 0 or end > self._size or skipped > MOST_RECORDS:
                self._report(
                    f'ends after {position} bytes in the middle (the recorder was killed, or the '
                    'copy is incomplete): its whole part is played; `mcap recover` makes a whole '
                    'file of it'
                )
                return
            if opcode in CONTENT:
                content = head + self._file.read(length)
                try:
                    reader = StreamReader(BytesIO(content), skip_magic=True, emit_chunks=True)
                    yield position, next(iter(reader.records))
                except DAMAGE as error:
                    self._report(
                        f'is damaged at byte {position} ({_reason(error)}): what is before is '
                        'played'
                    )
                    return
            position = end

    def _unpacked(self, chunk: Chunk) -> list[McapRecord]:
        """Return the records of a chunk; raises for damage and for implausible sizes."""
        size = chunk.uncompressed_size
        if size > LARGEST_BLOCK:
            raise PlaybackError(f'a chunk declares {size} bytes')
        if chunk.compression not in ('', 'zstd', 'lz4'):
            name = safe_text(chunk.compression)
            raise PlaybackError(f"its compression '{name}' is unknown")
        data = decompressed(chunk.data, size) if chunk.compression else chunk.data
        if len(data) != size or (
            chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc
        ):
            raise PlaybackError('the size or checksum of a chunk is wrong')
        _check_count(data)
        records: list[McapRecord] = breakup_chunk(replace(chunk, compression='', data=data))
        return records

    def _report(self, text: str) -> None:
        if not self._reported:
            self._reported = True
            _logger.warning("'%s' %s", self._name, text)


def _check_count(data: bytes) -> None:
    """Raise PlaybackError if a chunk consists of very many records, which take very long."""
    position = 0
    for _ in range(MOST_RECORDS):
        if position >= len(data):
            return
        position += RECORD_HEAD.size + RECORD_HEAD.unpack_from(data, position)[1]
    raise PlaybackError('a chunk holds far too many records')


def _reason(error: Exception) -> str:
    return safe_text(error) or type(error).__name__
