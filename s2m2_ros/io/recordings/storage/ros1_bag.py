"""ROS 1 bags, through `rosbags`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from rosbags.rosbag1 import Reader, ReaderError

from s2m2_ros.io.recordings.storage.compression import decompressed
from s2m2_ros.io.recordings.storage.stored_messages import StoredMessage, StoredTopic
from s2m2_ros.io.sources.stereo_frame import PlaybackError
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

    def __init__(self, path: Path, name: Path) -> None:
        """Open the bag, called ``name`` in messages.

        Raises PlaybackError, which names the tool that repairs it.
        """
        self._name = name
        self._reader = _BoundedReader(path)
        try:
            _check_version(path)
            self._reader.open()
        except Exception as error:  # rosbags raises what struct, bz2 and lz4 do for damage
            raise self._unreadable(error) from error
        self.topics = [
            StoredTopic(c.topic, c.msgtype, 'ros1', c.msgcount) for c in self._reader.connections
        ]
        self.start_ns = self._reader.start_time

    def messages(self, topics: Collection[str]) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time."""
        connections = [c for c in self._reader.connections if c.topic in topics]
        if not connections:
            return
        messages = self._reader.messages(connections)
        while (found := self._next(messages)) is not None:
            connection, log_ns, data = found
            topic = StoredTopic(connection.topic, connection.msgtype, 'ros1', connection.msgcount)
            yield StoredMessage(topic, log_ns, data)

    def close(self) -> None:
        """Close the bag."""
        self._reader.close()

    def _next(self, messages: Iterator[Any]) -> Any:
        try:
            return next(messages, None)
        except Exception as error:  # rosbags raises what struct, bz2 and lz4 do for damage
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> PlaybackError:
        reason = safe_text(error) or type(error).__name__
        return PlaybackError(
            f"the ROS 1 bag '{self._name}' cannot be read ({reason}): `rosbag reindex` repairs "
            'one whose recorder was killed, `rosbags-convert --src BAG --dst FOLDER` makes a '
            'ROS 2 recording of a whole one'
        )


def _check_version(path: Path) -> None:
    """Raise ReaderError for another version; `rosbags` takes any number of digits."""
    with path.open('rb') as file:
        if file.read(len(FIRST_LINE)) != FIRST_LINE:
            raise ReaderError('it is not of version 2.0')
