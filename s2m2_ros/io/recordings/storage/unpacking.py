"""Compressed files of recordings, unpacked as far as they are whole."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import lz4.frame
import zstandard

from s2m2_ros.io.recordings.storage.compression import (
    BZ2_MAGIC,
    LZ4_MAGIC,
    ZSTD_MAGIC,
    is_plausible,
)
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.text_safety import safe_text

DECOMPRESSORS: dict[bytes, Callable[[BinaryIO], Any]] = {
    ZSTD_MAGIC: lambda file: zstandard.ZstdDecompressor().stream_reader(
        file, read_across_frames=True
    ),
    LZ4_MAGIC: lz4.frame.open,
    b'\x1f\x8b': gzip.open,
    BZ2_MAGIC: bz2.open,
    b'\xfd7zXZ': lzma.open,
}
# What the decompressors raise.
DAMAGE = (
    zstandard.ZstdError, lzma.LZMAError, zlib.error, RuntimeError, EOFError, OSError, ValueError,
    MemoryError,
)  # fmt: skip
FULL = (errno.ENOSPC, errno.EDQUOT)
# What must stay free where a compressed recording is unpacked.
DISK_RESERVE = 256 << 20
CHECKED_EVERY = 4 << 20
# What is unpacked at once: damage costs what comes before it in the same piece.
PIECE = 128 << 10
# Frames of zstd that hold no data.
SKIPPED_FIRST, SKIPPED_LAST = 0x184D2A50, 0x184D2A5F
ZSTD_HEAD = 18


@dataclass(frozen=True)
class Unpacked:
    """An unpacked file; ``lost`` says why it is not all of it, empty if it is."""

    path: Path
    lost: str = ''


def unpack(source: Path, target: Path, is_beginning: Callable[[bytes], bool]) -> Unpacked:
    """Unpack a compressed file as far as that is possible.

    ``is_beginning`` says whether something begins as it should. Raises PlaybackError if it does
    not, or nothing can be unpacked, and for sizes that are implausible or too large for the disk.
    """
    lost, size = '', source.stat().st_size
    with source.open('rb') as packed, target.open('wb') as out:
        start = packed.read(ZSTD_HEAD)
        packed.seek(0)
        magic = next(magic for magic in DECOMPRESSORS if start.startswith(magic))
        checked = 0
        try:
            with DECOMPRESSORS[magic](packed) as plain:
                while part := plain.read1(PIECE):
                    if not out.tell() and not is_beginning(part):
                        raise NotBegunError(part)
                    out.write(part)
                    _check_size(source, out.tell(), size)
                    if out.tell() >= checked:
                        _check_room(source, target.parent)
                        checked = out.tell() + CHECKED_EVERY
        except DAMAGE as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise _no_room(source, target.parent) from error
            lost = _lost(error)
        written = out.tell()
    if not lost and magic == ZSTD_MAGIC and not _is_whole_zstd(source):
        # Its decompressor takes a file that is cut short for one that ends there.
        lost = 'it ends in the middle of its compressed data'
    if lost and not written:
        raise PlaybackError(f"'{source}' cannot be unpacked, it is damaged or cut short ({lost})")
    return Unpacked(target, lost)


class NotBegunError(Exception):
    """What was unpacked does not begin as a recording does; holds its first bytes."""

    def __init__(self, start: bytes) -> None:
        """Take the first bytes."""
        super().__init__(start)
        self.start = start


def _check_size(source: Path, written: int, packed_size: int) -> None:
    if not is_plausible(written, packed_size):
        raise PlaybackError(
            f"'{source}' is implausible: unpacked it has more than {written} bytes, of "
            f'{packed_size}'
        )


def _check_room(source: Path, folder: Path) -> None:
    if shutil.disk_usage(folder).free < DISK_RESERVE:
        raise _no_room(source, folder)


def _no_room(source: Path, folder: Path) -> PlaybackError:
    return PlaybackError(
        f"no room to unpack '{source}' in '{folder}': unpack it yourself, or set TMPDIR to a "
        'larger disk'
    )


def _lost(error: Exception) -> str:
    """Return why no more could be unpacked."""
    if isinstance(error, EOFError):
        return 'it ends in the middle of its compressed data'
    if isinstance(error, OSError) and error.errno:
        return safe_text(error.strerror)
    return 'its compressed data are damaged'


def _is_whole_zstd(path: Path) -> bool:
    """Return whether the last frame of a file ends where the file does."""
    size, place = path.stat().st_size, 0
    with path.open('rb') as file:
        while place < size:
            file.seek(place)
            end = _zstd_frame_end(file, place)
            if end is None or end > size:
                return False
            place = end
    return True


def _zstd_frame_end(file: BinaryIO, place: int) -> int | None:
    """Return where the frame at a place ends, by the sizes of its blocks; None if it is cut."""
    head = file.read(ZSTD_HEAD)
    if len(head) < 8:
        return None
    magic, length = struct.unpack_from('<II', head)
    if SKIPPED_FIRST <= magic <= SKIPPED_LAST:
        return place + 8 + int(length)
    try:
        has_checksum = zstandard.get_frame_parameters(head).has_checksum
        place += int(zstandard.frame_header_size(head))
    except zstandard.ZstdError:
        return None
    while True:
        file.seek(place)
        block = file.read(3)
        if len(block) < 3:
            return None
        value = int.from_bytes(block, 'little')
        # A block of one repeated byte has that byte only.
        is_repeated = (value >> 1) & 3 == 1
        place += 3 + (1 if is_repeated else value >> 3)
        if value & 1:
            return place + (4 if has_checksum else 0)
