"""Attachments and metadata records of MCAP files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Metadata

from s2m2_ros.io.recordings.storage.mcap_chunks import DAMAGE, RECORD_HEAD, damage_text
from s2m2_ros.io.recordings.storage.stored_messages import (
    StoredAttachment,
    StoredMetadata,
    StoredRecord,
)
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.text_safety import safe_text

COPY_BYTES = 4 << 20
# Name and media type of an attachment, and the whole of a metadata record, are far smaller.
LARGEST_TEXT = 64 << 20


class McapExtras:
    """Reads them from an open file."""

    def __init__(self, file: BinaryIO, report: Callable[[str], None]) -> None:
        """Take the file, and what takes texts about damage."""
        self._file, self._report = file, report

    def records(self, places: Iterable[tuple[int, int]]) -> Iterator[StoredRecord]:
        """Yield the records at these places; damaged ones are skipped and reported."""
        for begin, end in places:
            try:
                yield self._record(begin, end)
            except (*DAMAGE, PlaybackError) as error:
                self._report(
                    f'is damaged from byte {begin} to {end} ({damage_text(error)}): the '
                    'attachment or metadata there is lost'
                )

    def _record(self, begin: int, end: int) -> StoredRecord:
        self._file.seek(begin)
        opcode, length = RECORD_HEAD.unpack(self._file.read(RECORD_HEAD.size))
        place = begin + RECORD_HEAD.size
        if place + length != end or opcode not in (Opcode.ATTACHMENT, Opcode.METADATA):
            raise PlaybackError('no such record is there')
        if opcode == Opcode.ATTACHMENT:
            return self._attachment(place, end)
        if length > LARGEST_TEXT:
            raise PlaybackError(f'a metadata record of {length} bytes')
        found = Metadata.read(ReadDataStream(BytesIO(self._file.read(length))))
        return StoredMetadata(found.name, found.metadata)

    def _attachment(self, place: int, end: int) -> StoredAttachment:
        log_ns, create_ns = struct.unpack('<QQ', self._file.read(16))
        name, media_type = self._text(end), self._text(end)
        (size,) = struct.unpack('<Q', self._file.read(8))
        data = self._file.tell()
        if data + size + 4 != end:
            raise PlaybackError('the size of an attachment is wrong')
        checksum = 0
        for part in self._parts(place, data + size):
            checksum = zlib.crc32(part, checksum)
        (expected,) = struct.unpack('<I', self._file.read(4))
        if expected and expected != checksum:
            raise PlaybackError(f"the checksum of the attachment '{safe_text(name)}' is wrong")
        return StoredAttachment(
            name, media_type, log_ns, create_ns, size, lambda: self._parts(data, data + size)
        )

    def _text(self, end: int) -> str:
        (length,) = struct.unpack('<I', self._file.read(4))
        if length > min(LARGEST_TEXT, end - self._file.tell()):
            raise PlaybackError(f'a name of {length} bytes')
        return self._file.read(length).decode()

    def _parts(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield what lies between two places; raises PlaybackError if the file became shorter."""
        place = begin
        while place < end:
            self._file.seek(place)
            part = self._file.read(min(end - place, COPY_BYTES))
            if not part:
                raise PlaybackError('the file ends in an attachment')
            place += len(part)
            yield part
