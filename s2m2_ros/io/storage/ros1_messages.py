"""Messages of ROS 1 as CDR bytes of ROS 2."""

from __future__ import annotations

import functools

from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from s2m2_ros.io.stereo_frame import PlaybackError


@functools.cache
def _types() -> Typestore:
    return get_typestore(Stores.LATEST)


def ros1_to_cdr(data: bytes, type_name: str) -> bytes:
    """Return a ROS 1 message of a common type as CDR; raises PlaybackError if it is damaged.

    The types are those of ROS 2: `rosbags` itself leaves out the number in the header of ROS 1.
    """
    try:
        return bytes(_types().ros1_to_cdr(data, type_name))
    except (SerdeError, KeyError, AssertionError, IndexError, ValueError, MemoryError) as error:
        raise PlaybackError(f'a ROS 1 message of type {type_name} is damaged: {error}') from error
