"""Which way up an AVIF image is, and its size: of its boxes, and of the AV1 data.

Decoders believe the latter.

By the ISO base media file format (ISO/IEC 14496-12), HEIF (23008-12) and the AV1 specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

# No still image has more boxes at one level, items, extents or units of AV1.
MAX_PARTS = 4096
LONGEST_ITEM = 1 << 29
SEQUENCE_HEADER = 1
CONTAINERS = (b'meta', b'iprp', b'ipco')
FULL_BOX = 4  # bytes of version and flags
# EXIF's orientation by quarter turns to the left (irot), and by the mirroring after it (imir):
# none, top and bottom exchanged, left and right exchanged. Decoders leave both to the reader.
ORIENTATIONS = ((1, 4, 2), (8, 5, 7), (3, 2, 4), (6, 7, 5))
DAMAGED = 'the AVIF is damaged: '


def avif_size(encoded: bytes) -> tuple[int, int]:
    """Return the largest width and height (together) that anything in the file declares.

    A decoder takes the memory that the AV1 data ask for and then scales to the size of the boxes.

    Raises ValueError if there is no size, or a structure that still images do not have.
    """
    if encoded[8:12] == b'avis':
        raise ValueError('an animated AVIF is not read: convert one of its images to PNG')
    sizes: list[tuple[int, int]] = []
    locations, stored = b'', b''
    for kind, body in _boxes(encoded):
        if kind == b'ispe':
            sizes.append(struct.unpack_from('>II', body, FULL_BOX))
        elif kind == b'iloc':
            locations = body
        elif kind == b'idat':
            stored = body
    if not sizes:
        raise ValueError(f'{DAMAGED}it names no size')
    for item in _items(locations, encoded, stored):
        sizes += _av1_sizes(item)
    return max(sizes, key=lambda size: size[0] * size[1])


def avif_orientation(encoded: bytes) -> int:
    """Return which way up an AVIF image is, as EXIF's orientation of 1 to 8."""
    turns = mirrored = 0
    for kind, body in _boxes(encoded):
        if kind == b'irot' and body:
            turns = body[0] & 3
        elif kind == b'imir' and body:
            mirrored = 1 + (body[0] & 1)
    return ORIENTATIONS[turns][mirrored]


def _boxes(data: bytes, depth: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the boxes that matter, those in containers too."""
    position = 0
    for _ in range(MAX_PARTS):
        if position + 8 > len(data):
            return
        length, kind = struct.unpack_from('>I4s', data, position)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from('>Q', data, position + 8)
            head = 16
        end = position + length if length else len(data)
        if end < position + head or (end > len(data) and kind != b'mdat'):
            raise ValueError(f'{DAMAGED}a box longer than what it is in')
        if kind in CONTAINERS and depth < len(CONTAINERS):
            inner = head + (FULL_BOX if kind == b'meta' else 0)
            yield from _boxes(data[position + inner : end], depth + 1)
        elif kind in (b'ispe', b'iloc', b'idat', b'irot', b'imir'):
            yield kind, data[position + head : end]
        position = end
    raise ValueError(f'{DAMAGED}far too many boxes')


def _items(locations: bytes, file: bytes, stored: bytes) -> Iterator[bytes]:
    """Yield the content of each item that the box ``iloc`` lists."""
    if not locations:
        return
    version = locations[0]
    bits = int.from_bytes(locations[4:6], 'big')
    offset_size, length_size, base_size = bits >> 12, bits >> 8 & 15, bits >> 4 & 15
    index_size = bits & 15 if version in (1, 2) else 0
    read = _Numbers(locations, 6)
    number_size = 4 if version == 2 else 2
    parts = 0
    for _ in range(read(number_size)):
        read(number_size)  # the item's number
        method = read(2) & 15 if version in (1, 2) else 0
        read(2)  # where the file is, other than here
        base = read(base_size)
        source = stored if method == 1 else file
        content = bytearray()
        for _ in range(read(2)):
            read(index_size)
            start, length = base + read(offset_size), read(length_size)
            content += source[start : start + length] if length else source[start:]
            parts += 1
            if parts > MAX_PARTS or len(content) > LONGEST_ITEM:
                raise ValueError(f'{DAMAGED}far too many parts')
        yield bytes(content)


class _Numbers:
    """Reads whole numbers of so many bytes, one after another."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data, self._position = data, position

    def __call__(self, size: int) -> int:
        found = self._data[self._position : self._position + size]
        if len(found) < size:
            raise ValueError(f'{DAMAGED}cut short')
        self._position += size
        return int.from_bytes(found, 'big')


def _av1_sizes(item: bytes) -> Iterator[tuple[int, int]]:
    """Yield the sizes in the sequence headers of an item; none for other kinds of items."""
    position = 0
    for _ in range(MAX_PARTS):
        if position >= len(item) or item[position] & 0x80:
            return
        kind, has_extension, has_size = item[position] >> 3 & 15, *_flags(item[position])
        position += 1 + has_extension
        length = len(item) - position
        if has_size:
            length, position = _leb128(item, position)
        if kind == SEQUENCE_HEADER:
            yield _sequence_size(item[position : position + min(length, 256)])
        position += length
    raise ValueError(f'{DAMAGED}far too many parts')


def _flags(head: int) -> tuple[int, int]:
    return head >> 2 & 1, head >> 1 & 1


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    """Return a number of variable length and where it ends."""
    value = 0
    for index, byte in enumerate(data[position : position + 8]):
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, position + index + 1
    return len(data), len(data)


def _sequence_size(header: bytes) -> tuple[int, int]:
    """Return the largest width and height of the frames that a sequence header allows."""
    bits = _Bits(header)
    bits(3 + 1)  # profile, still picture
    reduced = bits(1)
    if reduced:
        bits(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits(4) + 1, bits(4) + 1
    width, height = bits(width_bits) + 1, bits(height_bits) + 1
    if reduced:
        return width, height
    # Frames of other headers may state any size of so many bits.
    return (1 << width_bits) // 2, (1 << height_bits) // 2


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits(1):  # timing
        bits(64)
        if bits(1):
            bits.skip_uvlc()
        if bits(1):  # decoder model
            delay_bits = bits(5) + 1
            bits(32 + 5 + 5)
    has_delay = bits(1)
    for _ in range(bits(5) + 1):
        bits(12)
        if bits(5) > 7:
            bits(1)
        if delay_bits and bits(1):
            bits(2 * delay_bits + 1)
        if has_delay and bits(1):
            bits(4)


class _Bits:
    """Reads bits from the most significant one on; zeros beyond the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, 'big'), 8 * len(data)

    def __call__(self, count: int) -> int:
        self._left -= count
        shifted = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return shifted & ((1 << count) - 1)

    def skip_uvlc(self) -> None:
        """Skip a number of as many bits as there are zeros before it."""
        zeros = 0
        while zeros < 32 and not self(1):
            zeros += 1
        self(zeros)
