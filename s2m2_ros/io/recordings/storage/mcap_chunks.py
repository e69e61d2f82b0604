"""The records within chunks of MCAP files, and what `mcap` raises for damage."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

from mcap.exceptions import McapError
from mcap.records import Chunk, McapRecord
from mcap.stream_reader import breakup_chunk

from s2m2_ros.io.recordings.storage.compression import LARGEST_BLOCK, decompressed
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.text_safety import safe_text

RECORD_HEAD = struct.Struct('<BQ')
# No chunk holds more records, and no file more in a row that are neither messages nor chunks.
MOST_RECORDS = 200_000
# What `mcap` raises for records whose content is not as declared.
DAMAGE = (McapError, struct.error, ValueError, KeyError, OverflowError, MemoryError, StopIteration)


def damage_text(error: Exception) -> str:
    """Return what is wrong with a record, of one of `DAMAGE` or of what is raised here."""
    if isinstance(error, PlaybackError):
        return safe_text(error)
    return 'its content does not fit what it declares'


def unpacked(chunk: Chunk) -> list[McapRecord]:
    """Return the records of a chunk; raises for damage and for implausible sizes."""
    size = chunk.uncompressed_size
    if size > LARGEST_BLOCK:
        raise PlaybackError(f'a chunk declares {size} bytes')
    if chunk.compression not in ('', 'zstd', 'lz4'):
        name = safe_text(chunk.compression)
        raise PlaybackError(f"its compression '{name}' is unknown")
    data = decompressed(chunk.data, size) if chunk.compression else chunk.data
    if len(data) != size or (
        chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc
    ):
        raise PlaybackError('the size or checksum of a chunk is wrong')
    _check_count(data)
    records: list[McapRecord] = breakup_chunk(replace(chunk, compression='', data=data))
    return records


def _check_count(data: bytes) -> None:
    """Raise PlaybackError if a chunk consists of very many records, which take very long."""
    position = 0
    for _ in range(MOST_RECORDS):
        if position >= len(data):
            return
        position += RECORD_HEAD.size + RECORD_HEAD.unpack_from(data, position)[1]
    raise PlaybackError('a chunk holds far too many records')
