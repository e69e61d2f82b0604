"""Rows of a damaged SQLite file, found page by page: what SQLite itself no longer reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

# Kinds of pages: a leaf of a table, which holds rows.
LEAF = 13
HEADER_BYTES = 100
# Serial types of columns: integers by their bytes, the numbers 0 and 1; even ones from 12 on are
# blobs.
NOTHING, FIRST_BLOB = 0, 12
INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
# A larger row is damaged.
LARGEST_ROW = 1 << 30


@dataclass(frozen=True)
class Columns:
    """Which columns of the table of messages hold what, of how many."""

    count: int
    topic: int
    time: int
    data: int


@dataclass(frozen=True)
class FoundRow:
    """A row, and where its content lies."""

    number: int
    topic: int
    log_ns: int
    page: int
    cell: int


class DamagedPageError(ValueError):
    """A row is not whole."""


class SqlitePages:
    """The pages of an open file, numbered from 1."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        """Take a file of ``size`` bytes; raises ValueError if it does not begin as SQLite does."""
        self._file = file
        head = file.read(HEADER_BYTES)
        stored = int.from_bytes(head[16:18], 'big')
        self._page_size = 65536 if stored == 1 else stored
        if len(head) < HEADER_BYTES or self._page_size < 512:
            raise ValueError('the header is damaged')
        # At the end of each page, some programs keep something of their own.
        self._usable = self._page_size - head[20]
        self._count = size // self._page_size
        self.declared_bytes = int.from_bytes(head[28:32], 'big') * self._page_size

    def rows(self, columns: Columns) -> Iterator[FoundRow]:
        """Yield the rows of the table of messages, known by the kinds of their columns."""
        for number in range(2, self._count + 1):
            page = self._page(number)
            if page[0] != LEAF:
                continue
            left = self._page_size
            for index in range(int.from_bytes(page[3:5], 'big')):
                cell = int.from_bytes(page[8 + 2 * index : 10 + 2 * index], 'big')
                try:
                    size, _, place = self._cell(page, cell)
                    # No two rows share bytes, but in a damaged page.
                    left -= 2 + place - cell + self._local(size)
                    if left < 0:
                        break
                    found = self._row(page, number, cell, columns)
                except (IndexError, ValueError):
                    continue
                if found is not None:
                    yield found

    def data(self, row: FoundRow, columns: Columns) -> bytes:
        """Return what the column of the data holds; raises DamagedPageError."""
        page = self._page(row.page)
        try:
            size, _, place = self._cell(page, row.cell)
            payload = self._payload(page, place, size)
            start, types = _header(payload)
        except IndexError as error:
            raise DamagedPageError('a row is damaged') from error
        start += sum(_length(kind) for kind in types[: columns.data])
        content = payload[start : start + _length(types[columns.data])]
        if len(content) < _length(types[columns.data]):
            raise DamagedPageError('a row is damaged')
        return bytes(content)

    def _row(self, page: bytes, number: int, cell: int, columns: Columns) -> FoundRow | None:
        """Return the row in a cell; None if it is of another table."""
        size, row, place = self._cell(page, cell)
        local = page[place : place + self._local(size)]
        start, types = _header(local)
        if len(types) != columns.count or size > LARGEST_ROW:
            return None
        blob = types[columns.data]
        if blob < FIRST_BLOB or blob % 2 or types[columns.topic] not in INTEGER_BYTES:
            return None
        if types[columns.time] not in INTEGER_BYTES:
            return None
        topic = _integer(local, start, types, columns.topic)
        return FoundRow(row, topic, _integer(local, start, types, columns.time), number, cell)

    def _cell(self, page: bytes, place: int) -> tuple[int, int, int]:
        """Return the size of a row, its number, and where its content begins."""
        size, place = _varint(page, place)
        row, place = _varint(page, place)
        return size, row, place

    def _local(self, size: int) -> int:
        """Return how many bytes of a row of this size lie on its leaf."""
        most = self._usable - 35
        if size <= most:
            return size
        least = (self._usable - 12) * 32 // 255 - 23
        wanted = least + (size - least) % (self._usable - 4)
        return wanted if wanted <= most else least

    def _payload(self, page: bytes, place: int, size: int) -> bytearray:
        """Return a row with what lies on other pages; raises DamagedPageError."""
        local = self._local(size)
        found = bytearray(page[place : place + local])
        following = int.from_bytes(page[place + local : place + local + 4], 'big')
        seen: set[int] = set()
        while len(found) < size:
            if following in seen or not 1 < following <= self._count:
                raise DamagedPageError('part of a row is missing')
            seen.add(following)
            page = self._page(following)
            found += page[4 : 4 + min(self._usable - 4, size - len(found))]
            following = int.from_bytes(page[:4], 'big')
        return found

    def _page(self, number: int) -> bytes:
        self._file.seek((number - 1) * self._page_size)
        return self._file.read(self._page_size)


def _header(payload: bytes | bytearray) -> tuple[int, Sequence[int]]:
    """Return where the values of a row begin, and the serial types of its columns."""
    end, place = _varint(payload, 0)
    types = []
    while place < end:
        kind, place = _varint(payload, place)
        types.append(kind)
    return end, types


def _varint(content: bytes | bytearray, place: int) -> tuple[int, int]:
    """Return a number of up to nine bytes, and the place after it."""
    value = 0
    for index in range(place, place + 8):
        value = value << 7 | content[index] & 0x7F
        if content[index] < 0x80:
            return value, index + 1
    return value << 8 | content[place + 8], place + 9


def _length(kind: int) -> int:
    """Return the bytes of a value of a serial type; raises DamagedPageError for unknown ones."""
    if kind in INTEGER_BYTES:
        return INTEGER_BYTES[kind]
    if kind == NOTHING:
        return 0
    if kind == 7:  # a floating-point number
        return 8
    if kind < FIRST_BLOB:
        raise DamagedPageError('a row is damaged')
    return (kind - FIRST_BLOB) // 2


def _integer(payload: bytes, start: int, types: Sequence[int], column: int) -> int:
    kind = types[column]
    if kind in (8, 9):
        return kind - 8
    place = start + sum(_length(k) for k in types[:column])
    content = payload[place : place + INTEGER_BYTES[kind]]
    if len(content) < INTEGER_BYTES[kind]:
        raise DamagedPageError('a row is damaged')
    return int.from_bytes(content, 'big', signed=True)
