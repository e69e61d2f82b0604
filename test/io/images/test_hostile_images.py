"""Small files that would take minutes or gigabytes, had the readers no limits."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from s2m2_ros.errors import ImageError
from s2m2_ros.io.images.compressed_images import decode_encoded, decompress
from s2m2_ros.io.images.exif import orientation
from s2m2_ros.io.images.image_files import read_raw
from s2m2_ros.io.images.image_headers import read_header
from support.limits import bounded


def encoded(suffix: str, *options: int, size: int = 64) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (size, size), np.uint8)
    written, content = cv2.imencode(suffix, pixels, options)
    assert written
    return content.tobytes()


def png_part(kind: bytes, body: bytes) -> bytes:
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))


def tiff_structure(*tags: tuple[int, int, int, int], data: bytes = b'') -> bytes:
    """Return tags (number, type, count, value or place) of a TIFF, and data behind them."""
    head = b'II*\x00' + struct.pack('<IH', 8, len(tags))
    return head + b''.join(struct.pack('<HHII', *tag) for tag in tags) + bytes(4) + data


JPEG = encoded('.jpg')
PNG = encoded('.png')
SCAN = JPEG.index(b'\xff\xda') + 14
PROGRESSIVE = encoded('.jpg', cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
LAST_SCAN = PROGRESSIVE[PROGRESSIVE.rindex(b'\xff\xda') : -2]
WEBP = encoded('.webp')
MANY = 200_000


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (JPEG[:SCAN] + b'\xff' * 1_000_000 + b'\x00', 'cut short'),
        (b'\xff\xd8\xff\x00' + b'\xff\x00' * 20_000_000, 'cut short'),
        (b'\xff\xd8\xff\xd0' + b'\xff\xd0' * 20_000_000, 'cut short'),
        (JPEG[:2] + b'\xff\xfe\x00\x02' * 10_000_000 + JPEG[2:], 'too many segments'),
        (JPEG[:-2] + b'\xff\xfe\x00\x02' * 10_000_000 + JPEG[-2:], 'too many segments'),
        (PROGRESSIVE[:-2] + LAST_SCAN * 1000 + b'\xff\xd9', 'number of 10.. scans'),
        (PNG[:33] + png_part(b'tEXt', b'') * MANY + PNG[33:], 'too many parts'),
    ],
    ids=['fill', 'stuffed', 'restarts', 'segments', 'more segments', 'scans', 'chunks'],
)
def test_compressed_images_of_very_many_parts(content: bytes, reason: str) -> None:
    with bounded(), pytest.raises(ValueError, match=reason):
        decompress(content)


@pytest.mark.parametrize(
    'content',
    [
        b'RIFF' + struct.pack('<I', 8 * MANY + 22) + b'WEBPVP8X' + struct.pack('<I', 10)
        + b'\x08\x00\x00\x00' + bytes((63, 0, 0, 63, 0, 0)) + b'XXXX\x00\x00\x00\x00' * MANY,
        b'\x00\x00\x00\x0cjP  \r\n\x87\n' + b'\x00\x00\x00\x08free' * MANY,
        b'\x00\x00\x00\x0cftypavif' + b'\x00\x00\x00\x08free' * MANY,
    ],
    ids=['WebP', 'JPEG 2000', 'AVIF'],
)  # fmt: skip
def test_files_of_very_many_boxes(content: bytes, tmp_path: Path) -> None:
    (tmp_path / 'image').write_bytes(content)
    with bounded(), pytest.raises(ImageError, match='damaged'):
        read_raw(tmp_path / 'image')


def test_tags_that_share_their_values_take_no_memory() -> None:
    """4000 tags of 60 000 bytes each, the same ones, in 60 kB of EXIF: once 2 GB of numbers."""
    others = tiff_structure(*((300 + i, 1, 60_000, 0) for i in range(4000)), data=bytes(12_000))
    same = tiff_structure(*((274, 1, 60_000, 0) for _ in range(4000)), data=bytes(12_000))
    with bounded(100):
        assert orientation(others) == 1
        assert orientation(same) == 1


def test_strips_that_share_their_values_are_refused() -> None:
    size = ((256, 4, 1, 16), (257, 4, 1, 16))
    strips = ((256, 4, 300_000, 0) for _ in range(4))
    content = tiff_structure(*size, *strips, data=bytes(1_300_000))
    with bounded(100), pytest.raises(ValueError, match='more than 1048576 values'):
        read_header(content)


@pytest.mark.parametrize('kind', [4, 9])  # LONG, and SLONG, which libtiff takes too
def test_the_size_of_a_tiff_may_have_a_signed_type(kind: int, tmp_path: Path) -> None:
    content = tiff_structure(
        (256, kind, 1, 30_000), (256, 4, 1, 16), (257, kind, 1, 30_000), (257, 4, 1, 16)
    )
    (tmp_path / 'image.tif').write_bytes(content)
    with bounded(), pytest.raises(ImageError, match='implausible'):
        read_raw(tmp_path / 'image.tif')


def test_strips_behind_the_end_are_an_error_of_its_own(tmp_path: Path) -> None:
    size = ((256, 4, 1, 16), (257, 4, 1, 16))
    content = tiff_structure(*size, (273, 4, 253, 87), (279, 4, 253, 87), data=bytes(150))
    (tmp_path / 'image.tif').write_bytes(content)
    with pytest.raises(ImageError, match='cut short'):
        read_raw(tmp_path / 'image.tif')


class TestAvif:
    """A decoder allocates what the AV1 data declare, and scales to what the boxes say."""

    @pytest.fixture
    def content(self) -> bytearray:
        try:
            return bytearray(encoded('.avif'))
        except (cv2.error, AssertionError):
            pytest.skip('this OpenCV writes no AVIF')

    def test_the_larger_size_counts(self, content: bytearray, tmp_path: Path) -> None:
        place = content.index(b'ispe') + 8
        content[place : place + 8] = struct.pack('>II', 16, 16)
        header = read_header(bytes(content))
        assert (header.width, header.height) == (64, 64)
        (tmp_path / 'image.avif').write_bytes(content)
        with pytest.raises(ImageError, match='does not have the size'):
            read_raw(tmp_path / 'image.avif')

    def test_animations_are_refused(self, content: bytearray) -> None:
        with pytest.raises(ValueError, match='animated'):
            read_header(bytes(content).replace(b'ftypavif', b'ftypavis'))

    @pytest.mark.parametrize('length', range(20, 400, 17))
    def test_cut_short(self, content: bytearray, length: int) -> None:
        try:
            header = read_header(bytes(content[:length]))
        except ValueError:
            return
        assert (header.width, header.height) == (64, 64)


@pytest.mark.parametrize('shape', ['(True, 64)', '(-4, -4)', '(0, 4)', f'({"9" * 4000}, 2)'])
def test_arrays_of_impossible_shapes(shape: str, tmp_path: Path) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".encode()
    content = b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header + bytes(40_000)
    (tmp_path / 'image.npy').write_bytes(content)
    with bounded(), pytest.raises(ImageError, match='shape') as refusal:
        read_raw(tmp_path / 'image.npy')
    assert len(str(refusal.value)) < 200 + len(str(tmp_path)) + 100


def test_what_opencv_rejects_is_said_in_one_line(tmp_path: Path) -> None:
    header = b'#?RADIANCE\n-Y 16 +X 16\nFORMAT=32-bit_rle_rgbe\n\n-Y 90000 +X 90000\n'
    (tmp_path / 'image.hdr').write_bytes(header + bytes(5000))
    with bounded(), pytest.raises(ImageError) as refusal:
        read_raw(tmp_path / 'image.hdr')
    assert '\n' not in str(refusal.value)


@pytest.mark.skipif(not hasattr(cv2.utils, 'logging'), reason='this OpenCV cannot be silenced')
def test_opencv_prints_nothing_about_damaged_images(capfd: pytest.CaptureFixture[str]) -> None:
    content = PNG[:41] + bytes(100) + PNG[141:]
    length = struct.unpack_from('>I', content, 33)[0]
    check = zlib.crc32(content[37 : 41 + length])
    damaged = content[: 41 + length] + struct.pack('>I', check) + content[45 + length :]
    pam = b'P7\nWIDTH 16\nHEIGHT 16\nWIDTH 40\nDEPTH 3\nMAXVAL 255\nENDHDR\n' + bytes(5000)
    for encoded_image in (damaged, pam):
        with pytest.raises(ValueError, match='OpenCV cannot decode'):
            decode_encoded(encoded_image)
    assert 'OpenCV' not in capfd.readouterr().err
