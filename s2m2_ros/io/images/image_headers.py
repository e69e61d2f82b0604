"""Format, size and completeness of encoded images, read from their bytes before decoding.

A few bytes can declare an image of many gigabytes, and decoders fill up images that are cut
short. All functions raise ValueError in words for the user, with the name of the format.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from s2m2_ros.io.images.avif_header import avif_orientation, avif_size
from s2m2_ros.io.images.exif import UPRIGHT, orientation
from s2m2_ros.io.images.image_formats import PNG_START, image_format
from s2m2_ros.io.images.tiff_entries import tiff_entries

# No camera of a stereo pair comes near this: 67 million pixels.
MAX_PIXELS = 1 << 26

# No image takes more bytes decoded, e.g. with four channels of float64: half of it is plausible.
MAX_BYTES = 16 * MAX_PIXELS
# No image has more segments, chunks or boxes. A PNG of `MAX_PIXELS` has one for 8192 bytes.
MAX_PARTS = 100_000
# Decoding takes time for each scan over the image; real ones have up to some twenty.
MAX_SCANS = 64
# Start-of-frame markers, which hold the size; C4, C8 and CC are tables and extensions.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_SCAN, JPEG_END, JPEG_APP1 = 0xDA, 0xD9, 0xE1
# What begins a segment: no stuffed byte, fill byte or restart, which have no length. Without a
# repetition, as it would take quadratic time for fill bytes.
_JPEG_MARKER = re.compile(rb'\xff([^\x00\x01\xff\xd0-\xd7])')
# What the size and the completeness of a TIFF depend on.
_TIFF_SIZE = frozenset({256, 257, 258, 277, 322, 323})
_TIFF_PARTS = ((273, 279), (324, 325))


# What reading behind the end, or numbers without sense, lead to.
DAMAGE = (struct.error, IndexError, OverflowError)


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an encoded image says."""

    format: str
    width: int
    height: int
    orientation: int = UPRIGHT
    """Which way up its pixels are: 1 to 8, as EXIF writes it."""

    def require_complete(self, encoded: bytes) -> None:
        """Raise ValueError for an image that is cut short, which decoders would fill up."""
        check = _COMPLETE.get(self.format)
        if check is None:
            return
        try:
            check(encoded)
        except DAMAGE as error:
            raise ValueError(f'the {self.format} is cut short or damaged') from error


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
    except DAMAGE as error:
        raise ValueError(f'the {name} is cut short in its header') from error


def jpeg_segments(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Yield marker and position behind it of each segment, as libjpeg finds them.

    Between segments there may be any bytes, and fill bytes before the marker.
    """
    position = 2
    for _ in range(MAX_PARTS):
        found = _JPEG_MARKER.search(encoded, position)
        if found is None:
            raise ValueError('the JPEG is cut short')
        marker, position = found[1][0], found.end()
        yield marker, position
        if marker != JPEG_END:
            position += max(int.from_bytes(encoded[position : position + 2], 'big'), 2)
    raise ValueError('the JPEG is damaged: far too many segments')


def _jpeg(encoded: bytes) -> ImageHeader:
    exif = b''
    for marker, position in jpeg_segments(encoded):
        if marker in (JPEG_SCAN, JPEG_END):
            break
        (length,) = struct.unpack_from('>H', encoded, position)
        if length < 2:
            raise ValueError('the JPEG is damaged: a segment without a length')
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from('>HH', encoded, position + 3)
            return ImageHeader('JPEG', width, height, orientation(exif))
        body = encoded[position + 2 : position + length]
        if marker == JPEG_APP1 and body.startswith(b'Exif\x00') and not exif:
            exif = body[6:]
    raise ValueError('the JPEG is damaged: no size before its first scan')


def _complete_jpeg(encoded: bytes) -> None:
    """Walk over all segments and scans to the end marker; thumbnails have one of their own."""
    scans = 0
    for marker, _ in jpeg_segments(encoded):
        if marker == JPEG_END:
            break
        scans += marker == JPEG_SCAN
    if not scans:
        raise ValueError('the JPEG is damaged: it holds no image')
    if scans > MAX_SCANS:
        raise ValueError(f'the JPEG has an implausible number of {scans} scans')


def _png(encoded: bytes) -> ImageHeader:
    if encoded[12:16] != b'IHDR':
        raise ValueError('the PNG is damaged: it does not begin with its header')
    width, height = struct.unpack_from('>II', encoded, 16)
    exif = next(
        (encoded[at : at + n] for kind, at, n in _png_parts(encoded) if kind == b'eXIf'), b''
    )
    return ImageHeader('PNG', width, height, orientation(exif))


def _png_parts(encoded: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, position and length of the parts that are whole, up to the end marker."""
    position, kind = len(PNG_START), b''
    for _ in range(MAX_PARTS):
        if position + 12 > len(encoded) or kind == b'IEND':
            return
        length, kind = struct.unpack_from('>I4s', encoded, position)
        if position + 12 + length > len(encoded):
            return
        yield kind, position + 8, length
        position += 12 + length
    raise ValueError('the PNG is damaged: far too many parts')


def _complete_png(encoded: bytes) -> None:
    kind = b''
    for kind, at, length in _png_parts(encoded):
        (check,) = struct.unpack_from('>I', encoded, at + length)
        if zlib.crc32(memoryview(encoded)[at - 4 : at + length]) != check:
            raise ValueError(f'the PNG is damaged: wrong checksum of its part {ascii(kind)[2:-1]}')
    if kind != b'IEND':
        raise ValueError('the PNG is cut short')


def _tiff(encoded: bytes) -> ImageHeader:
    entries = {tag: max(values) for tag, values in _tiff_tags(encoded, _TIFF_SIZE).items()}
    width, height = entries.get(256, 0), entries.get(257, 0)
    # A tile may be larger than the image, and is decoded whole.
    tile = entries.get(322, 0) * entries.get(323, 0)
    channels = entries.get(277, 1)
    if channels > 4:
        raise ValueError(f'the TIFF has {channels} channels: an image has 1, 3 or 4')
    if tile > MAX_PIXELS:
        raise ValueError('the TIFF declares tiles of an implausible size')
    if max(width * height, tile) * channels * entries.get(258, 1) > 8 * MAX_BYTES:
        raise ValueError('the TIFF declares pixels of an implausible number of bytes')
    return ImageHeader('TIFF', width, height)


def _complete_tiff(encoded: bytes) -> None:
    entries = _tiff_tags(encoded, {tag for pair in _TIFF_PARTS for tag in pair})
    for offsets, lengths in _TIFF_PARTS:
        parts = zip(entries.get(offsets, ()), entries.get(lengths, ()), strict=False)
        if any(start + length > len(encoded) for start, length in parts):
            raise ValueError('the TIFF is cut short')


def _tiff_tags(encoded: bytes, tags: Collection[int]) -> dict[int, tuple[int, ...]]:
    try:
        return tiff_entries(encoded, tags)
    except ValueError as error:
        raise ValueError(f'the TIFF is damaged: {error}') from error


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
    return ImageHeader('WebP', width, height, orientation(_webp_exif(encoded)))


def _webp_exif(encoded: bytes) -> bytes:
    position = 12
    for _ in range(MAX_PARTS):
        if position + 8 > len(encoded):
            return b''
        kind, length = struct.unpack_from('<4sI', encoded, position)
        if kind == b'EXIF':
            return encoded[position + 8 : position + 8 + length].removeprefix(b'Exif\x00\x00')
        position += 8 + length + length % 2
    raise ValueError('the WebP is damaged: far too many parts')


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
    for _ in range(MAX_PARTS):
        if position + 8 > len(encoded):
            break
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
    width, height = avif_size(encoded)
    return ImageHeader('AVIF', width, height, avif_orientation(encoded))


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
