"""SQLite files of rosbag2 (.db3), also those whose recorder was killed."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from s2m2_ros.io.recordings.storage.compression import LARGEST_BLOCK
from s2m2_ros.io.recordings.storage.stored_messages import StoredMessage, StoredTopic, message_type
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.text_safety import safe_text

_logger = logging.getLogger(__name__)

MAGIC = b'SQLite format 3\0'
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
        self._reported = False
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

    def messages(self, topics: Collection[str]) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time.

        What cannot be read of a damaged file is skipped with a warning in the log.
        """
        wanted = [number for number, topic in self._topics.items() if topic.topic in topics]
        places = ', '.join('?' * len(wanted))
        # Only placeholders are put in. Large data would slow the sorting down.
        query = (
            'SELECT topic_id, timestamp, id FROM messages '  # noqa: S608
            f'WHERE topic_id IN ({places}) ORDER BY timestamp'
        )
        rows = self._rows(query, wanted)
        for number, log_ns, row in rows:
            found = next(self._rows('SELECT data FROM messages WHERE id = ?', [row]), None)
            if found and isinstance(log_ns, int) and isinstance(found[0], bytes):
                yield StoredMessage(self._topics[number], log_ns, found[0])

    def _rows(self, query: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query up to the first that cannot be read."""
        try:
            yield from self._execute(query, values)
        except DAMAGE as error:
            if not self._reported:
                self._reported = True
                _logger.warning(
                    "'%s' is damaged (%s): what is readable is played; "
                    '`sqlite3 FILE .recover | sqlite3 NEW` saves more',
                    self._name,
                    safe_text(error),
                )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _read_topics(self) -> None:
        counts = dict(self._execute('SELECT topic_id, count(*) FROM messages GROUP BY topic_id'))
        rows = self._execute('SELECT id, name, type, serialization_format FROM topics')
        self._topics = {
            number: StoredTopic(name, message_type(type_name), encoding, counts.get(number, 0))
            for number, name, type_name, encoding in rows
        }
        self.topics = list(self._topics.values())
        (start,) = self._execute('SELECT min(timestamp) FROM messages').fetchone()
        self.start_ns = int(start or 0)

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
        connection = sqlite3.connect(f'file:{name}?{option}', uri=True)
        try:
            connection.execute('SELECT count(*) FROM sqlite_master').fetchone()
        except sqlite3.Error as failure:
            connection.close()
            error = failure
        else:
            return connection
    raise error or sqlite3.OperationalError('cannot be opened')
