"""Clouds as the zlib and zstd plugins of point_cloud_transport send and read them."""

from __future__ import annotations

import importlib
import zlib
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import PointCloud2

from s2m2_ros.io.message_data import fill
from s2m2_ros.optional_packages import missing_packages

PACKAGE = 'point_cloud_interfaces'
TYPE_NAME = f'{PACKAGE}/CompressedPointCloud2'
# Coordinates are floats full of noise: higher levels take many times as long and save 2 % more.
FASTEST_LEVEL = 1


def _zlib(data: array[int]) -> bytes:
    return zlib.compress(data, FASTEST_LEVEL)


def _zstd(data: array[int]) -> bytes:
    import zstandard

    # One frame that says how long its content is, which the subscriber's plugin asks for.
    return zstandard.ZstdCompressor(level=FASTEST_LEVEL).compress(memoryview(data))


@dataclass(frozen=True)
class Compression:
    """One way to compress: the function, and the Python packages that it needs."""

    compress: Callable[[array[int]], bytes]
    needs: tuple[str, ...] = ()


# By the names of the plugins, which are the formats of the messages too.
COMPRESSIONS: Mapping[str, Compression] = {
    'zlib': Compression(_zlib),
    'zstd': Compression(_zstd, ('zstandard',)),
}


def message_class(name: str) -> type[Any] | None:
    """Return the class of compressed clouds; None if what this compression needs is missing."""
    if missing_packages(*COMPRESSIONS[name].needs):
        return None
    try:
        messages = importlib.import_module(f'{PACKAGE}.msg')
    except ImportError:
        return None
    found: type[Any] = messages.CompressedPointCloud2
    return found


def compressed_cloud_message(cloud: PointCloud2, name: str) -> Any:
    """Return a cloud as the message of this compression; ValueError if it is unavailable."""
    made = message_class(name)
    if made is None:
        needed = ' and '.join((PACKAGE, *COMPRESSIONS[name].needs))
        raise ValueError(f'clouds compressed by {name} need {needed}')
    message = made(
        header=cloud.header,
        height=cloud.height,
        width=cloud.width,
        fields=cloud.fields,
        is_bigendian=cloud.is_bigendian,
        point_step=cloud.point_step,
        row_step=cloud.row_step,
        is_dense=cloud.is_dense,
        format=name,
    )
    compressed = COMPRESSIONS[name].compress(cloud.data)
    fill(message.compressed_data, np.frombuffer(compressed, np.uint8))
    return message
