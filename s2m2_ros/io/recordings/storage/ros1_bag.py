"""ROS 1 bags, through `rosbags`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from rosbags.rosbag1 import Reader

from s2m2_ros.io.recordings.storage.stored_messages import StoredMessage, StoredTopic
from s2m2_ros.io.sources.stereo_frame import PlaybackError

MAGIC = b'#ROSBAG V'


class Ros1Bag:
    """Reads a ROS 1 bag with an index."""

    def __init__(self, path: Path, name: Path) -> None:
        """Open the bag, called ``name`` in messages.

        Raises PlaybackError, which names the tool that repairs it.
        """
        self._name = name
        self._reader = Reader(path)
        try:
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
        reason = str(error) or type(error).__name__
        return PlaybackError(
            f"the ROS 1 bag '{self._name}' cannot be read ({reason}): `rosbag reindex` repairs "
            'one whose recorder was killed, `rosbags-convert --src BAG --dst FOLDER` makes a '
            'ROS 2 recording of a whole one'
        )
