"""ROS 1 bags, through `rosbags`."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from rosbags.rosbag1 import Reader, ReaderError

from s2m2_ros.io.recordings.storage.compression import decompressed
from s2m2_ros.io.recordings.storage.damage_log import DamageLog
from s2m2_ros.io.recordings.storage.stored_messages import (
    ALWAYS,
    StoredMessage,
    StoredRecord,
    StoredTopic,
    TimeWindow,
)
from s2m2_ros.io.sources.stereo_frame import PlaybackError, seconds_text
from s2m2_ros.text_safety import safe_text

MAGIC = b'#ROSBAG V'
FIRST_LINE = b'#ROSBAG V2.0\n'


class _BoundedReader(Reader):  # type: ignore[misc]  # rosbags is optional
    """The reader of `rosbags`, which takes what the index and the chunks declare."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._bytes_left = path.stat().st_size

    def read_chunk(self) -> Any:
        return super().read_chunk()._replace(decompressor=decompressed)

    def read_chunk_info(self) -> Any:
        return self._bounded(super().read_chunk_info)

    def read_index_data(self, pos: int, indexes: Any) -> None:
        self._bounded(lambda: super(_BoundedReader, self).read_index_data(pos, indexes))

    def _bounded(self, read: Callable[[], Any]) -> Any:
        """Return what is read; the whole index is no longer than the file."""
        start = self.bio.tell()
        found = read()
        self._bytes_left -= self.bio.tell() - start
        if self._bytes_left < 0:
            raise ReaderError('parts of the index are read more than once')
        return found


class Ros1Bag:
    """Reads a ROS 1 bag with an index."""

    def __init__(
        self, path: Path, name: Path, damage: DamageLog, is_partial: bool = False
    ) -> None:
        """Open the bag, called ``name`` in messages; damage is noted in ``damage``.

        Raises PlaybackError, which names the tool that repairs it.
        """
        self._name, self._is_packed = name, path != name
        self._reader = _BoundedReader(path)
        try:
            _check_version(path)
            self._reader.open()
        except Exception as error:  # rosbags raises what struct, bz2 and lz4 do for damage
            raise self._unreadable(error) from error
        self._topics = {c.id: _topic(c) for c in self._reader.connections}
        self.topics = list(self._topics.values())
        self.start_ns = self._reader.start_time
        self.damage = damage

    def messages(
        self, topics: Collection[str], window: TimeWindow = ALWAYS
    ) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time.

        What lies in a damaged chunk is skipped with a warning in the log. Raises PlaybackError if
        that is everything.
        """
        connections = [c for c in self._reader.connections if c.topic in topics]
        if not connections:
            return
        places = [
            (place.time, place.chunk_pos)
            for place in heapq.merge(*(self._reader.indexes[c.id] for c in connections))
            if window.holds(place.time)
        ]
        index, is_readable = 0, False
        while index < len(places):
            begin, _ = places[index]
            try:
                for connection, log_ns, data in self._reader.messages(
                    connections, begin, window.end_ns
                ):
                    is_readable = True
                    yield StoredMessage(self._topics[connection.id], log_ns, data)
                    index += 1
            except Exception as error:  # rosbags raises what struct, bz2 and lz4 do for damage
                now, damaged = places[min(index, len(places) - 1)]
                self._report(damaged)
                later = range(index + 1, len(places))
                others = (n for n in later if places[n][0] > now and places[n][1] != damaged)
                index = next(others, len(places))
                if index == len(places) and not is_readable and window == ALWAYS:
                    raise self._unreadable(error) from error
            else:
                return

    def spans(self) -> list[tuple[int, int]]:
        """Return first and last time of the bag."""
        return [(self.start_ns, max(self.start_ns, self._reader.end_time))]

    def records(self) -> Iterable[StoredRecord]:
        """Return nothing: such files have none."""
        return ()

    def close(self) -> None:
        """Close the bag."""
        self._reader.close()

    def _report(self, chunk: int) -> None:
        """Report a damaged chunk by what the index says to be in it, whoever asks for a part."""
        indexes = self._reader.indexes.values()
        times = [place.time for index in indexes for place in index if place.chunk_pos == chunk]
        self.damage.add(
            f'is damaged: messages are lost of the chunk at byte {chunk}, which held '
            f'{len(times)} of {seconds_text(min(times))} to {seconds_text(max(times))} s; the '
            'rest is read'
        )

    def _unreadable(self, error: Exception) -> PlaybackError:
        is_clear = isinstance(error, ReaderError | PlaybackError)
        reason = safe_text(error) if is_clear else 'its index or its records are damaged'
        return PlaybackError(
            f"the ROS 1 bag '{self._name}' cannot be read ({reason}): "
            + ('unpack it; ' if self._is_packed else '')
            + '`rosbag reindex` repairs '
            'one whose recorder was killed, `rosbags-convert --src BAG --dst FOLDER` makes a '
            'ROS 2 recording of a whole one'
        )


def _topic(connection: Any) -> StoredTopic:
    return StoredTopic(
        connection.topic,
        connection.msgtype,
        'ros1',
        connection.msgcount,
        connection.msgdef.data.encode(),
        'ros1msg',
    )


def _check_version(path: Path) -> None:
    """Raise ReaderError for another version; `rosbags` takes any number of digits."""
    with path.open('rb') as file:
        if file.read(len(FIRST_LINE)) != FIRST_LINE:
            raise ReaderError('it is not of version 2.0')
