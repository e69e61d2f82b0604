"""SQLite files of rosbag2 (.db3), also those whose recorder was killed."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import quote

from s2m2_ros.io.stereo_frame import PlaybackError
from s2m2_ros.io.storage.compression import decompressed
from s2m2_ros.io.storage.stored_messages import StoredMessage, StoredTopic, message_type

_logger = logging.getLogger(__name__)

MAGIC = b'SQLite format 3\0'


class SqliteFile:
    """Reads the tables `topics` and `messages`, which every version of rosbag2 writes alike."""

    def __init__(self, path: Path, name: Path) -> None:
        """Open the file, called ``name`` in messages.

        Raises PlaybackError if it holds no recording, or is damaged.
        """
        self._name = name
        try:
            self._connection = _connect(path)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        try:
            self._read_topics()
        except (sqlite3.Error, TypeError) as error:
            self._connection.close()
            raise self._unreadable(error) from error

    def messages(self, topics: Collection[str]) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time."""
        wanted = [number for number, topic in self._topics.items() if topic.topic in topics]
        places = ', '.join('?' * len(wanted))
        columns = 'topic_id, timestamp, data'
        # Only placeholders are put in.
        query = f'SELECT {columns} FROM messages WHERE topic_id IN ({places}) ORDER BY timestamp'  # noqa: S608
        try:
            for number, log_ns, data in self._connection.execute(query, wanted):
                topic = self._topics[number]
                yield StoredMessage(topic.topic, topic.type_name, log_ns, decompressed(data))
        except (sqlite3.Error, TypeError, AttributeError) as error:
            _logger.warning(
                "'%s' is damaged (%s): what was read before is played; "
                '`sqlite3 FILE .recover | sqlite3 NEW` saves the rest',
                self._name,
                error,
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _read_topics(self) -> None:
        counts = dict(
            self._connection.execute('SELECT topic_id, count(*) FROM messages GROUP BY topic_id')
        )
        rows = self._connection.execute('SELECT id, name, type, serialization_format FROM topics')
        self._topics = {
            number: StoredTopic(name, message_type(type_name), encoding, counts.get(number, 0))
            for number, name, type_name, encoding in rows
        }
        self.topics = list(self._topics.values())
        (start,) = self._connection.execute('SELECT min(timestamp) FROM messages').fetchone()
        self.start_ns = int(start or 0)

    def _unreadable(self, error: Exception) -> PlaybackError:
        return PlaybackError(
            f"'{self._name}' is no whole SQLite recording ({error}); "
            '`sqlite3 FILE .recover | sqlite3 NEW` saves what is left of a damaged one'
        )


def _connect(path: Path) -> sqlite3.Connection:
    """Return a connection that reads the write-ahead log of a killed recorder, if it may."""
    name = quote(os.fsencode(path.absolute()))
    error: sqlite3.Error | None = None
    for option in ('mode=ro', 'immutable=1'):
        connection = sqlite3.connect(f'file:{name}?{option}', uri=True)
        try:
            connection.execute('SELECT count(*) FROM sqlite_master').fetchone()
        except sqlite3.Error as refused:
            connection.close()
            error = refused
        else:
            return connection
    raise error or sqlite3.OperationalError('cannot be opened')
