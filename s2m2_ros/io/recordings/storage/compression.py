"""The compressions of messages and chunks, undone within bounds."""

from __future__ import annotations

import bz2
from collections.abc import Iterable, Iterator

import lz4.frame
import zstandard

from s2m2_ros.io.sources.stereo_frame import PlaybackError

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
LZ4_MAGIC = b'\x04\x22\x4d\x18'
BZ2_MAGIC = b'BZh'
# Far above a chunk or message of any camera: what declares more is damaged or malicious.
LARGEST_BLOCK = 256 << 20
# Whole files: black images become a thousandth, but no camera is in the dark for hours.
LARGEST_RATIO = 200
ALWAYS_PLAUSIBLE = 512 << 20
# What is decompressed at once.
PART = 1 << 20


def decompressed(data: bytes, limit: int = LARGEST_BLOCK) -> bytes:
    """Return data without its zstd, lz4 or bz2 compression, if any, of ``limit`` bytes at most.

    Raises PlaybackError for damaged data, and for what would be larger.
    """
    try:
        if data.startswith(ZSTD_MAGIC):
            return _gathered(_zstd_parts(data), limit)
        if data.startswith(LZ4_MAGIC):
            return _gathered(_lz4_parts(data), limit)
        if data.startswith(BZ2_MAGIC):
            return _gathered(_bz2_parts(data), limit)
    except (zstandard.ZstdError, RuntimeError, EOFError, OSError, MemoryError) as error:
        raise PlaybackError('its compressed data are damaged') from error
    return data


def is_plausible(size: int, packed_size: int) -> bool:
    """Return whether a whole file can have ``size`` bytes if it has ``packed_size`` compressed."""
    return size <= max(ALWAYS_PLAUSIBLE, LARGEST_RATIO * packed_size)


def _gathered(parts: Iterable[bytes], limit: int) -> bytes:
    """Return the joined parts; memory grows with what is there, not with what is declared."""
    whole = bytearray()
    for part in parts:
        whole += part
        if len(whole) > limit:
            raise PlaybackError(f'compressed data that holds more than the {limit} bytes declared')
    return bytes(whole)


def _zstd_parts(data: bytes) -> Iterator[bytes]:
    with zstandard.ZstdDecompressor().stream_reader(data) as reader:
        while part := reader.read(PART):
            yield part


def _lz4_parts(data: bytes) -> Iterator[bytes]:
    decompressor = lz4.frame.LZ4FrameDecompressor()
    yield decompressor.decompress(data, max_length=PART)
    while not (decompressor.eof or decompressor.needs_input):
        yield decompressor.decompress(b'', max_length=PART)


def _bz2_parts(data: bytes) -> Iterator[bytes]:
    decompressor = bz2.BZ2Decompressor()
    yield decompressor.decompress(data, max_length=PART)
    while not (decompressor.eof or decompressor.needs_input):
        yield decompressor.decompress(b'', max_length=PART)
