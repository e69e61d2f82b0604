"""SQLite files of rosbag2 (.db3), also those whose recorder was killed."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from s2m2_ros.io.recordings.storage.compression import LARGEST_BLOCK
from s2m2_ros.io.recordings.storage.stored_messages import (
    ALWAYS,
    StoredMessage,
    StoredRecord,
    StoredTopic,
    TimeWindow,
    message_type,
)
from s2m2_ros.io.sources.stereo_frame import NANOSECONDS, PlaybackError
from s2m2_ros.text_safety import safe_text

_logger = logging.getLogger(__name__)

MAGIC = b'SQLite format 3\0'
SMALLEST, LARGEST = -(1 << 63), (1 << 63) - 1
# Steps of SQLite's machine between two checks, and how many a query may take: for a row of a
# message, of a hundred bytes at least, they are some dozen.
STEPS = 10_000
STEPS_PER_BYTE = 2
LEAST_STEPS = 10_000_000
# What `sqlite3` raises for damage, and what values of a wrong type lead to.
DAMAGE = (sqlite3.Error, TypeError, ValueError, AttributeError, OverflowError, MemoryError)


class SqliteFile:
    """Reads the tables `topics` and `messages`, which every version of rosbag2 writes alike."""

    def __init__(self, path: Path, name: Path) -> None:
        """Open the file, called ``name`` in messages.

        Raises PlaybackError if it holds no recording, or is damaged.
        """
        self._name = name
        self.damage: list[str] = []
        self._reported = False
        # The rows that are left of a damaged table; None for a whole one.
        self._salvaged: list[tuple[Any, ...]] | None = None
        try:
            self._connection = _connect(path)
        except DAMAGE as error:
            raise self._unreadable(error) from error
        self._steps_left = 0
        self._steps = STEPS_PER_BYTE * path.stat().st_size + LEAST_STEPS
        self._connection.set_progress_handler(self._is_too_long, STEPS)
        if sys.version_info >= (3, 11):
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_BLOCK)
        try:
            self._check_tables()
            self._read_topics()
        except DAMAGE as error:
            self._connection.close()
            raise self._unreadable(error) from error

    def messages(
        self, topics: Collection[str], window: TimeWindow = ALWAYS
    ) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time.

        What cannot be read of a damaged file is skipped with a warning in the log.
        """
        wanted = [number for number, topic in self._topics.items() if topic.topic in topics]
        for number, log_ns, row in self._places(wanted, window):
            found = next(self._rows('SELECT data FROM messages WHERE id = ?', [row]), None)
            if found and isinstance(log_ns, int) and isinstance(found[0], bytes):
                yield StoredMessage(self._topics[number], log_ns, found[0])

    def _places(self, wanted: Sequence[Any], window: TimeWindow) -> Iterator[tuple[Any, ...]]:
        """Yield topic, time and row of messages in the order of their time."""
        if self._salvaged is not None:
            for number, log_ns, row in self._salvaged:
                if number in wanted and window.holds(log_ns):
                    yield number, log_ns, row
            return
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
            self._report(error)

    def _report(self, error: Exception) -> None:
        text = (
            f'is damaged ({safe_text(error)}): what is readable is played; '
            '`sqlite3 FILE .recover | sqlite3 NEW` saves more'
        )
        if not self._reported:
            self._reported = True
            _logger.warning("'%s' %s", self._name, text)
        self.damage.append(f"'{self._name.name}' {text}")

    def spans(self) -> list[tuple[int, int]]:
        """Return the seconds in which there are messages, as first and last time."""
        if self._salvaged is not None:
            seconds = list({log_ns // NANOSECONDS for _, log_ns, _ in self._salvaged})
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

    def _read_topics(self) -> None:
        counts, self.start_ns = self._counted()
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

    def _counted(self) -> tuple[dict[Any, int], int]:
        """Return how many messages each topic has, and when the first came.

        Where parts of the table are damaged, the rows of the others are found one by one.
        """
        try:
            counts = self._execute('SELECT topic_id, count(*) FROM messages GROUP BY topic_id')
            found = dict(counts.fetchall())
            (start,) = self._execute('SELECT min(timestamp) FROM messages').fetchone()
        except sqlite3.DatabaseError as error:
            (last,) = self._execute('SELECT max(id) FROM messages').fetchone()
            rows = [r for r in self._readable(0, int(last)) if isinstance(r[1], int)]
            if not rows:
                raise
            self._report(error)
            self._salvaged = sorted(rows, key=itemgetter(1))
            return dict(Counter(row[0] for row in rows)), self._salvaged[0][1]
        return found, int(start or 0)

    def _readable(self, first: int, last: int) -> list[tuple[Any, ...]]:
        """Return topic, time and number of the rows of these numbers that can be read."""
        query = 'SELECT topic_id, timestamp, id FROM messages WHERE id BETWEEN ? AND ?'
        try:
            return self._execute(query, (first, last)).fetchall()
        except sqlite3.DatabaseError:
            if first >= last:
                return []
        middle = (first + last) // 2
        return self._readable(first, middle) + self._readable(middle + 1, last)

    def _optional(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of what early versions of rosbag2 do not write."""
        try:
            return list(self._execute(query))
        except DAMAGE:
            return []

    def _check_tables(self) -> None:
        """Raise TypeError for tables whose rows or columns are computed, maybe without an end."""
        for table in ('topics', 'messages'):
            kind, sql = self._execute(
                'SELECT type, upper(sql) FROM sqlite_master WHERE lower(name) = ?', (table,)
            ).fetchone() or ('', '')
            columns = self._execute(f'PRAGMA table_xinfo({table})').fetchall()
            # The last number says whether a column is hidden or computed.
            if kind != 'table' or 'VIRTUAL' in sql or any(column[-1] for column in columns):
                raise TypeError(f"no plain table '{table}'")

    def _execute(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        self._steps_left = self._steps
        return self._connection.execute(query, values)

    def _is_too_long(self) -> bool:
        """Return whether a query takes more steps than the size of the file explains."""
        self._steps_left -= STEPS
        return self._steps_left < 0

    def _unreadable(self, error: Exception) -> PlaybackError:
        return PlaybackError(
            f"'{self._name}' is no whole SQLite recording ({safe_text(error)}); "
            '`sqlite3 FILE .recover | sqlite3 NEW` saves what is left of a damaged one'
        )


def _connect(path: Path) -> sqlite3.Connection:
    """Return a connection that reads the write-ahead log of a killed recorder, if it may."""
    name = quote(os.fsencode(path.absolute()))
    error: Exception | None = None
    for option in ('mode=ro', 'immutable=1'):
        # Whoever opened it may hand it to another thread.
        connection = sqlite3.connect(f'file:{name}?{option}', uri=True, check_same_thread=False)
        try:
            connection.execute('SELECT count(*) FROM sqlite_master').fetchone()
        except sqlite3.Error as failure:
            connection.close()
            error = failure
        else:
            return connection
    raise error or sqlite3.OperationalError('cannot be opened')
