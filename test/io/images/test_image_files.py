"""What is written to files is what other readers find in them."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from s2m2_ros.atomic_files import FileWriteError, write_atomically
from s2m2_ros.errors import ImageError
from s2m2_ros.io.images.image_files import (
    DEPTH_STEPS,
    DISPARITY_STEPS,
    disparity_picture,
    fraction_picture,
    read_image,
    read_raw,
    write_pfm,
    write_ply,
    write_png,
    write_steps,
)
from s2m2_ros.io.images.image_headers import MAX_PIXELS, read_header
from support.limits import bounded

MAP = np.array([[1.5, np.nan, 300.0], [0.0, 2.25, np.inf]], np.float32)


def test_pfm_is_bottom_up_and_marks_unknown_with_infinity(tmp_path: Path) -> None:
    write_pfm(tmp_path / 'a.pfm', MAP)
    header, size, scale, data = (tmp_path / 'a.pfm').read_bytes().split(b'\n', 3)
    assert (header, size, float(scale)) == (b'Pf', b'3 2', -1.0)
    rows = np.frombuffer(data, '<f4').reshape(2, 3)
    assert rows.tolist() == [[0.0, 2.25, np.inf], [1.5, np.inf, 300.0]]


def test_png_holds_steps_and_zero_for_unknown(tmp_path: Path) -> None:
    assert write_steps(tmp_path / 'd.png', MAP, DISPARITY_STEPS) == 1
    found = cv2.imread(str(tmp_path / 'd.png'), cv2.IMREAD_UNCHANGED)
    assert found is not None
    # 300 px is beyond 65535 / 256; a known 0 must not look unknown.
    assert found.tolist() == [[384, 0, 0], [1, 576, 0]]
    assert write_steps(tmp_path / 'z.png', MAP, DEPTH_STEPS) == 1
    found = cv2.imread(str(tmp_path / 'z.png'), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert found.tolist() == [[1500, 0, 0], [1, 2250, 0]]


@pytest.mark.parametrize(
    ('value', 'steps', 'held'),
    [
        (-16.0, 256.0, 0), (-0.001, 256.0, 1), (0.001, 256.0, 1), (255.99, 256.0, 65533),
        (255.998, 256.0, 65535), (255.999, 256.0, 0), (300.0, 256.0, 0), (125.0, 1000.0, 0),
        (65.535, 1000.0, 65535), (3e38, 256.0, 0), (-3e38, 256.0, 0),
    ],
)  # fmt: skip
def test_what_16_bits_cannot_hold_is_unknown_and_counted(
    tmp_path: Path, value: float, steps: float, held: int
) -> None:
    lost = write_steps(tmp_path / 'd.png', np.full((2, 3), value, np.float32), steps)
    found = cv2.imread(str(tmp_path / 'd.png'), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert (found == held).all()
    assert lost == (0 if held else 6)


def test_ply_is_read_by_another_library(tmp_path: Path) -> None:
    records = np.zeros((2, 4), np.float32)
    records[:, :3] = [[1, 2, 3], [4, 5, 6]]
    records.view(np.uint8)[:, 12:] = [[30, 20, 10, 0], [3, 2, 1, 0]]  # blue, green, red
    write_ply(tmp_path / 'c.ply', records)
    cloud: Any = trimesh.load(tmp_path / 'c.ply')
    assert np.asarray(cloud.vertices).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert np.asarray(cloud.colors)[:, :3].tolist() == [[10, 20, 30], [1, 2, 3]]


def test_images_are_read_as_rgb(tmp_path: Path) -> None:
    picture = np.zeros((32, 33, 3), np.uint8)
    picture[..., 0] = 200
    write_png(tmp_path / 'red.png', picture)
    assert np.array_equal(read_image(tmp_path / 'red.png'), picture)
    alpha = np.dstack((picture[..., ::-1], np.full((32, 33), 9, np.uint8)))
    cv2.imwrite(str(tmp_path / 'alpha.png'), alpha)
    assert np.array_equal(read_image(tmp_path / 'alpha.png'), picture)
    gray = np.full((32, 33), 40000, np.uint16)
    cv2.imwrite(str(tmp_path / 'gray.png'), gray)
    assert np.array_equal(read_image(tmp_path / 'gray.png'), gray)


def test_what_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / 'text.png').write_text('hello')
    (tmp_path / 'empty.png').write_bytes(b'')
    (tmp_path / 'folder.png').mkdir()
    for name in ('text.png', 'empty.png', 'folder.png', 'missing.png'):
        with pytest.raises(ImageError, match=name):
            read_image(tmp_path / name)


def test_disparity_picture_goes_from_blue_to_red_and_unknown_is_black() -> None:
    disparity = np.tile(np.linspace(0, 50, 100, dtype=np.float32), (4, 1))
    disparity[2] = np.nan
    picture = disparity_picture(disparity)
    assert picture[2].max() == 0
    far, near = picture[0, 10].astype(int), picture[0, 85].astype(int)
    assert far[2] > far[0]
    assert near[0] > near[2]
    assert disparity_picture(np.full((3, 4), np.nan, np.float32)).max() == 0


def test_share_picture() -> None:
    share = np.array([[0.0, 0.5, 1.0, np.nan, 2.0]], np.float32)
    assert fraction_picture(share).tolist() == [[0, 128, 255, 0, 255]]


def test_failed_writing_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / 'taken.png'
    folder.mkdir()
    with pytest.raises(FileWriteError, match=r'taken\.png'):
        write_png(folder, np.zeros((32, 32), np.uint8))
    with pytest.raises(FileWriteError, match='missing'):
        write_png(tmp_path / 'missing' / 'a.png', np.zeros((32, 32), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ['taken.png']


def test_replaced_file_has_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / 'file'
    path.write_bytes(b'old')
    expected = path.stat().st_mode
    write_atomically(path, b'new')
    assert path.read_bytes() == b'new'
    assert path.stat().st_mode == expected


def encoded(pixels: np.ndarray, suffix: str, *options: int) -> bytes:
    ok, content = cv2.imencode(suffix, pixels, options)
    assert ok
    return content.tobytes()


FORMATS = ('.jpg', '.png', '.webp', '.tif', '.bmp', '.jp2', '.ppm', '.avif')


def writable(*suffixes: str) -> list[str]:
    """Return the formats that this OpenCV writes: AVIF came with 4.8."""
    return [suffix for suffix in suffixes if cv2.haveImageWriter(f'x{suffix}')]


def scene(height: int = 32, width: int = 40) -> np.ndarray:
    """Return smooth noise (H, W, 3) uint8 RGB that JPEG keeps well."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    low, high = smooth.min(), smooth.max()
    scaled: np.ndarray = ((smooth - low) / (high - low) * 255).astype(np.uint8)
    return scaled


class TestTypes:
    """What each kind of file comes out as."""

    @pytest.mark.parametrize('suffix', ['.png', '.bmp', '.tiff', '.webp', '.jp2', '.ppm', '.pam'])
    def test_lossless_formats_keep_every_color(self, tmp_path: Path, suffix: str) -> None:
        lossless = {'.webp': (cv2.IMWRITE_WEBP_QUALITY, 101),
                    '.jp2': (cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)}  # fmt: skip
        content = encoded(scene()[..., ::-1], suffix, *lossless.get(suffix, ()))
        # The content decides, whatever the name says.
        (tmp_path / 'image.dat').write_bytes(content)
        np.testing.assert_array_equal(read_image(tmp_path / 'image.dat'), scene())

    @pytest.mark.parametrize('suffix', writable('.jpg', '.avif'))
    def test_lossy_formats_come_close(self, tmp_path: Path, suffix: str) -> None:
        (tmp_path / f'image{suffix}').write_bytes(encoded(scene()[..., ::-1], suffix))
        found = read_image(tmp_path / f'image{suffix}')
        assert np.abs(found.astype(int) - scene()).mean() < 8

    @pytest.mark.parametrize('kind', ['u1', 'u2', 'i2', 'f4', 'f8'])
    def test_gray_types_of_tiff(self, tmp_path: Path, kind: str) -> None:
        content = tiff(scene()[..., 0].astype(kind), _339={'u': 1, 'i': 2, 'f': 3}[kind[0]])
        (tmp_path / 'a.tif').write_bytes(content)
        raw = read_raw(tmp_path / 'a.tif')
        np.testing.assert_array_equal(raw.pixels, scene()[..., 0])
        assert raw.largest == {'u1': 255, 'u2': 65535, 'i2': 32767}.get(kind)

    @pytest.mark.parametrize('kind', ['u1', 'u2'])
    def test_color_types_of_tiff(self, tmp_path: Path, kind: str) -> None:
        (tmp_path / 'a.tif').write_bytes(encoded(scene()[..., ::-1].astype(kind), '.tif'))
        np.testing.assert_array_equal(read_raw(tmp_path / 'a.tif').pixels, scene())

    @pytest.mark.parametrize('kind', ['u1', '>u2', '<i2', '<f4', '>f4', '<f8', '?'])
    @pytest.mark.parametrize('order', ['C', 'F'])
    def test_types_of_npy(self, tmp_path: Path, kind: str, order: Any) -> None:
        pixels = scene().astype(kind)
        np.save(tmp_path / 'a.npy', np.asarray(pixels, order=order))
        expected = scene() if kind != '?' else (scene() > 0) * 255
        np.testing.assert_array_equal(read_raw(tmp_path / 'a.npy').pixels, expected)

    def test_npy_with_objects_or_another_shape_is_refused(self, tmp_path: Path) -> None:
        for number, (array, words) in enumerate(
            [
                (np.array([[{}]], object), 'object'),
                (np.zeros((3, 40, 50), np.uint8), 'transpose it'),
                (np.zeros(40, np.uint8), 'give'),
                (np.zeros((4, 5), complex), 'complex'),
            ]
        ):
            np.save(tmp_path / f'{number}.npy', array, allow_pickle=True)
            with pytest.raises(ImageError, match=words):
                read_raw(tmp_path / f'{number}.npy')

    def test_bits_palettes_and_gray_with_alpha(self, tmp_path: Path) -> None:
        gray = np.array([[0, 255], [255, 0]], np.uint8)
        (tmp_path / 'bits.png').write_bytes(encoded(gray, '.png', cv2.IMWRITE_PNG_BILEVEL, 1))
        assert read_raw(tmp_path / 'bits.png').pixels.tolist() == gray.tolist()
        palette = bytes([255, 0, 0, 0, 255, 0])
        (tmp_path / 'palette.png').write_bytes(png(2, 1, 8, 3, b'\x00\x00\x01', PLTE=palette))
        found = read_raw(tmp_path / 'palette.png').pixels
        assert found.tolist() == [[[255, 0, 0], [0, 255, 0]]]
        (tmp_path / 'alpha.png').write_bytes(png(2, 1, 8, 4, b'\x00\x07\xff\x09\x80'))
        found = read_raw(tmp_path / 'alpha.png').pixels
        assert found.reshape(2, -1)[:, 0].tolist() == [7, 9]

    def test_floats_from_0_to_1_become_16_bits_where_integers_are_wanted(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / 'a.tif').write_bytes(encoded(scene()[..., 0].astype('f4') / 255, '.tif'))
        np.testing.assert_array_equal(read_image(tmp_path / 'a.tif'), scene()[..., 0] * 257.0)

    def test_pfm_as_an_image(self, tmp_path: Path) -> None:
        write_pfm(tmp_path / 'a.pfm', MAP)
        assert read_raw(tmp_path / 'a.pfm').pixels[0, 0] == 1.5


def png(width: int, height: int, depth: int, color: int, rows: bytes, **parts: bytes) -> bytes:
    """Return a PNG of which every part is given."""
    header = struct.pack('>IIBBBBB', width, height, depth, color, 0, 0, 0)
    chunks = [('IHDR', header), *parts.items(), ('IDAT', zlib.compress(rows)), ('IEND', b'')]
    content = b'\x89PNG\r\n\x1a\n'
    for name, data in chunks:
        part = name.encode() + data
        content += struct.pack('>I', len(data)) + part + struct.pack('>I', zlib.crc32(part))
    return content


def exif(orientation: int, order: str = '<') -> bytes:
    """Return EXIF data with nothing but an orientation."""
    mark = b'II' if order == '<' else b'MM'
    return mark + struct.pack(f'{order}HIHHHIHHI', 42, 8, 1, 274, 3, 1, orientation, 0, 0)


# What a viewer shows of a stored image with rows 01 and 23, by hand from the EXIF standard: 0th
# row and 0th column of the stored image are top/left (1), top/right, bottom/right, bottom/left,
# left/top, right/top, right/bottom, left/bottom (8).
SHOWN = {1: '01 23', 2: '10 32', 3: '32 10', 4: '23 01', 5: '02 13', 6: '20 31', 7: '31 20',
         8: '13 02'}  # fmt: skip


class TestOrientation:
    STORED = np.kron(np.array([[0, 1], [2, 3]], np.uint8) * 60 + 20, np.ones((8, 16), np.uint8))

    @pytest.mark.parametrize('order', '<>')
    @pytest.mark.parametrize('orientation', SHOWN)
    @pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.tif'])
    def test_images_are_turned_as_viewers_turn_them(
        self, tmp_path: Path, suffix: str, orientation: int, order: str
    ) -> None:
        (tmp_path / 'a').write_bytes(self.file(suffix, exif(orientation, order), orientation))
        self.check(read_raw(tmp_path / 'a').pixels, orientation)

    @pytest.mark.parametrize('orientation', SHOWN)
    def test_avif_is_turned_by_properties_of_its_own(
        self, tmp_path: Path, orientation: int
    ) -> None:
        pillow: Any = pytest.importorskip('PIL.Image')
        if '.avif' not in pillow.registered_extensions() or not writable('.avif'):
            pytest.skip('this Pillow writes no AVIF, or this OpenCV reads none')
        data = b'Exif\x00\x00' + exif(orientation)
        path = tmp_path / 'a.avif'
        # Pillow says it in the properties irot and imir too.
        pillow.fromarray(self.STORED).save(path, exif=data, quality=95)
        self.check(read_raw(path).pixels, orientation)

    def check(self, found: np.ndarray, orientation: int) -> None:
        assert found.shape[:2] == ((16, 32) if orientation < 5 else (32, 16))
        gray = found if found.ndim == 2 else found[..., 0]
        height, width = gray.shape
        corners = gray[height // 4 :: height // 2, width // 4 :: width // 2]
        labels = np.rint((corners - 20.0) / 60).astype(int)
        assert ' '.join(''.join(map(str, row)) for row in labels) == SHOWN[orientation]

    def file(self, suffix: str, data: bytes, orientation: int) -> bytes:
        if suffix == '.tif':
            return tiff(self.STORED, orientation)
        content = encoded(self.STORED, suffix)
        if suffix == '.jpg':
            body = b'Exif\x00\x00' + data
            return (
                content[:2] + b'\xff\xe1' + struct.pack('>H', len(body) + 2) + body + content[2:]
            )
        if suffix == '.png':
            part = b'eXIf' + data
            chunk = struct.pack('>I', len(data)) + part + struct.pack('>I', zlib.crc32(part))
            return content[:33] + chunk + content[33:]
        size = bytes([0x08, 0, 0, 0, *(31).to_bytes(3, 'little'), *(15).to_bytes(3, 'little')])
        parts = b'VP8X' + struct.pack('<I', 10) + size + content[12:]
        parts += b'EXIF' + struct.pack('<I', len(data)) + data
        return b'RIFF' + struct.pack('<I', len(parts) + 4) + b'WEBP' + parts

    @pytest.mark.parametrize('damage', [b'', b'II', b'II*\x00\xff\xff\xff\xff', exif(99)])
    def test_damaged_exif_is_upright(self, tmp_path: Path, damage: bytes) -> None:
        (tmp_path / 'a').write_bytes(self.file('.jpg', damage, 1))
        assert read_raw(tmp_path / 'a').pixels.shape == (16, 32)


def tiff(pixels: np.ndarray, orientation: int = 1, **tags: int) -> bytes:
    """Return an uncompressed gray TIFF; tags by their number, as _256=9."""
    data, (height, width) = pixels.tobytes(), pixels.shape
    entries = {256: width, 257: height, 258: 8 * pixels.itemsize, 259: 1, 262: 1, 273: 8,
               274: orientation, 277: 1, 278: height, 279: len(data), 339: 1}  # fmt: skip
    entries |= {int(name[1:]): value for name, value in tags.items()}
    directory = struct.pack('<H', len(entries))
    directory += b''.join(struct.pack('<HHII', t, 4, 1, v) for t, v in sorted(entries.items()))
    return struct.pack('<2sHI', b'II', 42, 8 + len(data)) + data + directory + bytes(4)


class TestDamage:
    @pytest.mark.parametrize(
        'suffix',
        writable(
            *['.jpg', '.png', '.webp', '.tif', '.bmp', '.jp2', '.ppm', '.pgm', '.avif', '.hdr']
        ),
    )
    @pytest.mark.parametrize('fraction', [0.01, 0.3, 0.5, 0.95])
    def test_files_cut_short_are_refused_by_name(
        self, tmp_path: Path, suffix: str, fraction: float
    ) -> None:
        pixels = scene(64, 64) if suffix != '.hdr' else scene(64, 64).astype(np.float32)
        content = encoded(pixels if suffix != '.pgm' else pixels[..., 0], suffix)
        (tmp_path / f'half{suffix}').write_bytes(content[: int(len(content) * fraction)])
        with pytest.raises(ImageError, match=rf'half\{suffix}'):
            read_raw(tmp_path / f'half{suffix}')

    def test_a_thumbnail_does_not_make_half_a_jpeg_whole(self, tmp_path: Path) -> None:
        content = encoded(scene(), '.jpg')
        body = b'Exif\x00\x00' + exif(1) + encoded(scene(8, 8), '.jpg')
        part = b'\xff\xe1' + struct.pack('>H', len(body) + 2) + body
        whole = content[:2] + part + content[2:]
        (tmp_path / 'whole.jpg').write_bytes(whole)
        assert read_raw(tmp_path / 'whole.jpg').pixels.shape == (32, 40, 3)
        (tmp_path / 'half.jpg').write_bytes(whole[: len(part) + len(content) // 2])
        with pytest.raises(ImageError, match='cut short'):
            read_raw(tmp_path / 'half.jpg')

    def test_half_a_progressive_jpeg_is_refused(self, tmp_path: Path) -> None:
        content = encoded(scene(64, 64), '.jpg', cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
        (tmp_path / 'half.jpg').write_bytes(content[: len(content) // 2])
        with pytest.raises(ImageError, match='cut short'):
            read_raw(tmp_path / 'half.jpg')

    @pytest.mark.parametrize(
        ('name', 'content'),
        [
            ('png', png(60000, 60000, 8, 2, b'')),
            ('tiff', tiff(np.zeros((4, 4), np.uint8), _256=60000, _257=60000)),
            ('tile', tiff(np.zeros((4, 4), np.uint8), _322=60000, _323=60000)),
            ('bmp', b'BM' + struct.pack('<IIIIiiHHIIIIII', 100, 0, 54, 40, 60000, 60000, 1, 8, 1,
                                        0, 0, 0, 0, 0) + bytes(100)),
            ('webp', b'RIFF' + struct.pack('<I', 30) + b'WEBPVP8L' + struct.pack('<IBI', 10, 0x2F,
             16382 | 16382 << 14) + bytes(9)),
            ('ppm', b'P6\n60000 60000\n255\n' + bytes(100)),
            ('pfm', b'Pf\n60000 60000\n-1.0\n' + bytes(100)),
            ('hdr', b'#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 60000 +X 60000\n' + bytes(100)),
            ('jp2', b'\xff\x4f\xff\x51' + struct.pack('>HHIIII', 47, 0, 60000, 60000, 0, 0)),
        ],
    )  # fmt: skip
    def test_a_small_file_that_announces_a_huge_image(
        self, tmp_path: Path, name: str, content: bytes
    ) -> None:
        (tmp_path / name).write_bytes(content)
        # Nothing of the size that was announced is allocated.
        with bounded(mebibytes=200), pytest.raises(ImageError, match='implausible'):
            read_raw(tmp_path / name)

    @pytest.mark.parametrize('suffix', writable('.jp2', '.avif'))
    def test_announced_sizes_of_box_formats(self, suffix: str) -> None:
        header = read_header(encoded(scene(), suffix))
        assert (header.width, header.height) == (40, 32)

    def test_fifos_devices_and_impossible_names_are_refused(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / 'fifo.png')
        for path in (
            tmp_path / 'fifo.png',
            Path('/dev/zero'),
            Path('a\0b'),
            tmp_path / ('x' * 300),
        ):
            with pytest.raises(ImageError):
                read_raw(path)

    def test_a_name_that_is_not_utf_8(self, tmp_path: Path) -> None:
        path = tmp_path / os.fsdecode(b'l\xe9\xff.png')
        path.write_bytes(encoded(scene()[..., ::-1], '.png'))
        np.testing.assert_array_equal(read_image(path), scene())

    @settings(max_examples=200, deadline=None)
    @given(
        suffix=st.sampled_from(
            writable(*['.jpg', '.png', '.webp', '.tif', '.bmp', '.jp2', '.ppm', '.avif'])
        ),
        at=st.integers(0, 2000),
        value=st.integers(0, 255),
    )
    def test_one_changed_byte_is_an_image_or_an_error(
        self, tmp_path_factory: pytest.TempPathFactory, suffix: str, at: int, value: int
    ) -> None:
        content = bytearray(encoded(scene(32, 32), suffix))
        content[at % len(content)] = value
        path = tmp_path_factory.getbasetemp() / 'changed'
        path.write_bytes(content)
        try:
            found = read_raw(path)
        except ImageError:
            return
        assert found.pixels.shape[0] * found.pixels.shape[1] <= MAX_PIXELS
