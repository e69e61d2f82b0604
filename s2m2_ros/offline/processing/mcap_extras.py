"""Attachments and metadata records, written behind the chunks of an MCAP file."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import IO

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import AttachmentIndex, Metadata, MetadataIndex

from s2m2_ros.io.recordings.storage.stored_messages import (
    StoredAttachment,
    StoredMetadata,
    StoredRecord,
)

# Records of these names say of a file how it was made: in another file, they would mislead.
OF_THE_FILE = ('s2m2_ros', 'rosbag2')
OF_THE_INPUT = 'input/'


def carried_records(records: Sequence[StoredRecord]) -> list[StoredRecord]:
    """Return records of an input as they are written: what describes its file says so."""
    return [
        StoredMetadata(f'{OF_THE_INPUT}{record.name}', record.values)
        if isinstance(record, StoredMetadata) and record.name in OF_THE_FILE
        else record
        for record in records
    ]


def write_extras(
    file: IO[bytes], place: int, records: Sequence[StoredRecord]
) -> tuple[list[AttachmentIndex], list[MetadataIndex]]:
    """Write records at the end of a file, which is ``place``; return their indexes."""
    attachments, metadata = [], []
    for record in records:
        if isinstance(record, StoredAttachment):
            length = _write_attachment(file, record)
            attachments.append(
                AttachmentIndex(
                    offset=place,
                    length=length,
                    log_time=record.log_ns,
                    create_time=record.create_ns,
                    data_size=record.size,
                    name=record.name,
                    media_type=record.media_type,
                )
            )
        else:
            builder = RecordBuilder()
            Metadata(name=record.name, metadata=dict(record.values)).write(builder)
            length = file.write(builder.end())
            metadata.append(MetadataIndex(offset=place, length=length, name=record.name))
        place += length
    return attachments, metadata


def _write_attachment(file: IO[bytes], record: StoredAttachment) -> int:
    """Write an attachment piece by piece; return how many bytes it takes."""
    texts = [text.encode() for text in (record.name, record.media_type)]
    head = struct.pack('<QQ', record.log_ns, record.create_ns)
    head += b''.join(struct.pack('<I', len(text)) + text for text in texts)
    head += struct.pack('<Q', record.size)
    length = len(head) + record.size + 4
    written = file.write(struct.pack('<BQ', Opcode.ATTACHMENT, length))
    checksum = 0
    for part in _parts(head, record):
        written += file.write(part)
        checksum = zlib.crc32(part, checksum)
    return written + file.write(struct.pack('<I', checksum))


def _parts(head: bytes, record: StoredAttachment) -> Iterator[bytes]:
    yield head
    yield from record.content()
