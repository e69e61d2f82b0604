"""The summary at the end of an MCAP file, if it is whole."""

from __future__ import annotations

import io
import struct
import zlib
from typing import BinaryIO

from mcap.reader import make_reader
from mcap.summary import Summary

from s2m2_ros.io.recordings.storage.mcap_chunks import DAMAGE

MAGIC = b'\x89MCAP0\r\n'
# The last record with the magic after it: where the summary begins, and its checksum.
FOOTER = struct.Struct('<BQQQI8s')
COPY_BYTES = 4 << 20


def whole_summary(file: BinaryIO, size: int) -> Summary | None:
    """Return the summary of a file of ``size`` bytes; None if there is none, or it is damaged."""
    try:
        file.seek(-FOOTER.size, io.SEEK_END)
        *_, start, _, expected, magic = FOOTER.unpack(file.read(FOOTER.size))
        if magic != MAGIC or not start:
            return None
        # Of everything from the summary on to the checksum itself.
        if expected and _checksum(file, start, size - len(MAGIC) - 4) != expected:
            return None
        file.seek(0)
        return make_reader(file).get_summary()
    except (*DAMAGE, OSError):
        return None


def _checksum(file: BinaryIO, begin: int, end: int) -> int:
    file.seek(begin)
    left, checksum = max(end - begin, 0), 0
    while left and (content := file.read(min(left, COPY_BYTES))):
        checksum = zlib.crc32(content, checksum)
        left -= len(content)
    return checksum
