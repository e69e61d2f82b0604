"""Messages of ROS 1 as CDR bytes of ROS 2."""

from __future__ import annotations

import functools

from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from s2m2_ros.io.stereo_frame import PlaybackError


@functools.cache
def _ros1_types() -> Typestore:
    return get_typestore(Stores.ROS1_NOETIC)


def ros1_to_cdr(data: bytes, type_name: str) -> bytes:
    """Return a ROS 1 message of a common type as CDR; raises PlaybackError if it is damaged."""
    try:
        return bytes(_ros1_types().ros1_to_cdr(data, type_name))
    except (SerdeError, KeyError, AssertionError, IndexError, ValueError, MemoryError) as error:
        raise PlaybackError(f'a ROS 1 message of type {type_name} is damaged: {error}') from error
