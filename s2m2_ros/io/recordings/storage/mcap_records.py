"""The records of an MCAP file one after another, also those behind damaged parts of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import BinaryIO

from mcap.opcode import Opcode
from mcap.records import Chunk, McapRecord
from mcap.stream_reader import StreamReader

from s2m2_ros.io.recordings.storage.compression import LARGEST_BLOCK, is_plausible
from s2m2_ros.io.recordings.storage.mcap_chunks import (
    DAMAGE,
    MOST_RECORDS,
    RECORD_HEAD,
    damage_text,
    unpacked,
)
from s2m2_ros.io.sources.stereo_frame import PlaybackError

CONTENT = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE, Opcode.CHUNK)
# The parts of each kind of record: so many bytes, or what the 4 or 8 bytes before it say.
SIZED, LONG = 'I', 'Q'
LAYOUTS: dict[int, Sequence[int | str]] = {
    Opcode.HEADER: (SIZED, SIZED),
    Opcode.FOOTER: (20,),
    Opcode.SCHEMA: (2, SIZED, SIZED, SIZED),
    Opcode.CHANNEL: (4, SIZED, SIZED, SIZED),
    Opcode.MESSAGE: (22,),
    Opcode.CHUNK: (28, SIZED, LONG),
    Opcode.MESSAGE_INDEX: (2, SIZED),
    Opcode.CHUNK_INDEX: (32, SIZED, 8, SIZED, 16),
    Opcode.ATTACHMENT: (16, SIZED, SIZED, LONG, 4),
    Opcode.ATTACHMENT_INDEX: (40, SIZED, SIZED),
    Opcode.STATISTICS: (42, SIZED),
    Opcode.METADATA: (SIZED, SIZED),
    Opcode.METADATA_INDEX: (16, SIZED),
    Opcode.SUMMARY_OFFSET: (17,),
    Opcode.DATA_END: (4,),
}
# From here on, programs have kinds of records of their own.
FIRST_PRIVATE = 0x80
# Where a record may begin: a known kind, and a length below 2^40.
ANY = re.compile(rb'[\x01-\x0f].{5}\x00\x00\x00', re.DOTALL)
# Of the kinds that are never within a chunk, and of chunks and what follows each.
OUTSIDE = re.compile(rb'[\x02\x06-\x0a\x0f].{5}\x00\x00\x00', re.DOTALL)
OF_CHUNKS = re.compile(rb'[\x06\x07].{5}\x00\x00\x00', re.DOTALL)
# Records in a row that show where the next whole one begins.
CHAIN = 3
FIRST_BLOCK, LARGEST_SCAN = 64 << 10, 4 << 20
# What may be read of a damaged file: so many times its size, and so many bytes.
READ_FACTOR, READ_AT_LEAST = 8, 64 << 20


@dataclass(frozen=True)
class Located:
    """A record and its place.

    Attributes:
        begin, end: where it lies.
        opcode: its kind.
        record: what is in it; None of kinds that are neither messages nor needed for them.
        inner: the records of a chunk.

    """

    begin: int
    end: int
    opcode: int
    record: McapRecord | None = None
    inner: Sequence[McapRecord] = field(default=())


@dataclass(frozen=True)
class Gap:
    """Bytes that hold nothing readable, and why; ``is_end``: nor does anything after them."""

    begin: int
    end: int
    reason: str
    is_end: bool = False


@dataclass(frozen=True)
class _Head:
    opcode: int
    end: int


class RecordWalk:
    """Goes through the records of a file, and on behind what is damaged."""

    def __init__(self, file: BinaryIO, size: int, is_known: Callable[[int], bool]) -> None:
        """Take an open file; ``is_known`` says whether a channel of that number was described."""
        self._file, self._size, self._is_known = file, size, is_known
        self._unpacked_size = 0
        self._bytes_left = READ_FACTOR * size + READ_AT_LEAST
        # Whether there were messages outside of chunks so far, and chunks.
        self._has_loose = self._has_chunks = False
        # Where the data ended; None as long as no record said so.
        self.data_end: int | None = None

    def data(self, position: int) -> Iterator[Located | Gap]:
        """Yield the records from a position on to the end of the data, and what is damaged."""
        skipped = 0
        while position < self._size:
            head = self._head(position)
            if head is None:
                found: Located | Gap = self._gap(position, 'no record begins there')
            elif head.opcode in (Opcode.DATA_END, Opcode.FOOTER):
                self.data_end = position
                return
            else:
                found = self._read(position, head)
                skipped = 0 if head.opcode in CONTENT else skipped + 1
                if skipped > MOST_RECORDS:
                    reason = 'too many records without content'
                    found = Gap(position, self._size, reason, is_end=True)
            yield found
            if isinstance(found, Gap) and found.is_end:
                return
            position = found.end
        yield Gap(position, position, 'no end of the data', is_end=True)

    def summary(self) -> Iterator[Located]:
        """Yield the records after the data, as far as they are whole."""
        position = self.data_end
        for _ in range(MOST_RECORDS):
            head = None if position is None else self._head(position)
            if head is None or position is None or head.opcode == Opcode.FOOTER:
                return
            found = self._read(position, head)
            if isinstance(found, Gap):
                return
            yield found
            position = found.end

    def heads(self, position: int, opcodes: Collection[int]) -> Iterator[Located]:
        """Yield the places of records of these kinds from a position on, without reading them."""
        while head := self._head(position):
            if head.opcode in (Opcode.DATA_END, Opcode.FOOTER):
                return
            if head.opcode in opcodes:
                yield Located(position, head.end, head.opcode)
            position = head.end

    def at(self, begin: int, end: int) -> Located | Gap:
        """Return the record that an index says to lie at a place."""
        head = self._head(begin)
        if head is None or head.end != end:
            return Gap(begin, end, 'no such record is there')
        try:
            record = self._record(begin, head)
            inner = unpacked(record) if isinstance(record, Chunk) else ()
        except (*DAMAGE, PlaybackError) as error:
            return Gap(begin, end, damage_text(error))
        return Located(begin, end, head.opcode, record, inner)

    def _read(self, position: int, head: _Head) -> Located | Gap:
        if head.opcode not in CONTENT:
            return Located(position, head.end, head.opcode)
        try:
            record = self._record(position, head)
            inner: Sequence[McapRecord] = ()
            if isinstance(record, Chunk):
                # Larger ones are damaged, and not unpacked.
                if record.uncompressed_size <= LARGEST_BLOCK:
                    self._unpacked_size += record.uncompressed_size
                if not is_plausible(self._unpacked_size, self._size):
                    reason = 'it declares implausible sizes'
                    return Gap(position, self._size, reason, is_end=True)
                inner = unpacked(record)
            self._has_loose |= head.opcode == Opcode.MESSAGE
            self._has_chunks |= head.opcode == Opcode.CHUNK
        except (*DAMAGE, PlaybackError) as error:
            if self._is_beginning(head.end):
                return Gap(position, head.end, damage_text(error))
            return self._gap(position, damage_text(error))
        return Located(position, head.end, head.opcode, record, inner)

    def _record(self, position: int, head: _Head) -> McapRecord:
        content = self._bytes(position, head.end - position)
        reader = StreamReader(BytesIO(content), skip_magic=True, emit_chunks=True)
        return next(iter(reader.records))

    def _gap(self, position: int, reason: str) -> Gap:
        """Return the gap from a position to the next whole record."""
        following = None
        for kinds in self._searched_kinds():
            following = self._next_beginning(position + 1, kinds)
            if following is not None:
                break
        if following is None:
            return Gap(position, self._size, reason, is_end=True)
        return Gap(position, following, reason)

    def _searched_kinds(self) -> Sequence[re.Pattern[bytes]]:
        """Return what is looked for behind damage: that first, then that.

        Messages are within a damaged chunk, too, where nothing says that they are whole.
        """
        if self._has_loose:
            return (ANY,)
        return (OUTSIDE,) if self._has_chunks else (OF_CHUNKS, ANY)

    def _head(self, position: int, *, is_strict: bool = False) -> _Head | None:
        """Return kind and end of a record if they are consistent with its parts.

        Otherwise return None. Programs may add parts of their own, unless ``is_strict``.
        """
        head = self._bytes(position, RECORD_HEAD.size)
        if len(head) < RECORD_HEAD.size:
            return None
        opcode, length = RECORD_HEAD.unpack(head)
        start = position + RECORD_HEAD.size
        end = start + length
        if end > self._size:
            return None
        layout = LAYOUTS.get(opcode)
        if layout is None:
            return None if is_strict or opcode < FIRST_PRIVATE else _Head(opcode, end)
        place = self._laid_out(start, end, layout)
        if place is None or (is_strict and opcode != Opcode.MESSAGE and place != end):
            return None
        return _Head(opcode, end)

    def _laid_out(self, place: int, end: int, layout: Sequence[int | str]) -> int | None:
        """Return where the parts of a record end; None if that is not within it."""
        for part in layout:
            if isinstance(part, int):
                place += part
            else:
                width = 4 if part == SIZED else 8
                if place + width > end:
                    return None
                place += width + int.from_bytes(self._bytes(place, width), 'little')
            if place > end:
                return None
        return place

    def _is_beginning(self, position: int) -> bool:
        """Return whether whole records follow each other from a position on."""
        for number in range(CHAIN):
            if position == self._size:
                return True
            head = self._head(position, is_strict=True)
            if head is None:
                return False
            if head.opcode in (Opcode.CHUNK, Opcode.FOOTER):
                return True
            # Later ones may be of channels that were lost, or are described in between.
            if head.opcode == Opcode.MESSAGE and number == 0 and not self._is_of_known(position):
                return False
            position = head.end
        return True

    def _is_of_known(self, position: int) -> bool:
        channel = self._bytes(position + RECORD_HEAD.size, 2)
        return self._is_known(int.from_bytes(channel, 'little'))

    def _next_beginning(self, position: int, kinds: re.Pattern[bytes]) -> int | None:
        """Return where the next whole record of some kinds begins; None if there is none."""
        length = FIRST_BLOCK
        while position < self._size and self._bytes_left > 0:
            block = self._bytes(position, length)
            place = 0
            while found := kinds.search(block, place):
                if self._bytes_left <= 0:
                    return None
                if self._is_beginning(position + found.start()):
                    return position + found.start()
                place = found.start() + 1
            # A beginning may lie across the end of the block.
            position += max(len(block) - RECORD_HEAD.size + 1, 1)
            length = min(2 * length, LARGEST_SCAN)
        return None

    def _bytes(self, position: int, length: int) -> bytes:
        self._file.seek(position)
        found = self._file.read(length)
        self._bytes_left -= len(found)
        return found
