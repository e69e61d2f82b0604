"""Writing messages into an MCAP recording (rosbag2), through `rosbags`: no ROS needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

# Read by Iron and everything newer; version 9 would need Jazzy.
METADATA_VERSION = 8


@dataclass(frozen=True)
class SerializedMessage:
    """A message as CDR bytes.

    ``type_name`` is e.g. 'sensor_msgs/msg/Image'. ``definition`` is its .msg text, with those of
    the types in it appended as recordings have them (a line of 80 `=`, then `MSG: package/Name`);
    it may be empty for ROS's common types.
    """

    type_name: str
    definition: str
    data: bytes


class RecordingWriter:
    """Writes any ROS message to a new recording; a context manager."""

    def __init__(self, folder: Path) -> None:
        """Create the recording's folder, which must not exist yet, when entered."""
        self._writer = Writer(folder, version=METADATA_VERSION, storage_plugin=StoragePlugin.MCAP)
        self._types = get_typestore(Stores.ROS2_KILTED)
        self._connections: dict[str, Any] = {}
        self.counts: dict[str, int] = {}

    def __enter__(self) -> RecordingWriter:
        self._writer.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.close()

    def write(self, topic: str, message: Any, time_ns: int) -> None:
        """Add one message, received at ``time_ns`` (nanoseconds since the epoch).

        ``message`` is a :class:`SerializedMessage`, or one of a common type as `rosbags` makes it.
        """
        if not isinstance(message, SerializedMessage):
            name = message.__msgtype__
            message = SerializedMessage(name, '', bytes(self._types.serialize_cdr(message, name)))
        if topic not in self._connections:
            self._register(message)
            self._connections[topic] = self._writer.add_connection(
                topic, message.type_name, typestore=self._types
            )
        self._writer.write(self._connections[topic], time_ns, message.data)
        self.counts[topic] = self.counts.get(topic, 0) + 1

    def _register(self, message: SerializedMessage) -> None:
        """Register a message type, and those in it, that are not ROS's common ones."""
        if message.type_name not in self._types.types:
            found = get_types_from_msg(message.definition, message.type_name)
            known = self._types.types
            self._types.register({n: kind for n, kind in found.items() if n not in known})
