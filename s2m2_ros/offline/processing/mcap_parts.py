"""Segments as MCAP files of their own, and how they become one file without compressing again.

Every part has the same schemas and channels with the same numbers, so the chunks of all parts
are those of the whole; only the places in its indexes move.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    Schema,
    Statistics,
    SummaryOffset,
)
from mcap.writer import MCAP0_MAGIC, CompressionType, Writer

from s2m2_ros.io.recordings.storage.stored_messages import StoredRecord
from s2m2_ros.offline.processing.mcap_extras import write_extras
from s2m2_ros.offline.processing.part_index import PartIndex, message_counts

PROFILE = 'ros2'
# Without a version: the metadata has it, and the same options give the same bytes.
LIBRARY = 's2m2_ros'
CHUNK_BYTES = 4 << 20
COPY_BYTES = 8 << 20


@dataclass(frozen=True)
class RecordedChannel:
    """A topic to be written, with the definition of its type."""

    topic: str
    type_name: str
    definition: bytes
    definition_format: str = 'ros2msg'
    encoding: str = 'cdr'
    metadata: Mapping[str, str] = field(default_factory=lambda: {'offered_qos_profiles': ''})

    @property
    def has_schema(self) -> bool:
        """Return whether anything is known of its type."""
        return bool(self.type_name or self.definition or self.definition_format)


class PartWriter:
    """Writes one part; channels are numbered from 0 as they are given."""

    def __init__(self, file: IO[bytes], channels: Sequence[RecordedChannel]) -> None:
        """Begin the file."""
        self._writer = Writer(file, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._writer.start(PROFILE, LIBRARY)
        schemas, numbered = _records(channels)
        for schema in schemas:
            self._writer.register_schema(schema.name, schema.encoding, schema.data)
        for record in numbered:
            self._writer.register_channel(
                record.topic, record.message_encoding, record.schema_id, record.metadata
            )

    def write(
        self, channel: int, log_ns: int, data: bytes, publish_ns: int, sequence: int = 0
    ) -> None:
        """Add a message."""
        self._writer.add_message(channel + 1, log_ns, data, publish_ns, sequence)

    def finish(self) -> None:
        """Write what is left, and the summary."""
        self._writer.finish()


class JoinedFile:
    """The file of all parts: a head, the chunks of each part in order, and a summary."""

    def __init__(self, path: Path, channels: Sequence[RecordedChannel]) -> None:
        """Take its path and channels; nothing is written yet."""
        self._path = path
        self._schemas, self._channels = _records(channels)

    @property
    def head(self) -> bytes:
        """Return what is before the first chunk."""
        builder = RecordBuilder()
        Header(PROFILE, LIBRARY).write(builder)
        return bytes(MCAP0_MAGIC + builder.end())

    def size(self) -> int:
        """Return how many bytes are written, 0 if the file is not there."""
        return self._path.stat().st_size if self._path.exists() else 0

    def start(self, parts: Sequence[PartIndex]) -> None:
        """Begin the file, or cut it after these parts, which it holds. Raises OSError."""
        with self._path.open('r+b' if parts else 'wb') as file:
            if parts:
                file.truncate(len(self.head) + sum(part.length for part in parts))
            else:
                file.write(self.head)
            _sync(file)

    def append(self, path: Path, part: PartIndex) -> None:
        """Add the chunks of a part. Raises OSError."""
        with path.open('rb') as source, self._path.open('ab') as file:
            source.seek(part.begin)
            left = part.length
            while left:
                content = source.read(min(left, COPY_BYTES))
                if not content:
                    raise OSError(None, f"'{path}' is cut short")
                file.write(content)
                left -= len(content)
            _sync(file)

    def finish(self, parts: Sequence[PartIndex], records: Sequence[StoredRecord]) -> None:
        """Add attachments and metadata records, and the summary. Raises OSError."""
        place = len(self.head)
        chunks: list[ChunkIndex] = []
        for part in parts:
            chunks += part.moved(place)
            place += part.length
        with self._path.open('ab') as file:
            attachments, metadata = write_extras(file, place, records)
            groups = {
                Opcode.SCHEMA: self._schemas,
                Opcode.CHANNEL: self._channels,
                Opcode.STATISTICS: [
                    self._statistics(parts, chunks, len(attachments), len(metadata))
                ],
                Opcode.CHUNK_INDEX: chunks,
                Opcode.ATTACHMENT_INDEX: attachments,
                Opcode.METADATA_INDEX: metadata,
            }
            end = RecordBuilder()
            DataEnd(0).write(end)
            content = end.end()
            file.write(content + _summary(file.tell() + len(content), groups))
            _sync(file)

    def _statistics(
        self,
        parts: Sequence[PartIndex],
        chunks: Sequence[ChunkIndex],
        attachments: int,
        metadata: int,
    ) -> Statistics:
        counts = message_counts(parts)
        return Statistics(
            attachment_count=attachments,
            channel_count=len(self._channels),
            channel_message_counts=counts,
            chunk_count=len(chunks),
            message_count=sum(counts.values()),
            metadata_count=metadata,
            message_start_time=min((c.message_start_time for c in chunks), default=0),
            message_end_time=max((c.message_end_time for c in chunks), default=0),
            schema_count=len(self._schemas),
        )


def _records(channels: Sequence[RecordedChannel]) -> tuple[list[Schema], list[Channel]]:
    """Return the records of channels, numbered from 1 as they are given."""
    schemas: dict[tuple[str, str, bytes], Schema] = {}
    records = []
    for number, channel in enumerate(channels, start=1):
        schema_id = 0
        if channel.has_schema:
            key = (channel.type_name, channel.definition_format, channel.definition)
            new = Schema(
                id=len(schemas) + 1,
                name=channel.type_name,
                encoding=channel.definition_format,
                data=channel.definition,
            )
            schema_id = schemas.setdefault(key, new).id
        records.append(
            Channel(
                id=number,
                topic=channel.topic,
                message_encoding=channel.encoding,
                schema_id=schema_id,
                metadata=dict(channel.metadata),
            )
        )
    return list(schemas.values()), records


def _summary(start: int, groups: Mapping[int, Sequence[Any]]) -> bytes:
    """Return the summary section at a place of the file, and what follows it."""
    builder = RecordBuilder()
    offsets = []
    for opcode, records in groups.items():
        if not records:
            continue
        before = builder.count
        for record in records:
            record.write(builder)
        offsets.append(
            SummaryOffset(
                group_opcode=opcode,
                group_start=start + before,
                group_length=builder.count - before,
            )
        )
    offset_start = start + builder.count
    for offset in offsets:
        offset.write(builder)
    summary = builder.end()
    head = struct.pack('<BQQQ', Opcode.FOOTER, 20, start, offset_start)
    crc = zlib.crc32(head, zlib.crc32(summary))
    Footer(summary_start=start, summary_offset_start=offset_start, summary_crc=crc).write(builder)
    return bytes(summary + builder.end() + MCAP0_MAGIC)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
