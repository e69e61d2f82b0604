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
from s2m2_ros.io.ros_images import ENCODINGS, decode_image

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
        ],
    )
    def test_colours(self, encoding: str, channels: list[int], padding: int) -> None:
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
    def test_colours(self, encoding: str, channels: list[int], is_bigendian: bool) -> None:
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
    def test_one_colour_everywhere(self, pattern: str) -> None:
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
    def test_two_pixels_share_a_colour(self, encoding: str, order: str) -> None:
        u, v, luma = 90, 170, iter([60, 180])
        row = [u if c == 'u' else v if c == 'v' else next(luma) for c in order]
        pixels = np.array([[row[:2], row[2:]]], np.uint8)
        decoded = decode_image(message(pixels, encoding, padding=1))
        expected = [[rgb_of_yuv(60, u, v), rgb_of_yuv(180, u, v)]]
        np.testing.assert_allclose(decoded, np.array(expected), atol=1.01)

    def test_odd_width_is_refused(self) -> None:
        with pytest.raises(ImageError, match=r"3x1, encoding 'yuv422'"):
            decode_image(message(np.zeros((1, 3, 2), np.uint8), 'yuv422'))


class TestUnusualEncodings:
    @pytest.mark.parametrize(
        ('encoding', 'channels', 'scale'),
        [('8UC3', [2, 1, 0], 1), ('8UC4', [2, 1, 0, 0], 1), ('16UC3', [2, 1, 0], 257)],
    )
    def test_nameless_colours_go_through_cv_bridge_as_bgr(
        self, encoding: str, channels: list[int], scale: int
    ) -> None:
        kind = np.uint8 if scale == 1 else np.uint16
        pixels = (RGB * scale)[..., channels].astype(kind)
        image = message(pixels, encoding, padding=2, is_bigendian=scale > 1)
        np.testing.assert_array_equal(decode_image(image), RGB)

    def test_what_cv_bridge_refuses_is_refused_with_the_alternatives(self) -> None:
        with pytest.raises(ImageError, match=r"encoding '32FC3'.*cv_bridge.*bayer_rggb8"):
            decode_image(message(np.zeros((2, 2, 3), np.float32), '32FC3'))

    @pytest.mark.parametrize('encoding', ['32FC1', '', 'nonsense', 'rgb'])
    def test_unknown(self, encoding: str) -> None:
        with pytest.raises(ImageError, match=f"encoding '{encoding}', step 8, 16 bytes"):
            decode_image(message(np.zeros((2, 2), np.float32), encoding))


class TestDamagedMessages:
    @pytest.mark.parametrize('encoding', [*ENCODINGS, 'nv21', 'nonsense'])
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
        encoding=st.sampled_from([*ENCODINGS, '8UC3', 'junk']),
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
        assert decoded.shape[:2] == (size[1], size[0])
        assert decoded.shape[2:] in ((), (3,))
        assert decoded.dtype in (np.uint8, np.float32)


def test_opencv_agrees_on_a_bgr_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    decoded = decode_image(message(pixels, 'bgr8', padding=4))
    np.testing.assert_array_equal(decoded, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
