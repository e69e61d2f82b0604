"""New messages of the library that a header is of: of rclpy in the node, our own without ROS."""

from __future__ import annotations

import functools
import importlib
from typing import Any


def new_message(type_name: str, like: Any, /, **fields: Any) -> Any:
    """Return a new message of a type, e.g. 'sensor_msgs/msg/Image', with these fields set.

    It is of the library that the header ``like`` is of.
    """
    make = getattr(like, 'new_message', None)
    message = make(type_name) if make else message_class(type_name)()
    for field, value in fields.items():
        setattr(message, field, value)
    return message


@functools.cache
def message_class(name: str) -> Any:
    """Return rclpy's class of a message type: 'sensor_msgs/msg/Image' or 'std_msgs/Header'."""
    package, _, kind = name.rpartition('/')
    module = importlib.import_module(f'{package.removesuffix("/msg")}.msg')
    return getattr(module, kind)
