"""Messages without ROS: filled like those of rclpy, serialized by `rosbags`.

The classes of `rosbags` know no default values and hold arrays of NumPy, so builders could not
fill them as they fill those of rclpy.
"""

from __future__ import annotations

import functools
from array import array
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

# Types that `rosbags` does not know, with their fields: where only this package is installed, the
# .msg files are not at hand.
OTHER_TYPES = {
    's2m2_ros/msg/StereoEstimate': (
        'std_msgs/Header header\n'
        'stereo_msgs/DisparityImage disparity\n'
        'sensor_msgs/Image confidence\n'
        'sensor_msgs/Image visibility\n'
    ),
    'point_cloud_interfaces/msg/CompressedPointCloud2': (
        'std_msgs/Header header\n'
        'uint32 height\n'
        'uint32 width\n'
        'sensor_msgs/PointField[] fields\n'
        'bool is_bigendian\n'
        'uint32 point_step\n'
        'uint32 row_step\n'
        'uint8[] compressed_data\n'
        'bool is_dense\n'
        'string format\n'
    ),
}


@functools.cache
def message_types() -> Typestore:
    """Return ROS's common types and our own."""
    types = get_typestore(Stores.LATEST)
    for name, fields in OTHER_TYPES.items():
        types.register(get_types_from_msg(fields, name))
    return types


class PlainMessage:
    """A message of any common type, with default values at first."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def __init__(self, type_name: str) -> None:
        for name, (node, detail) in message_types().fielddefs[type_name][1]:
            setattr(self, name, _default(node, detail))

    @staticmethod
    def new_message(type_name: str) -> PlainMessage:
        """Return a message of another type, for `message_classes.new_message`."""
        return PlainMessage(type_name)


def plain_header(stamp_ns: int, frame_id: str) -> PlainMessage:
    """Return a std_msgs/Header; ``stamp_ns`` in nanoseconds."""
    header = PlainMessage('std_msgs/msg/Header')
    header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 10**9)
    header.frame_id = frame_id
    return header


def serialized(message: Any, type_name: str) -> bytes:
    """Return a message, plain or of `rosbags`, as CDR: the bytes that rclpy makes of it.

    Between the fields there are zeros, where rclpy leaves what lay in memory before.
    """
    return bytes(message_types().serialize_cdr(_with_arrays(message, type_name), type_name))


def definition(type_name: str) -> str:
    """Return the .msg text of a type, and after it those of all types in it."""
    return str(message_types().generate_msgdef(type_name, ros_version=2)[0])


def _default(node: Nodetype, detail: Any) -> Any:
    if node is Nodetype.NAME:
        return PlainMessage(detail)
    if node is Nodetype.BASE:
        return '' if detail[0] == 'string' else 0
    (kind, item), length = detail
    if kind is Nodetype.NAME:
        return [PlainMessage(item) for _ in range(length)]
    if item[0] == 'uint8':
        # What `message_data.fill` fills.
        return array('B', bytes(length))
    return [_default(kind, item)] * length


def _with_arrays(message: Any, type_name: str) -> Any:
    """Return a message with its sequences of numbers as arrays of NumPy."""
    values = SimpleNamespace()
    for name, (node, detail) in message_types().fielddefs[type_name][1]:
        value = getattr(message, name)
        setattr(values, name, _as_stored(value, node, detail))
    return values


def _as_stored(value: Any, node: Nodetype, detail: Any) -> Any:
    if node is Nodetype.NAME:
        return _with_arrays(value, detail)
    if node is Nodetype.BASE:
        return value
    kind, item = detail[0]
    if kind is Nodetype.NAME:
        return [_with_arrays(part, item) for part in value]
    if item[0] in ('string', 'wstring'):
        return list(value)
    if isinstance(value, array):
        return np.frombuffer(value, np.dtype(value.typecode))
    return np.asarray(value, np.dtype(item[0] if item[0] != 'bool' else 'bool'))
