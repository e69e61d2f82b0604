"""Format, size and completeness of encoded images, read from their bytes before decoding.

A few bytes can declare an image of many gigabytes, and decoders fill up images that are cut
short. All functions raise ValueError in words for the user, with the name of the format.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from s2m2_ros.io.images.image_formats import PNG_START, image_format

# No camera of a stereo pair comes near this: 67 million pixels.
MAX_PIXELS = 1 << 26

# No image has more tags.
MAX_TAGS = 4096
# Start-of-frame markers, which hold the size; C4, C8 and CC are tables and extensions.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
JPEG_SCAN, JPEG_END, JPEG_APP1 = 0xDA, 0xD9, 0xE1
# Within a scan: anything but stuffed bytes, fill bytes and restarts.
_JPEG_MARKER = re.compile(rb'\xff+([^\x00\xff\xd0-\xd7])')


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an encoded image says."""

    format: str
    width: int
    height: int
    exif: bytes = b''
    """The TIFF structure of its EXIF data, empty if there is none."""

    def require_complete(self, encoded: bytes) -> None:
        """Raise ValueError for an image that is cut short, which decoders would fill up."""
        check = _COMPLETE.get(self.format)
        if check is not None:
            check(encoded)


def read_header(encoded: bytes) -> ImageHeader:
    """Return what the header of an image says.

    Raises ValueError for data of no known format, and for headers that are damaged.
    """
    name = image_format(encoded)
    reader = _READERS.get(name)
    if reader is None:
        what = f'a {name} is not read: convert it to PNG' if name else 'not an image, or damaged'
        raise ValueError(what)
    try:
        return reader(encoded)
    except (struct.error, IndexError, OverflowError) as error:
        raise ValueError(f'the {name} is cut short in its header') from error


def _jpeg(encoded: bytes) -> ImageHeader:
    """Read as libjpeg does: between segments any bytes, then fill bytes, then the marker."""
    position, exif = 2, b''
    while True:
        position = encoded.find(b'\xff', position)
        if position < 0:
            raise ValueError('the JPEG is cut short in its header')
        while encoded[position] == 0xFF:
            position += 1
        marker = encoded[position]
        position += 1
        if marker == 0 or marker in JPEG_ALONE:
            continue
        if marker in (JPEG_SCAN, JPEG_END):
            raise ValueError('the JPEG is damaged: no size before its first scan')
        (length,) = struct.unpack_from('>H', encoded, position)
        if length < 2:
            raise ValueError('the JPEG is damaged: a segment without a length')
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from('>HH', encoded, position + 3)
            return ImageHeader('JPEG', width, height, exif)
        body = encoded[position + 2 : position + length]
        if marker == JPEG_APP1 and body.startswith(b'Exif\x00') and not exif:
            exif = body[6:]
        position += length


def _complete_jpeg(encoded: bytes) -> None:
    """Walk over all segments and scans to the end marker; thumbnails have one of their own."""
    position, scans = 2, 0
    while True:
        found = _JPEG_MARKER.search(encoded, position)
        if found is None:
            raise ValueError('the JPEG is cut short')
        marker, position = found[1][0], found.end()
        if marker == JPEG_END:
            if not scans:
                raise ValueError('the JPEG is damaged: it holds no image')
            return
        if marker in JPEG_ALONE:
            continue
        scans += marker == JPEG_SCAN
        length = int.from_bytes(encoded[position : position + 2], 'big')
        position += max(length, 2)


def _png(encoded: bytes) -> ImageHeader:
    if encoded[12:16] != b'IHDR':
        raise ValueError('the PNG is damaged: it does not begin with its header')
    width, height = struct.unpack_from('>II', encoded, 16)
    exif = next(
        (encoded[at : at + n] for kind, at, n in _png_parts(encoded) if kind == b'eXIf'), b''
    )
    return ImageHeader('PNG', width, height, exif)


def _png_parts(encoded: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, position and length of the parts that are whole, up to the end marker."""
    position, kind = len(PNG_START), b''
    while position + 12 <= len(encoded) and kind != b'IEND':
        length, kind = struct.unpack_from('>I4s', encoded, position)
        if position + 12 + length > len(encoded):
            return
        yield kind, position + 8, length
        position += 12 + length


def _complete_png(encoded: bytes) -> None:
    kind = b''
    for kind, at, length in _png_parts(encoded):
        (check,) = struct.unpack_from('>I', encoded, at + length)
        if zlib.crc32(memoryview(encoded)[at - 4 : at + length]) != check:
            raise ValueError(f'the PNG is damaged: wrong checksum of its part {ascii(kind)[2:-1]}')
    if kind != b'IEND':
        raise ValueError('the PNG is cut short')


def _tiff(encoded: bytes) -> ImageHeader:
    entries = {tag: max(values) for tag, values in tiff_entries(encoded).items()}
    width, height = entries.get(256, 0), entries.get(257, 0)
    # A tile may be larger than the image, and is decoded whole.
    tile = entries.get(322, 0) * entries.get(323, 0)
    if entries.get(277, 1) > 4:
        raise ValueError(f'the TIFF has {entries[277]} channels: an image has 1, 3 or 4')
    if tile > MAX_PIXELS:
        raise ValueError('the TIFF declares tiles of an implausible size')
    return ImageHeader('TIFF', width, height)


def _complete_tiff(encoded: bytes) -> None:
    entries = tiff_entries(encoded)
    for offsets, lengths in ((273, 279), (324, 325)):
        parts = zip(entries.get(offsets, ()), entries.get(lengths, ()), strict=False)
        if any(start + length > len(encoded) for start, length in parts):
            raise ValueError('the TIFF is cut short')


def tiff_entries(encoded: bytes) -> dict[int, tuple[int, ...]]:
    """Return the values of each integer tag in the first directory of a TIFF structure."""
    order = '<' if encoded[:2] == b'II' else '>'
    is_big = struct.unpack_from(f'{order}H', encoded, 2)[0] == 43
    counter, word, size = ('Q', 'Q', 20) if is_big else ('H', 'I', 12)
    (start,) = struct.unpack_from(order + word, encoded, 8 if is_big else 4)
    (count,) = struct.unpack_from(order + counter, encoded, start)
    start += struct.calcsize(order + counter)
    found: dict[int, tuple[int, ...]] = {}
    for at in range(start, start + size * min(count, MAX_TAGS), size):
        tag, kind = struct.unpack_from(f'{order}HH', encoded, at)
        letter = {1: 'B', 3: 'H', 4: 'I', 16: 'Q'}.get(kind)
        if letter is None:
            continue
        (entries,) = struct.unpack_from(order + word, encoded, at + 4)
        value_at = at + 4 + struct.calcsize(word)
        form = f'{order}{min(entries, len(encoded))}{letter}'
        if struct.calcsize(form) > struct.calcsize(word):
            (value_at,) = struct.unpack_from(order + word, encoded, value_at)
        found[tag] = found.get(tag, ()) + struct.unpack_from(form, encoded, value_at)
    return {tag: values for tag, values in found.items() if values}


def _bmp(encoded: bytes) -> ImageHeader:
    (size,) = struct.unpack_from('<I', encoded, 14)
    width, height = struct.unpack_from('<HH' if size == 12 else '<ii', encoded, 18)
    return ImageHeader('BMP', width, abs(height))


def _webp(encoded: bytes) -> ImageHeader:
    kind = encoded[12:16]
    if kind == b'VP8 ':
        width, height = struct.unpack_from('<HH', encoded, 26)
        return ImageHeader('WebP', width & 0x3FFF, height & 0x3FFF)
    if kind == b'VP8L':
        (bits,) = struct.unpack_from('<I', encoded, 21)
        return ImageHeader('WebP', (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    width, height = (int.from_bytes(encoded[at : at + 3], 'little') + 1 for at in (24, 27))
    return ImageHeader('WebP', width, height, _webp_exif(encoded))


def _webp_exif(encoded: bytes) -> bytes:
    position = 12
    while position + 8 <= len(encoded):
        kind, length = struct.unpack_from('<4sI', encoded, position)
        if kind == b'EXIF':
            return encoded[position + 8 : position + 8 + length].removeprefix(b'Exif\x00\x00')
        position += 8 + length + length % 2
    return b''


def _complete_webp(encoded: bytes) -> None:
    (length,) = struct.unpack_from('<I', encoded, 4)
    if len(encoded) < length + 8:
        raise ValueError('the WebP is cut short')


def _complete_bmp(encoded: bytes) -> None:
    (size,) = struct.unpack_from('<I', encoded, 14)
    if size == 12:
        return
    width, height, _, bits, compression = struct.unpack_from('<iiHHI', encoded, 18)
    (offset,) = struct.unpack_from('<I', encoded, 10)
    needed = offset + (width * bits + 31) // 32 * 4 * abs(height)
    if compression in (0, 3) and len(encoded) < needed:
        raise ValueError('the BMP is cut short')


def _jpeg_2000(encoded: bytes) -> ImageHeader:
    start = 0 if encoded.startswith(b'\xff\x4f') else _codestream(encoded)
    right, bottom, left, top = struct.unpack_from('>IIII', encoded, start + 8)
    return ImageHeader('JPEG 2000', right - left, bottom - top)


def _codestream(encoded: bytes) -> int:
    """Return where the image begins among the boxes of a JPEG 2000 file."""
    position = 0
    while position + 8 <= len(encoded):
        length, kind = struct.unpack_from('>I4s', encoded, position)
        header = 8
        if length == 1:
            (length,) = struct.unpack_from('>Q', encoded, position + 8)
            header = 16
        if kind == b'jp2c':
            return position + header
        if length < header:
            break
        position += length
    raise ValueError('the JPEG 2000 is damaged: it holds no image')


def _complete_jpeg_2000(encoded: bytes) -> None:
    if not encoded.rstrip(b'\x00').endswith(b'\xff\xd9'):
        raise ValueError('the JPEG 2000 is cut short')


def _avif(encoded: bytes) -> ImageHeader:
    sizes = [struct.unpack_from('>II', encoded, m.end() + 4)
             for m in re.finditer(b'ispe', encoded)]  # fmt: skip
    if not sizes:
        raise ValueError('the AVIF is damaged: it names no size')
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return ImageHeader('AVIF', width, height)


def _pnm(encoded: bytes) -> ImageHeader:
    text = re.sub(rb'#[^\r\n]*', b'', encoded[:4096])
    if encoded.startswith(b'P7'):
        named = [re.search(name + rb'\s+(\d{1,9})', text) for name in (b'WIDTH', b'HEIGHT')]
        sizes = [int(match[1]) for match in named if match is not None]
        if len(sizes) < len(named):
            raise ValueError('the PAM is damaged: it names no size')
        return ImageHeader('PNM', sizes[0], sizes[1])
    found = re.match(rb'P\d\s+(\d{1,9})\s+(\d{1,9})\s', text)
    if found is None:
        raise ValueError('the PNM is damaged: it names no size')
    return ImageHeader('PNM', int(found[1]), int(found[2]))


def _complete_pnm(encoded: bytes) -> None:
    header = re.match(
        rb'P([456])(?:\s|#[^\r\n]*[\r\n])+(\d+)(?:\s|#[^\r\n]*[\r\n])+(\d+)'
        rb'(?:(?:\s|#[^\r\n]*[\r\n])+(\d+))?\s', encoded[:4096])  # fmt: skip
    if header is None:
        return
    kind, width, height = int(header[1]), int(header[2]), int(header[3])
    row = (width + 7) // 8
    if kind != 4:
        if header[4] is None:
            return
        row = width * (3 if kind == 6 else 1) * (1 if int(header[4]) < 256 else 2)
        start = header.end()
    else:
        start = header.end(3) + 1
    if len(encoded) - start < row * height:
        raise ValueError('the PNM is cut short')


def _radiance(encoded: bytes) -> ImageHeader:
    found = re.search(rb'\n[-+]Y (\d{1,9}) [-+]X (\d{1,9})\n', encoded[:65536])
    if found is None:
        raise ValueError('the Radiance HDR is damaged: it names no size')
    return ImageHeader('Radiance HDR', int(found[2]), int(found[1]))


_READERS: dict[str, Callable[[bytes], ImageHeader]] = {
    'JPEG': _jpeg,
    'PNG': _png,
    'TIFF': _tiff,
    'BMP': _bmp,
    'WebP': _webp,
    'JPEG 2000': _jpeg_2000,
    'AVIF': _avif,
    'PNM': _pnm,
    'Radiance HDR': _radiance,
}
_COMPLETE: dict[str, Callable[[bytes], None]] = {
    'JPEG': _complete_jpeg,
    'PNG': _complete_png,
    'TIFF': _complete_tiff,
    'WebP': _complete_webp,
    'BMP': _complete_bmp,
    'JPEG 2000': _complete_jpeg_2000,
    'PNM': _complete_pnm,
}
