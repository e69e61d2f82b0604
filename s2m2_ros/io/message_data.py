"""Timestamps of messages, and arrays into their data at the speed of a memory copy."""

from __future__ import annotations

import math
import sys
from array import array
from typing import Any

import numpy as np

BIG_ENDIAN_HOST = sys.byteorder == 'big'


def stamp_ns(header: Any) -> int:
    """Return the timestamp of a header in nanoseconds."""
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def fill(data: array[int], values: np.ndarray) -> None:
    """Append the bytes of an array to a new message's ``data``, in one memory copy.

    Assigning would cost more: the setters of Humble to Jazzy check every element of anything but
    an ``array.array``, and Kilted's copies even that once more.
    """
    data.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)


def fill_image(message: Any, values: np.ndarray, encoding: str) -> None:
    """Write an (H, W) or (H, W, C) array of this host's byte order into a new Image."""
    message.height, message.width = values.shape[:2]
    message.encoding = encoding
    message.is_bigendian = BIG_ENDIAN_HOST
    message.step = math.prod(values.shape[1:]) * values.itemsize
    fill(message.data, values)
