"""Image messages as arrays: every encoding, step and byte order, and what is refused."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import Image

from s2m2_ros.errors import ImageError
from s2m2_ros.io.images.encodings import ALIASES, ENCODINGS, find_layout
from s2m2_ros.io.images.ros_images import decode_image, decode_raw

RGB = np.array([[[255, 0, 0], [0, 255, 0], [1, 2, 3]], [[0, 0, 255], [9, 8, 7], [4, 5, 6]]])


def message(
    pixels: np.ndarray, encoding: str, *, padding: int = 0, is_bigendian: bool = False
) -> Image:
    """Return pixels (H, W) or (H, W, C) as a message with ``padding`` bytes after every row."""
    height, width = pixels.shape[:2]
    ordered = pixels.dtype.newbyteorder('>' if is_bigendian else '<')
    rows = pixels.astype(ordered).reshape(height, -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=is_bigendian,
        step=padded.shape[1],
        data=array('B', padded.tobytes()),
    )


class TestEightBit:
    @pytest.mark.parametrize('padding', [0, 1, 5])
    @pytest.mark.parametrize(
        ('encoding', 'channels'),
        [
            ('rgb8', [0, 1, 2]),
            ('bgr8', [2, 1, 0]),
            ('rgba8', [0, 1, 2, 0]),
            ('bgra8', [2, 1, 0, 0]),
            ('rgbx8', [0, 1, 2, 0]),
            ('BGRX8', [2, 1, 0, 0]),
        ],
    )
    def test_colors(self, encoding: str, channels: list[int], padding: int) -> None:
        pixels = RGB[..., channels].astype(np.uint8)
        decoded = decode_image(message(pixels, encoding, padding=padding))
        assert decoded.dtype == np.uint8
        np.testing.assert_array_equal(decoded, RGB)

    @pytest.mark.parametrize('padding', [0, 3])
    @pytest.mark.parametrize('encoding', ['mono8', '8UC1'])
    def test_grey(self, encoding: str, padding: int) -> None:
        pixels = RGB[..., 0].astype(np.uint8)
        decoded = decode_image(message(pixels, encoding, padding=padding))
        assert decoded.dtype == np.uint8
        np.testing.assert_array_equal(decoded, RGB[..., 0])

    @pytest.mark.parametrize('encoding', ['mono8', 'rgb8', 'rgba8'])
    def test_no_copy_where_the_layout_allows(self, encoding: str) -> None:
        channels = {'mono8': 1, 'rgb8': 3, 'rgba8': 4}[encoding]
        image = message(np.zeros((2, 3 * channels), np.uint8), encoding, padding=2)
        image.width = 3
        tensor = torch.from_numpy(decode_image(image))
        image.data[image.step] = 200  # the first byte of the second row
        assert tensor[1, 0].flatten()[0] == 200

    def test_last_row_may_lack_its_padding(self) -> None:
        image = message(RGB.astype(np.uint8), 'rgb8', padding=5)
        del image.data[-5:]
        np.testing.assert_array_equal(decode_image(image), RGB)

    def test_byte_order_says_nothing_about_bytes(self) -> None:
        pixels = RGB.astype(np.uint8)
        image = message(pixels, 'rgb8', is_bigendian=True)
        np.testing.assert_array_equal(decode_image(image), RGB)


class TestSixteenBit:
    @pytest.mark.parametrize('padding', [0, 1, 4])
    @pytest.mark.parametrize('is_bigendian', [False, True])
    @pytest.mark.parametrize('encoding', ['mono16', '16UC1'])
    def test_grey(self, encoding: str, is_bigendian: bool, padding: int) -> None:
        pixels = np.array([[0, 257, 65535], [128, 25700, 1]], np.uint16)
        image = message(pixels, encoding, padding=padding, is_bigendian=is_bigendian)
        decoded = decode_image(image)
        assert decoded.dtype == np.float32
        expected = np.array([[0, 1, 255], [128 / 257, 100, 1 / 257]])
        np.testing.assert_allclose(decoded, expected, rtol=1e-6)
        assert decoded.max() == 255.0

    def test_big_endian_byte_by_byte(self) -> None:
        image = Image(height=1, width=1, encoding='mono16', is_bigendian=1, step=2)
        image.data = array('B', [0x64, 0x64])
        assert decode_image(image).tolist() == [[100.0]]
        image.data = array('B', [0x01, 0x00])
        assert decode_image(image).tolist() == [[pytest.approx(256 / 257)]]

    @pytest.mark.parametrize('is_bigendian', [False, True])
    @pytest.mark.parametrize(
        ('encoding', 'channels'),
        [('rgb16', [0, 1, 2]), ('bgr16', [2, 1, 0]), ('rgba16', [0, 1, 2, 0])],
    )
    def test_colors(self, encoding: str, channels: list[int], is_bigendian: bool) -> None:
        pixels = (RGB * 257)[..., channels].astype(np.uint16)
        image = message(pixels, encoding, padding=3, is_bigendian=is_bigendian)
        np.testing.assert_array_equal(decode_image(image), RGB.astype(np.float32))


MOSAICS = {
    'rggb': ((0, 1), (1, 2)),
    'bggr': ((2, 1), (1, 0)),
    'gbrg': ((1, 2), (0, 1)),
    'grbg': ((1, 0), (2, 1)),
}


class TestBayer:
    @pytest.mark.parametrize('pattern', MOSAICS)
    def test_one_color_everywhere(self, pattern: str) -> None:
        color = np.array([200, 100, 50], np.uint8)
        mosaic = np.tile(color[np.array(MOSAICS[pattern])], (3, 4))
        decoded = decode_image(message(mosaic, f'bayer_{pattern}8', padding=2))
        assert decoded.shape == (6, 8, 3)
        assert (decoded == color).all()

    @pytest.mark.parametrize('pattern', MOSAICS)
    def test_sixteen_bit_big_endian(self, pattern: str) -> None:
        color = np.array([200, 100, 50], np.uint16) * 257
        mosaic = np.tile(color[np.array(MOSAICS[pattern])], (2, 2))
        decoded = decode_image(message(mosaic, f'bayer_{pattern}16', is_bigendian=True))
        assert decoded.dtype == np.float32
        assert (decoded == [200, 100, 50]).all()

    @pytest.mark.parametrize('pattern', MOSAICS)
    def test_each_site_keeps_its_own_sample(self, pattern: str) -> None:
        mosaic = np.random.default_rng(0).integers(0, 256, (8, 10), np.uint8)
        decoded = decode_image(message(mosaic, f'bayer_{pattern}8'))
        for row in range(2, 6):
            for column in range(2, 8):
                own = MOSAICS[pattern][row % 2][column % 2]
                assert decoded[row, column, own] == mosaic[row, column]


def rgb_of_yuv(y: float, u: float, v: float) -> list[float]:
    """Return R, G, B of one pixel of ITU-R BT.601 in the studio range."""
    luma = 1.164 * (y - 16)
    red = luma + 1.596 * (v - 128)
    green = luma - 0.813 * (v - 128) - 0.392 * (u - 128)
    return [min(max(value, 0), 255) for value in (red, green, luma + 2.017 * (u - 128))]


class TestYuv:
    @pytest.mark.parametrize(
        ('encoding', 'order'),
        [
            ('yuv422', 'uyvy'),
            ('uyvy', 'uyvy'),
            ('yuv422_yuy2', 'yuyv'),
            ('yuyv', 'yuyv'),
        ],
    )
    def test_two_pixels_share_a_color(self, encoding: str, order: str) -> None:
        u, v, luma = 90, 170, iter([60, 180])
        row = [u if c == 'u' else v if c == 'v' else next(luma) for c in order]
        pixels = np.array([[row[:2], row[2:]]], np.uint8)
        decoded = decode_image(message(pixels, encoding, padding=1))
        expected = [[rgb_of_yuv(60, u, v), rgb_of_yuv(180, u, v)]]
        np.testing.assert_allclose(decoded, np.array(expected), atol=1.01)

    @pytest.mark.parametrize('encoding', ['yuv422', 'yuyv', 'yvyu', 'vyuy', 'nv16', 'nv61'])
    def test_odd_width_is_refused_in_words(self, encoding: str) -> None:
        text = rf"3x2, encoding '{encoding}'.*: width of an image .* must be even"
        with pytest.raises(ImageError, match=text):
            decode_image(message(np.zeros((2, 3, 2), np.uint8), encoding))

    @pytest.mark.parametrize('encoding', ['nv12', 'nv21', 'i420', 'yv12'])
    @pytest.mark.parametrize(('width', 'height'), [(3, 4), (4, 3)])
    def test_odd_sizes_of_shared_colors_are_refused_in_words(
        self, encoding: str, width: int, height: int
    ) -> None:
        image = Image(width=width, height=height, step=4, encoding=encoding)
        image.data = array('B', bytes(100))
        with pytest.raises(ImageError, match=r'width and height of an image .* must be even'):
            decode_image(image)


# Four pixels of 2x2, each color plane worked out by hand: brightness 60, 180, 90, 120.
LUMA = np.array([[60, 180], [90, 120]], np.uint8)
U, V = 90, 170
BLOCK = np.array([[rgb_of_yuv(float(y), U, V) for y in row] for row in LUMA])


def planes(encoding: str, padding: int) -> list[bytes]:
    """Return the planes of LUMA, U, V as an encoding orders them, rows padded."""
    pad = bytes([77]) * padding
    half = bytes([77]) * (padding // 2)
    grey = b''.join(row.tobytes() + pad for row in LUMA)
    pairs = bytes([U, V]) if encoding in ('nv12', 'nv16', 'nv24') else bytes([V, U])
    colors = {
        'nv12': [pairs + pad],
        'nv21': [pairs + pad],
        'nv16': [(pairs + pad) * 2],
        'nv61': [(pairs + pad) * 2],
        'nv24': [(pairs * 2 + pad * 2) * 2],
        'nv42': [(pairs * 2 + pad * 2) * 2],
        'i420': [bytes([U]) + half, bytes([V]) + half],
        'yv12': [bytes([V]) + half, bytes([U]) + half],
    }
    return [grey, *colors[encoding]]


class TestPlanes:
    @pytest.mark.parametrize('padding', [0, 2, 6])
    @pytest.mark.parametrize(
        'encoding', ['nv12', 'nv21', 'nv16', 'nv61', 'nv24', 'nv42', 'i420', 'yv12']
    )
    def test_planes_of_colors(self, encoding: str, padding: int) -> None:
        image = Image(height=2, width=2, encoding=encoding, step=2 + padding)
        image.data = array('B', b''.join(planes(encoding, padding)))
        np.testing.assert_allclose(decode_image(image), BLOCK, atol=1.01)

    @pytest.mark.parametrize('encoding', ['nv12', 'nv21', 'i420'])
    def test_rows_of_colors_counted_in_the_height(self, encoding: str) -> None:
        image = Image(height=3, width=2, encoding=encoding, step=2)
        image.data = array('B', b''.join(planes(encoding, 0)))
        np.testing.assert_allclose(decode_image(image), BLOCK, atol=1.01)

    @pytest.mark.parametrize(('encoding', 'step'), [('nv12', 3), ('nv21', 4), ('nv24', 6)])
    def test_all_planes_counted_in_the_step(self, encoding: str, step: int) -> None:
        image = Image(height=2, width=2, encoding=encoding, step=step)
        image.data = array('B', b''.join(planes(encoding, 0)))
        np.testing.assert_allclose(decode_image(image), BLOCK, atol=1.01)

    @pytest.mark.parametrize('encoding', ['nv12', 'nv16', 'nv24', 'i420'])
    def test_missing_colors_are_refused(self, encoding: str) -> None:
        image = Image(height=2, width=2, encoding=encoding, step=2)
        image.data = array('B', b''.join(planes(encoding, 0))[:-1])
        with pytest.raises(ImageError, match='the data should hold'):
            decode_image(image)


def bits_of(values: list[int], bits: int) -> bytes:
    """Pack values, lowest bits first, by writing them out as a string of digits."""
    digits = ''.join(format(value, f'0{bits}b')[::-1] for value in values)
    digits += '0' * (-len(digits) % 8)
    return bytes(int(digits[at : at + 8][::-1], 2) for at in range(0, len(digits), 8))


def mipi(values: list[int], bits: int) -> bytes:
    """Pack values as CSI-2 does: high bytes of a group, then its low bits, first pixel lowest."""
    group = 4 if bits == 10 else 2
    low = bits - 8
    values = values + [0] * (-len(values) % group)
    packed = b''
    for at in range(0, len(values), group):
        part = values[at : at + group]
        packed += bytes(value >> low for value in part)
        packed += bytes([sum((v & ((1 << low) - 1)) << low * i for i, v in enumerate(part))])
    return packed


def gige(values: list[int], bits: int) -> bytes:
    """Pack values as GigE Vision does: two high bytes around one with both low parts."""
    low = bits - 8
    values = values + [0] * (len(values) % 2)
    packed = b''
    for first, second in zip(values[::2], values[1::2], strict=True):
        mask = (1 << low) - 1
        packed += bytes([first >> low, first & mask | (second & mask) << 4, second >> low])
    return packed


PACKERS = {'p': bits_of, '_mipi': mipi, 'packed': gige}


class TestDeepPixels:
    @pytest.mark.parametrize('bits', [10, 12, 14])
    def test_unpacked_bits_fill_the_range(self, bits: int) -> None:
        white = (1 << bits) - 1
        pixels = np.array([[0, white]], np.uint16)
        raw = decode_raw(message(pixels, f'mono{bits}'))
        assert (raw.largest, raw.exact) == (white, True)
        assert decode_image(message(pixels, f'Mono{bits}')).tolist() == [[0, 255]]

    def test_values_above_the_named_bits_are_not_clipped(self) -> None:
        # Some drivers shift the bits up to the top of the 16.
        decoded = decode_image(message(np.array([[0, 65535]], np.uint16), 'mono12'))
        assert decoded.tolist() == [[0, 255]]

    @settings(max_examples=60, deadline=None)
    @given(
        kind=st.tuples(st.sampled_from([10, 12]), st.sampled_from(sorted(PACKERS))),
        rows=st.integers(1, 3),
        width=st.integers(1, 9),
        padding=st.integers(0, 4),
        data=st.data(),
    )
    def test_packed_bits(
        self, kind: tuple[int, str], rows: int, width: int, padding: int, data: st.DataObject
    ) -> None:
        bits, ending = kind
        line = st.lists(st.integers(0, (1 << bits) - 1), min_size=width, max_size=width)
        values = data.draw(st.lists(line, min_size=rows, max_size=rows))
        packed = [PACKERS[ending](row, bits) + bytes([77]) * padding for row in values]
        image = Image(height=rows, width=width, encoding=f'mono{bits}{ending}')
        image.step, image.data = len(packed[0]), array('B', b''.join(packed))
        assert decode_raw(image).pixels.tolist() == values

    @pytest.mark.parametrize('ending', PACKERS)
    def test_packed_mosaic(self, ending: str) -> None:
        rows = [PACKERS[ending](row, 12) for row in ([3200, 1600] * 4, [1600, 800] * 4)]
        image = Image(height=4, width=8, encoding=f'bayer_rggb12{ending}', step=len(rows[0]))
        image.data = array('B', b''.join(rows) * 2)
        raw = decode_raw(image)
        assert (raw.pixels == [3200, 1600, 800]).all()
        assert raw.largest == 4095


class TestNumericTypes:
    """Encodings that name a type of OpenCV and no colors: one gray channel, or B, G, R, A."""

    @pytest.mark.parametrize('padding', [0, 2])
    @pytest.mark.parametrize('is_bigendian', [False, True])
    @pytest.mark.parametrize('channels', [1, 3, 4])
    @pytest.mark.parametrize(
        ('name', 'kind'),
        [
            ('8U', 'u1'), ('8S', 'i1'), ('16U', 'u2'), ('16S', 'i2'), ('32S', 'i4'),
            ('32F', 'f4'), ('64F', 'f8'),
        ],
    )  # fmt: skip
    def test_values_as_they_are(
        self, name: str, kind: str, channels: int, is_bigendian: bool, padding: int
    ) -> None:
        order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 0]}[channels]
        pixels = (RGB % 100)[..., order].astype(kind)
        image = message(pixels, f'{name}C{channels}', padding=padding, is_bigendian=is_bigendian)
        expected = RGB % 100
        decoded = decode_raw(image).pixels
        np.testing.assert_array_equal(decoded, expected if channels > 1 else expected[..., 0])

    @pytest.mark.parametrize('white', [1.0, 255.0, 65535.0])
    def test_floating_point_is_scaled_by_the_range_it_fills(self, white: float) -> None:
        pixels = np.linspace(0, white, 64, dtype=np.float32).reshape(8, 8)
        decoded = decode_image(message(pixels, '32FC1'))
        np.testing.assert_allclose(decoded, pixels / white * 255, atol=1e-3)

    def test_signed_values_fill_the_positive_range(self) -> None:
        pixels = np.array([[0, 32767]], np.int16)
        assert decode_image(message(pixels, '16SC1')).tolist() == [[0, 255]]

    def test_floats_without_a_number_are_refused(self) -> None:
        with pytest.raises(ImageError, match='no finite value'):
            decode_image(message(np.full((4, 4), np.nan, np.float32), '32FC1'))


class TestNames:
    @pytest.mark.parametrize(
        ('name', 'same'),
        [
            ('Y8', 'mono8'), ('GREY', 'mono8'), ('Mono8', 'mono8'),
            ('8U', '8UC1'), ('Y16', 'mono16'), ('Y16 ', 'mono16'), ('RGGB8', 'bayer_rggb8'),
            ('BayerRG8', 'bayer_rggb8'), ('SBGGR10', 'bayer_bggr10'), ('BA81', 'bayer_bggr8'),
            ('SRGGB10P', 'bayer_rggb10_mipi'), ('BayerGB12p', 'bayer_gbrg12p'),
            ('YUY2', 'yuyv'), ('UYVY', 'uyvy'), ('YUV422_8', 'yuyv'), ('YUV422_8_UYVY', 'uyvy'),
            ('NV12', 'nv12'), ('YU12', 'i420'), ('yuv420', 'i420'), ('YV12', 'yv12'),
            ('RGB8', 'rgb8'), ('bgr24', 'bgr8'), ('rgb', 'rgb8'), ('Mono12Packed', 'mono12packed'),
            ('Y10P', 'mono10_mipi'), ('R8', 'mono8'),
        ],
    )  # fmt: skip
    def test_names_that_people_write(self, name: str, same: str) -> None:
        assert find_layout(name) is ENCODINGS[same]

    def test_every_other_name_means_what_the_table_says(self) -> None:
        for name, target in ALIASES.items():
            assert find_layout(name.upper()) is ENCODINGS[target], name

    @pytest.mark.parametrize('encoding', ['', 'nonsense', '8UC2', '32FC2', 'h264', 'rgb888'])
    def test_unknown_ones_list_what_there_is(self, encoding: str) -> None:
        text = (
            f"encoding '{encoding}', step 8, 16 bytes.*unknown encoding.*mono8.*bayer_rggb8.*nv12"
        )
        with pytest.raises(ImageError, match=text):
            decode_image(message(np.zeros((2, 2), np.float32), encoding))

    def test_a_long_or_hostile_name_is_cut_and_escaped(self) -> None:
        with pytest.raises(ImageError) as caught:
            decode_image(message(np.zeros((2, 2), np.uint8), '\x1b[31m' + 'x' * 5000))
        assert '\x1b' not in str(caught.value)
        assert len(str(caught.value)) < 2500


class TestDamagedMessages:
    @pytest.mark.parametrize('encoding', [*ENCODINGS, 'nonsense'])
    @pytest.mark.parametrize(
        ('width', 'height', 'step', 'length'),
        [
            (0, 0, 0, 0),
            (0, 4, 4, 64),
            (4, 0, 4, 64),
            (4, 4, 64, 10),
            (4, 4, 64, 0),
            (2**32 - 1, 2**32 - 1, 2**32 - 1, 64),
            (2**31, 2, 8, 64),
        ],
    )
    def test_one_error_with_the_facts(
        self, encoding: str, width: int, height: int, step: int, length: int
    ) -> None:
        image = Image(width=width, height=height, step=step, encoding=encoding)
        image.data = array('B', bytes(length))
        with pytest.raises(ImageError) as caught:
            decode_image(image)
        facts = f"image {width}x{height}, encoding '{encoding}', step {step}, {length} bytes"
        assert facts in str(caught.value)

    def test_step_shorter_than_a_row(self) -> None:
        image = message(RGB.astype(np.uint8), 'rgb8')
        image.step = 8
        with pytest.raises(ImageError, match='a row needs 9 bytes, more than the step'):
            decode_image(image)

    def test_one_missing_byte(self) -> None:
        image = message(RGB.astype(np.uint8), 'rgb8')
        image.data.pop()
        with pytest.raises(ImageError, match=r'17 bytes of data: the data should hold 18 bytes'):
            decode_image(image)

    @settings(max_examples=300, deadline=None)
    @given(
        encoding=st.sampled_from([*ENCODINGS, 'junk']),
        size=st.tuples(st.integers(0, 9), st.integers(0, 9)),
        step=st.integers(0, 80),
        is_bigendian=st.booleans(),
        data=st.binary(max_size=400),
    )
    def test_anything_is_decoded_or_refused(
        self, encoding: str, size: tuple[int, int], step: int, is_bigendian: bool, data: bytes
    ) -> None:
        image = Image(width=size[0], height=size[1], encoding=encoding, step=step)
        image.is_bigendian, image.data = int(is_bigendian), array('B', data)
        try:
            decoded = decode_image(image)
        except ImageError:
            return
        # The height may count the rows of colors too.
        assert decoded.shape[0] in (size[1], size[1] * 2 // 3, size[1] // 2, size[1] // 3)
        assert decoded.shape[1] == size[0]
        assert decoded.shape[2:] in ((), (3,))
        assert decoded.dtype in (np.uint8, np.float32)


def test_opencv_agrees_on_a_bgr_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    decoded = decode_image(message(pixels, 'bgr8', padding=4))
    np.testing.assert_array_equal(decoded, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
