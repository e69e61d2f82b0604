"""Writing messages into an MCAP recording (rosbag2), through `rosbags`: no ROS storage needed."""

from __future__ import annotations

import re
from pathlib import Path
from types import TracebackType
from typing import Any

from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

# Read by Iron and everything newer; version 9 would need Jazzy.
METADATA_VERSION = 8
# What rclpy calls the primitive types of a field differently from a .msg file.
PRIMITIVES = {'boolean': 'bool', 'octet': 'byte', 'float': 'float32', 'double': 'float64'}


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
        """Add one message, received at ``time_ns`` (nanoseconds since the epoch)."""
        if topic not in self._connections:
            name = ros_name(type(message))
            register(self._types, type(message))
            self._connections[topic] = self._writer.add_connection(
                topic, name, typestore=self._types
            )
        self._writer.write(self._connections[topic], time_ns, serialize_message(message))
        self.counts[topic] = self.counts.get(topic, 0) + 1


def ros_name(message_class: type) -> str:
    """Return the full name of a message class, e.g. 'sensor_msgs/msg/Image'."""
    package, kind = message_class.__module__.split('.')[:2]
    return f'{package}/{kind}/{message_class.__name__}'


def register(types: Typestore, message_class: type) -> None:
    """Teach a typestore a message that is not one of ROS's common ones (its parts must be)."""
    name = ros_name(message_class)
    if name not in types.types:
        types.register(get_types_from_msg(definition(message_class), name))


def definition(message_class: Any) -> str:
    """Return the .msg text of a message class: its fields, without comments and constants."""
    fields = message_class.get_fields_and_field_types()
    return ''.join(f'{_field_type(kind)} {name}\n' for name, kind in fields.items())


def _field_type(kind: str) -> str:
    if match := re.fullmatch(r'sequence<(.+?)(?:, (\d+))?>', kind):
        bound = f'<={match[2]}' if match[2] else ''
        return f'{_field_type(match[1])}[{bound}]'
    if match := re.fullmatch(r'(.+)\[(\d+)\]', kind):
        return f'{_field_type(match[1])}[{match[2]}]'
    if match := re.fullmatch(r'(w?string)<(\d+)>', kind):
        return f'{match[1]}<={match[2]}'
    return PRIMITIVES.get(kind, kind)
