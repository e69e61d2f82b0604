"""SQLite files of rosbag2 (.db3), also those whose recorder was killed."""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from s2m2_ros.io.recordings.storage.compression import LARGEST_BLOCK
from s2m2_ros.io.recordings.storage.damage_log import DamageLog
from s2m2_ros.io.recordings.storage.sqlite_access import (
    DAMAGE,
    NothingThereError,
    connected,
    damage_text,
    log_of,
    missing_rows,
)
from s2m2_ros.io.recordings.storage.sqlite_pages import Columns, FoundRow, SqlitePages
from s2m2_ros.io.recordings.storage.stored_messages import (
    ALWAYS,
    StoredMessage,
    StoredRecord,
    StoredTopic,
    TimeWindow,
    message_type,
)
from s2m2_ros.io.sources.stereo_frame import NANOSECONDS, PlaybackError, seconds_text

MAGIC = b'SQLite format 3\0'
SMALLEST, LARGEST = -(1 << 63), (1 << 63) - 1
# Steps of SQLite's machine between two checks, and how many a query may take: for a row of a
# message, of a hundred bytes at least, they are some dozen.
STEPS = 10_000
STEPS_PER_BYTE = 2
LEAST_STEPS = 10_000_000


class SqliteFile:
    """Reads the tables `topics` and `messages`, which every version of rosbag2 writes alike."""

    def __init__(
        self, path: Path, name: Path, damage: DamageLog, is_partial: bool = False
    ) -> None:
        """Open the file, called ``name`` in messages; damage is noted in ``damage``.

        ``is_partial``: more of a compressed file could not be unpacked, which is reported
        already. Raises PlaybackError if it holds no recording, or nothing of it is readable.
        """
        self._name, self._is_partial, self._is_packed = name, is_partial, path != name
        self.damage = damage
        self._is_cut = False
        # The rows that are left of a damaged file, and its pages; None for a whole one.
        self._salvaged: list[FoundRow] | None = None
        self._pages: SqlitePages | None = None
        self._file = path.open('rb')
        try:
            self._connection, is_whole, has_log = connected(path)
        except DAMAGE as error:
            self._file.close()
            raise self._unreadable(error) from error
        self._steps_left = 0
        self._steps = STEPS_PER_BYTE * path.stat().st_size + LEAST_STEPS
        self._connection.set_progress_handler(self._is_too_long, STEPS)
        if sys.version_info >= (3, 11):
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_BLOCK)
        try:
            self._check_tables()
            self._read_topics(path.stat().st_size, is_whole=is_whole)
        except DAMAGE as error:
            self.close()
            raise self._unreadable(error) from error
        self._check_log(log_of(path), is_read=has_log)

    def messages(
        self, topics: Collection[str], window: TimeWindow = ALWAYS
    ) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time.

        What cannot be read of a damaged file is skipped with a warning in the log.
        """
        wanted = [number for number, topic in self._topics.items() if topic.topic in topics]
        if self._salvaged is not None:
            yield from self._salvaged_messages(wanted, window)
            return
        for number, log_ns, row in self._places(wanted, window):
            if not isinstance(log_ns, int):
                continue
            try:
                found = self._execute('SELECT data FROM messages WHERE id = ?', [row]).fetchone()
            except DAMAGE:
                self._report_lost(number, log_ns)
                continue
            if found and isinstance(found[0], bytes):
                yield StoredMessage(self._topics[number], log_ns, found[0])

    def _report_lost(self, number: int, log_ns: int) -> None:
        self.damage.add(
            f'is damaged: the message on {self._topics[number].topic} at {seconds_text(log_ns)} s '
            'is not whole and lost'
        )

    def _salvaged_messages(
        self, wanted: Collection[int], window: TimeWindow
    ) -> Iterator[StoredMessage]:
        for row in self._salvaged or ():
            if self._pages is None or row.topic not in wanted or not window.holds(row.log_ns):
                continue
            try:
                data = self._pages.data(row, self._columns)
            except ValueError:
                # Of a file that is cut short, this is no more than was reported.
                if not self._is_cut:
                    self._report_lost(row.topic, row.log_ns)
            else:
                yield StoredMessage(self._topics[row.topic], row.log_ns, data)

    def _places(self, wanted: Sequence[Any], window: TimeWindow) -> Iterator[tuple[Any, ...]]:
        """Yield topic, time and row of messages in the order of their time."""
        places = ', '.join('?' * len(wanted))
        # Only placeholders are put in. Large data would slow the sorting down.
        query = (
            'SELECT topic_id, timestamp, id FROM messages '  # noqa: S608
            f'WHERE topic_id IN ({places}) AND timestamp >= ? AND timestamp < ? ORDER BY timestamp'
        )
        start_ns = SMALLEST if window.start_ns is None else window.start_ns
        end_ns = LARGEST if window.end_ns is None else window.end_ns
        yield from self._rows(query, [*wanted, start_ns, end_ns])

    def _rows(self, query: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query up to the first that cannot be read."""
        try:
            yield from self._execute(query, values)
        except DAMAGE as error:
            self.damage.add(f'is damaged ({damage_text(error)}): what is readable is read')

    def spans(self) -> list[tuple[int, int]]:
        """Return the seconds in which there are messages, as first and last time."""
        if self._salvaged is not None:
            seconds = list({row.log_ns // NANOSECONDS for row in self._salvaged})
        else:
            query = f'SELECT DISTINCT timestamp / {NANOSECONDS} FROM messages'  # noqa: S608
            seconds = [row[0] for row in self._rows(query, ()) if isinstance(row[0], int)]
        return [(s * NANOSECONDS, (s + 1) * NANOSECONDS - 1) for s in sorted(seconds)]

    def records(self) -> Iterable[StoredRecord]:
        """Return nothing: such files have none."""
        return ()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
        self._file.close()

    def _read_topics(self, size: int, *, is_whole: bool) -> None:
        counts, self.start_ns = self._counted(size, is_whole=is_whole)
        definitions = self._optional(
            'SELECT topic_type, encoded_message_definition, encoding FROM message_definitions'
        )
        texts = {name: (str(text).encode(), str(kind)) for name, text, kind in definitions}
        qos = dict(self._optional('SELECT id, offered_qos_profiles FROM topics'))
        rows = self._execute('SELECT id, name, type, serialization_format FROM topics')
        self._topics = {
            number: StoredTopic(
                name,
                message_type(type_name),
                encoding,
                counts.get(number, 0),
                *texts.get(type_name, (b'', '')),
                str(qos.get(number) or ''),
            )
            for number, name, type_name, encoding in rows
        }
        self.topics = list(self._topics.values())

    def _counted(self, size: int, *, is_whole: bool) -> tuple[dict[Any, int], int]:
        """Return how many messages each topic has, and when the first came.

        Where parts of the file are damaged or missing, the rows are looked for page by page.
        """
        error: Exception | None = None
        if is_whole:
            try:
                counts = self._execute('SELECT topic_id, count(*) FROM messages GROUP BY topic_id')
                found = dict(counts.fetchall())
                # Reads all of the index, if there is one.
                (start,) = self._execute(
                    'SELECT min(timestamp), count(*) FROM messages WHERE timestamp > ?',
                    (SMALLEST,),
                ).fetchone()[:1]
            except sqlite3.DatabaseError as damage:
                error = damage
            else:
                return found, int(start or 0)
        self._salvaged = rows = self._salvage(size)
        if not rows:
            raise error or NothingThereError('it is cut short before the first message')
        self._is_cut = self._pages is not None and self._pages.declared_bytes > size
        if self._pages is not None and self._is_cut:
            if not self._is_partial:
                self.damage.add(
                    f'is cut short, {size} of {self._pages.declared_bytes} bytes are there: the '
                    f'{len(rows)} messages in these are read, the last one of '
                    f'{seconds_text(rows[-1].log_ns)} s'
                )
        else:
            reason = damage_text(error) if error else 'its size is wrong'
            self.damage.add(
                f'is damaged ({reason}): the {len(rows)} messages on its whole pages are read'
                + missing_rows(rows)
            )
        return dict(Counter(row.topic for row in rows)), rows[0].log_ns

    def _salvage(self, size: int) -> list[FoundRow]:
        """Return the rows on the pages that are there, in the order of their time."""
        names = [column[1] for column in self._execute('PRAGMA table_xinfo(messages)').fetchall()]
        self._columns = Columns(
            len(names), *(names.index(name) for name in ('topic_id', 'timestamp', 'data'))
        )
        self._pages = SqlitePages(self._file, size)
        found = {row.number: row for row in self._pages.rows(self._columns)}
        return sorted(found.values(), key=lambda row: (row.log_ns, row.number))

    def _optional(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of what early versions of rosbag2 do not write."""
        try:
            return list(self._execute(query))
        except DAMAGE:
            return []

    def _check_log(self, log: Path, *, is_read: bool) -> None:
        """Report a write-ahead log whose messages are lost."""
        if not is_read:
            self.damage.add(
                f"has a write-ahead log, '{log.name}', which cannot be read here: the messages "
                'in it are lost; copy both to a folder of yours, and read them there'
            )
        elif self._salvaged is not None and log.is_file() and log.stat().st_size:
            self.damage.add(
                f"has a write-ahead log, '{log.name}', which is not read with damaged pages: the "
                'messages in it are lost'
            )

    def _check_tables(self) -> None:
        """Raise NothingThereError for tables with computed rows or columns, maybe without end."""
        for table in ('topics', 'messages'):
            kind, sql = self._execute(
                'SELECT type, upper(sql) FROM sqlite_master WHERE lower(name) = ?', (table,)
            ).fetchone() or ('', '')
            columns = self._execute(f'PRAGMA table_xinfo({table})').fetchall()
            # The last number says whether a column is hidden or computed.
            if kind != 'table' or 'VIRTUAL' in sql or any(column[-1] for column in columns):
                raise NothingThereError(f"it has no plain table '{table}'")

    def _execute(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        self._steps_left = self._steps
        return self._connection.execute(query, values)

    def _is_too_long(self) -> bool:
        """Return whether a query takes more steps than the size of the file explains."""
        self._steps_left -= STEPS
        return self._steps_left < 0

    def _unreadable(self, error: Exception) -> PlaybackError:
        advice = (
            ''
            if self._is_packed
            else ('; `sqlite3 FILE .recover | sqlite3 NEW` saves what is left of a damaged one')
        )
        return PlaybackError(
            f"'{self._name}' is no readable SQLite recording ({damage_text(error)}){advice}"
        )
