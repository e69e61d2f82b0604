"""ROS 1 bags, through `rosbags`."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from rosbags.rosbag1 import Reader

from s2m2_ros.io.recordings.storage.stored_messages import (
    ALWAYS,
    StoredMessage,
    StoredTopic,
    TimeWindow,
)
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.text_safety import safe_text

_logger = logging.getLogger(__name__)

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
        self._topics = {c.id: _topic(c) for c in self._reader.connections}
        self.topics = list(self._topics.values())
        self.start_ns = self._reader.start_time
        self.damage: list[str] = []

    def messages(
        self, topics: Collection[str], window: TimeWindow = ALWAYS
    ) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time.

        What lies in a damaged chunk is skipped with a warning in the log.
        """
        connections = [c for c in self._reader.connections if c.topic in topics]
        if not connections:
            return
        places = [
            (place.time, place.chunk_pos)
            for place in heapq.merge(*(self._reader.indexes[c.id] for c in connections))
            if window.holds(place.time)
        ]
        index = 0
        while index < len(places):
            begin, _ = places[index]
            try:
                for connection, log_ns, data in self._reader.messages(
                    connections, begin, window.end_ns
                ):
                    yield StoredMessage(self._topics[connection.id], log_ns, data)
                    index += 1
            except Exception as error:  # rosbags raises what struct, bz2 and lz4 do for damage
                now, damaged = places[index]
                self._report(error)
                later = range(index + 1, len(places))
                others = (n for n in later if places[n][0] > now and places[n][1] != damaged)
                index = next(others, len(places))
            else:
                return

    def spans(self) -> list[tuple[int, int]]:
        """Return first and last time of the bag."""
        return [(self.start_ns, max(self.start_ns, self._reader.end_time))]

    def close(self) -> None:
        """Close the bag."""
        self._reader.close()

    def _report(self, error: Exception) -> None:
        reason = safe_text(str(error) or type(error).__name__)
        text = f"'{self._name.name}' is damaged ({reason}): the rest is played"
        if not self.damage:
            _logger.warning('%s', text)
        self.damage.append(text)

    def _unreadable(self, error: Exception) -> PlaybackError:
        reason = str(error) or type(error).__name__
        return PlaybackError(
            f"the ROS 1 bag '{self._name}' cannot be read ({reason}): `rosbag reindex` repairs "
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
