"""Messages of rclpy as recordings hold them, and back."""

from __future__ import annotations

import functools
import re
from typing import Any

from rclpy.serialization import deserialize_message, serialize_message

from s2m2_ros.io.recordings.recording_writer import SerializedMessage
from s2m2_ros.messages.message_classes import message_class

# What rclpy calls the primitive types of a field differently from a .msg file.
PRIMITIVES = {'boolean': 'bool', 'octet': 'byte', 'float': 'float32', 'double': 'float64'}
SEPARATOR = '=' * 80


def serialized(message: Any) -> SerializedMessage:
    """Return a message of rclpy as a recording holds it."""
    name = ros_name(type(message))
    return SerializedMessage(name, _full_definition(name), serialize_message(message))


def from_rosbags(message: Any) -> Any:
    """Return the message of rclpy that equals one of `rosbags`."""
    name = message.__msgtype__
    return deserialize_message(bytes(_types().serialize_cdr(message, name)), message_class(name))


@functools.cache
def _types() -> Any:
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.LATEST)


@functools.cache
def _full_definition(name: str) -> str:
    return full_definition(message_class(name))


def ros_name(kind: type) -> str:
    """Return the full name of a message class, e.g. 'sensor_msgs/msg/Image'."""
    package, interface = kind.__module__.split('.')[:2]
    return f'{package}/{interface}/{kind.__name__}'


def full_definition(kind: Any) -> str:
    """Return the .msg text of a message class, and after it those of all types in it."""
    parts = {ros_name(kind): definition(kind)}
    waiting = [kind]
    while waiting:
        for name in _parts(waiting.pop()):
            part = message_class(name)
            if ros_name(part) not in parts:
                parts[ros_name(part)] = definition(part)
                waiting.append(part)
    first, *others = parts.items()
    appended = (f'{SEPARATOR}\nMSG: {name.replace("/msg/", "/")}\n{text}' for name, text in others)
    return ''.join((first[1], *appended))


def definition(kind: Any) -> str:
    """Return the .msg text of a message class: its fields, without comments and constants."""
    fields = kind.get_fields_and_field_types()
    return ''.join(f'{_field_type(text)} {name}\n' for name, text in fields.items())


def _parts(kind: Any) -> set[str]:
    """Return the names of the message types among a class's fields."""
    texts = kind.get_fields_and_field_types().values()
    return {name for text in texts for name in re.findall(r'[a-z]\w*/\w+', text)}


def _field_type(kind: str) -> str:
    if match := re.fullmatch(r'sequence<(.+?)(?:, (\d+))?>', kind):
        bound = f'<={match[2]}' if match[2] else ''
        return f'{_field_type(match[1])}[{bound}]'
    if match := re.fullmatch(r'(.+)\[(\d+)\]', kind):
        return f'{_field_type(match[1])}[{match[2]}]'
    if match := re.fullmatch(r'(w?string)<(\d+)>', kind):
        return f'{match[1]}<={match[2]}'
    return PRIMITIVES.get(kind, kind)
