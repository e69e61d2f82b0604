"""The tags of a TIFF structure, which EXIF data are too."""

from __future__ import annotations

import struct
from collections.abc import Collection

# No image has more tags, nor more numbers in those that are read (one for each strip or tile).
MAX_TAGS = 4096
MAX_VALUES = 1 << 20
# Types of whole numbers, with and without a sign, as letters of `struct`.
INTEGERS = {1: 'B', 3: 'H', 4: 'I', 6: 'b', 8: 'h', 9: 'i', 13: 'I', 16: 'Q', 17: 'q', 18: 'Q'}


def tiff_entries(encoded: bytes, tags: Collection[int]) -> dict[int, tuple[int, ...]]:
    """Return the whole numbers of these tags in the first directory; of a repeated tag all.

    Raises struct.error or OverflowError for data that are cut short, ValueError for an implausible
    number of values.
    """
    order = '<' if encoded[:2] == b'II' else '>'
    is_big = struct.unpack_from(f'{order}H', encoded, 2)[0] == 43
    counter, word, size = ('Q', 'Q', 20) if is_big else ('H', 'I', 12)
    (start,) = struct.unpack_from(order + word, encoded, 8 if is_big else 4)
    (count,) = struct.unpack_from(order + counter, encoded, start)
    start += struct.calcsize(order + counter)
    found: dict[int, list[int]] = {}
    room = MAX_VALUES
    for at in range(start, start + size * min(count, MAX_TAGS), size):
        tag, kind = struct.unpack_from(f'{order}HH', encoded, at)
        letter = INTEGERS.get(kind)
        if letter is None or tag not in tags:
            continue
        (entries,) = struct.unpack_from(order + word, encoded, at + 4)
        room -= entries
        if room < 0:
            raise ValueError(f'more than {MAX_VALUES} values in its tags')
        value_at = at + 4 + struct.calcsize(word)
        form = f'{order}{entries}{letter}'
        if struct.calcsize(form) > struct.calcsize(word):
            (value_at,) = struct.unpack_from(order + word, encoded, value_at)
        found.setdefault(tag, []).extend(struct.unpack_from(form, encoded, value_at))
    return {tag: tuple(values) for tag, values in found.items() if values}
