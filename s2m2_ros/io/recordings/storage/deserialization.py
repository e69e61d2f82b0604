"""Stored messages as objects, through `rosbags`."""

from __future__ import annotations

import functools
from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from s2m2_ros.io.recordings.storage.compression import decompressed
from s2m2_ros.io.recordings.storage.stored_messages import StoredMessage
from s2m2_ros.io.sources.stereo_frame import PlaybackError, seconds_text
from s2m2_ros.text_safety import safe_text

# Packets of video, which `rosbags` does not know.
OTHER_TYPES = {
    'ffmpeg_image_transport_msgs/msg/FFMPEGPacket': (
        'std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\n'
        'uint8 flags\nbool is_bigendian\nuint8[] data\n'
    ),
    'foxglove_msgs/msg/CompressedVideo': (
        'builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n'
    ),
}


@functools.cache
def _types() -> Typestore:
    types = get_typestore(Stores.LATEST)
    for name, fields in OTHER_TYPES.items():
        types.register(get_types_from_msg(fields, name))
    return types


def deserialized(message: StoredMessage) -> Any:
    """Return a message of a common type as `rosbags` deserializes it; raises PlaybackError.

    The definitions are those of ROS 2 and not the recorded ones, which would be run as code. From
    a message of ROS 1, `rosbags` leaves out the number that only headers of ROS 1 have.
    """
    topic = message.topic
    try:
        if topic.encoding == 'ros1':
            data: bytes | memoryview = _types().ros1_to_cdr(message.data, topic.type_name)
        else:
            data = decompressed(message.data)
        return _types().deserialize_cdr(data, topic.type_name)
    except Exception as error:  # rosbags raises what struct and NumPy do for damaged data
        when = seconds_text(message.log_ns)
        reason = f'its {len(message.data)} bytes are no whole {safe_text(topic.type_name)}'
        if isinstance(error, PlaybackError):
            reason = str(error)
        raise PlaybackError(
            f'a message on {topic.topic} at {when} s is damaged ({reason})'
        ) from error
