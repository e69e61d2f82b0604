"""CompressedImage messages as arrays."""

from __future__ import annotations

import struct
import zlib
from array import array

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage

from s2m2_ros.errors import ImageError
from s2m2_ros.io.images.compressed_images import announced_size
from s2m2_ros.io.images.ros_images import decode_compressed_image, decode_compressed_raw

# A red left half and a blue right half: JPEG keeps these apart, whatever it does to edges.
RGB = np.zeros((16, 32, 3), np.uint8)
RGB[:, :16], RGB[:, 16:] = (220, 30, 20), (10, 40, 230)
BGR = np.ascontiguousarray(RGB[..., ::-1])


def message(pixels: np.ndarray, extension: str, form: str) -> CompressedImage:
    ok, data = cv2.imencode(extension, pixels)
    assert ok
    return CompressedImage(format=form, data=array('B', data.tobytes()))


class TestFormats:
    @pytest.mark.parametrize(
        'form',
        ['jpeg', 'rgb8; jpeg compressed bgr8', 'bgr8; jpeg compressed bgr8', 'jpg', ''],
    )
    def test_jpeg(self, form: str) -> None:
        decoded = decode_compressed_image(message(BGR, '.jpg', form))
        assert decoded.dtype == np.uint8
        assert decoded.shape == RGB.shape
        np.testing.assert_allclose(decoded[:, 4:12], RGB[:, 4:12], atol=6)
        np.testing.assert_allclose(decoded[:, 20:28], RGB[:, 20:28], atol=6)

    def test_png_is_exact(self) -> None:
        decoded = decode_compressed_image(message(BGR, '.png', 'rgb8; png compressed bgr8'))
        np.testing.assert_array_equal(decoded, RGB)

    def test_alpha_is_dropped(self) -> None:
        pixels = cv2.cvtColor(BGR, cv2.COLOR_BGR2BGRA)
        decoded = decode_compressed_image(message(pixels, '.png', 'bgra8; png compressed bgra8'))
        np.testing.assert_array_equal(decoded, RGB)

    def test_image_that_the_transport_left_in_rgb_order(self) -> None:
        # It hands its array to OpenCV as it is, so the file holds red and blue exchanged.
        decoded = decode_compressed_image(message(RGB, '.png', 'rgb8; png compressed rgb8'))
        np.testing.assert_array_equal(decoded, RGB)

    @pytest.mark.parametrize(
        'form', ['mono8; png compressed ', 'png', 'mono8; png compressed mono8']
    )
    def test_gray(self, form: str) -> None:
        decoded = decode_compressed_image(message(RGB[..., 0], '.png', form))
        np.testing.assert_array_equal(decoded, RGB[..., 0])

    def test_gray_jpeg(self) -> None:
        image = message(np.full((16, 16), 90, np.uint8), '.jpg', 'mono8; jpeg compressed ')
        assert decode_compressed_image(image).tolist() == [[90] * 16] * 16

    def test_sixteen_bit_png_is_scaled_like_a_raw_image(self) -> None:
        pixels = np.array([[0, 257], [25700, 65535]], np.uint16)
        decoded = decode_compressed_image(message(pixels, '.png', 'mono16; png compressed '))
        assert decoded.dtype == np.float32
        assert decoded.tolist() == [[0, 1], [100, 255]]

    def test_bits_that_the_encoding_names_are_taken_as_of_a_raw_image(self) -> None:
        pixels = np.array([[0, 273], [1365, 4095]], np.uint16)
        image = decode_compressed_raw(message(pixels, '.png', 'mono12; png compressed '))
        assert (image.largest, image.exact) == (4095, True)

    @pytest.mark.parametrize('name', ['bayer_rggb', 'BayerRG', 'SRGGB', 'rggb'])
    @pytest.mark.parametrize('bits', [8, 16])
    def test_mosaic_is_interpolated(self, bits: int, name: str) -> None:
        scale = 1 if bits == 8 else 257
        kind = np.uint8 if bits == 8 else np.uint16
        mosaic = np.tile(np.array([[200, 100], [100, 50]], kind) * kind(scale), (4, 4))
        form = f'{name}{bits}; png compressed '
        decoded = decode_compressed_image(message(mosaic, '.png', form))
        assert (decoded == [200, 100, 50]).all()
        assert decoded.shape == (8, 8, 3)

    def test_depth_is_refused(self) -> None:
        image = message(np.zeros((4, 4), np.uint16), '.png', '16UC1; compressedDepth png')
        with pytest.raises(ImageError, match='depth image'):
            decode_compressed_image(image)


class TestDamage:
    @pytest.mark.parametrize('data', [b'', b'\x00', b'not an image at all', bytes(1000)])
    def test_no_image(self, data: bytes) -> None:
        image = CompressedImage(format='jpeg', data=array('B', data))
        with pytest.raises(ImageError, match=f"format 'jpeg', {len(data)} bytes"):
            decode_compressed_image(image)

    @pytest.mark.parametrize('extension', ['.jpg', '.png'])
    @pytest.mark.parametrize('share', [0.1, 0.5, 0.9])
    def test_truncated(self, extension: str, share: float) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        image = message(noise, extension, 'jpeg')
        image.data = image.data[: int(len(image.data) * share)]
        with pytest.raises(ImageError, match='cut short'):
            decode_compressed_image(image)

    def test_small_file_that_announces_a_huge_image(self) -> None:
        header = struct.pack('>IIBBBBB', 60000, 60000, 8, 2, 0, 0, 0)
        chunk = b'IHDR' + header
        data = b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + chunk
        data += struct.pack('>I', zlib.crc32(chunk)) + b'\x00\x00\x00\x00IEND\xae\x42\x60\x82'
        image = CompressedImage(format='png', data=array('B', data))
        with pytest.raises(ImageError, match='implausible size of 60000x60000'):
            decode_compressed_image(image)

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, 700), st.integers(0, 255), st.sampled_from(['.jpg', '.png']))
    def test_one_changed_byte_never_escapes(self, at: int, value: int, extension: str) -> None:
        image = message(BGR, extension, 'rgb8; jpeg compressed bgr8')
        image.data[at % len(image.data)] = value
        try:
            decoded = decode_compressed_image(image)
        except ImageError:
            return
        assert decoded.dtype in (np.uint8, np.float32)


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack('>H', len(body) + 2) + body


def jpeg(pixels: np.ndarray, *options: int) -> bytes:
    ok, data = cv2.imencode('.jpg', pixels, options)
    assert ok
    return data.tobytes()


def huge_jpeg(between: bytes, frame: int = 0xC0) -> bytes:
    """Return a JPEG that announces 60000x60000 pixels after some bytes that libjpeg skips."""
    whole = jpeg(np.full((16, 16), 90, np.uint8))
    at = whole.index(b'\xff\xc0')
    header = bytearray(whole[at:])
    header[1] = frame
    header[5:9] = struct.pack('>HH', 60000, 60000)
    return whole[:at] + between + bytes(header)


BETWEEN = {
    'nothing': b'',
    'fill bytes': b'\xff' * 7,
    'pad bytes': b'\x00\x00',
    'other bytes': b'\x12\x34\x56',
    'stuffed bytes': b'\xff\x00\xff\x00',
    'restart and TEM markers': b'\xff\xd3\xff\x01',
    'a segment that holds another header': segment(0xE5, b'\xff\xc0\x00\x11\x08\x00\x10\x00\x10'),
    'a comment': segment(0xFE, b'\xff\xd9'),
}


class TestBombs:
    @pytest.mark.parametrize('between', BETWEEN.values(), ids=BETWEEN)
    def test_the_size_is_read_as_the_decoder_reads_it(self, between: bytes) -> None:
        image = CompressedImage(format='jpeg', data=array('B', huge_jpeg(between)))
        with pytest.raises(ImageError, match='implausible size of 60000x60000'):
            decode_compressed_image(image)

    @pytest.mark.parametrize('between', BETWEEN.values(), ids=BETWEEN)
    def test_what_the_decoder_skips_is_no_reason_to_refuse(self, between: bytes) -> None:
        whole = jpeg(np.full((16, 24), 90, np.uint8))
        at = whole.index(b'\xff\xc0')
        data = whole[:at] + between + whole[at:]
        assert announced_size(data) == (24, 16)
        decoded = decode_compressed_image(CompressedImage(data=array('B', data)))
        assert decoded.shape == (16, 24)

    @pytest.mark.parametrize('frame', [*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC),
                                       *range(0xCD, 0xD0)])  # fmt: skip
    def test_every_kind_of_frame(self, frame: int) -> None:
        image = CompressedImage(format='jpeg', data=array('B', huge_jpeg(b'', frame)))
        with pytest.raises(ImageError, match='implausible size of 60000x60000'):
            decode_compressed_image(image)

    @pytest.mark.parametrize(
        ('start', 'name'),
        [
            (b'II*\x00', 'TIFF'), (b'MM\x00*', 'TIFF'), (b'II+\x00', 'TIFF'),
            (b'BM' + bytes(12) + b'\x28\x00\x00\x00', 'BMP'),
            (b'\x00\x00\x00\x20ftypavif', 'AVIF'), (b'\x00\x00\x00\x20ftypheic', 'HEIC'),
            (b'\x00\x00\x00\x0cjP  ', 'JPEG 2000'), (b'\xff\x4f\xff\x51', 'JPEG 2000'),
            (b'\xff\x0a', 'JPEG XL'), (b'RIFF\x00\x00\x00\x00WEBP', 'WebP'), (b'GIF89a', 'GIF'),
            (b'P6\n2 2\n255\n', 'PNM'), (b'Pf\n2 2\n-1\n', 'PFM'), (b'v/1\x01', 'OpenEXR'),
            (b'#?RADIANCE\n', 'Radiance HDR'), (b'\x93NUMPY', 'NumPy array'),
            (b'\x00\x00\x00\x01\x67\x42\x00\x1f', 'H.264'),
            (b'\x00\x00\x01\x09\xf0', 'H.264'), (b'\x00\x00\x00\x01\x41\x9a', 'H.264'),
            (b'\x00\x00\x00\x01\x40\x01\x0c', 'H.265'), (b'\x00\x00\x01\x26\x01', 'H.265'),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize('form', ['jpeg', 'rgb8; png compressed bgr8', 'h264', ''])
    def test_other_formats_are_refused_by_name(self, start: bytes, name: str, form: str) -> None:
        image = CompressedImage(format=form, data=array('B', start + bytes(100)))
        with pytest.raises(ImageError, match=rf'it is a.* {name}.*JPEG'):
            decode_compressed_image(image)

    def test_another_size_than_the_calibration_says_is_not_decoded(self) -> None:
        image = message(BGR, '.jpg', 'jpeg')
        assert decode_compressed_raw(image, expected_size=(32, 16)).size == (32, 16)
        with pytest.raises(ImageError, match='declares 32x16 pixels, but 640x480 are expected'):
            decode_compressed_raw(image, expected_size=(640, 480))
        with pytest.raises(ImageError, match='implausible size of 32x16 pixels, more than 100'):
            decode_compressed_raw(image, max_pixels=100)


class TestWholeness:
    def test_a_thumbnail_has_an_end_of_its_own(self) -> None:
        whole = jpeg(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
        thumbnail = segment(0xE1, b'Exif\x00\x00' + jpeg(np.zeros((8, 8), np.uint8)))
        data = whole[:2] + thumbnail + whole[2:]
        assert decode_compressed_image(CompressedImage(data=array('B', data))).shape == (64, 64)
        half = CompressedImage(data=array('B', data[: -len(whole) // 2]))
        with pytest.raises(ImageError, match='cut short'):
            decode_compressed_image(half)

    @pytest.mark.parametrize(
        'options',
        [
            (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
            (cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
            (cv2.IMWRITE_JPEG_OPTIMIZE, 1),
        ],
    )
    def test_kinds_of_jpeg(self, options: tuple[int, int]) -> None:
        whole = jpeg(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8), *options)
        # Drivers that copy whole buffers leave bytes behind the end.
        padded = CompressedImage(data=array('B', whole + bytes(50)))
        assert decode_compressed_image(padded).shape == (64, 64)
        with pytest.raises(ImageError, match='cut short'):
            decode_compressed_image(CompressedImage(data=array('B', whole[: len(whole) // 2])))

    @pytest.mark.parametrize('interval', [0, 4])
    @pytest.mark.parametrize('shape', [(240, 320), (243, 331, 3)])
    @pytest.mark.parametrize('part', [0.2, 0.5, 0.9])
    def test_an_end_marker_behind_half_the_data(
        self, part: float, shape: tuple[int, ...], interval: int
    ) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        whole = jpeg(pixels, cv2.IMWRITE_JPEG_RST_INTERVAL, interval)
        cut = whole[: int(len(whole) * part)].rstrip(b'\xff') + b'\xff\xd9'
        assert decode_compressed_image(CompressedImage(data=array('B', whole))).shape == shape
        with pytest.raises(ImageError, match='its data end before the image does'):
            decode_compressed_image(CompressedImage(data=array('B', cut)))

    @pytest.mark.parametrize('shape', [(64, 64), (61, 77, 3), (40, 9)])
    def test_an_image_that_ends_in_gray_is_whole(self, shape: tuple[int, ...]) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        pixels[shape[0] // 4 :] = 128
        gray = CompressedImage(data=array('B', jpeg(pixels)))
        assert (decode_compressed_image(gray)[-1] == 128).all()

    def test_a_png_whose_pixels_were_changed(self) -> None:
        image = message(BGR, '.png', 'png')
        image.data[image.data.tobytes().index(b'IDAT') + 6] ^= 0x55
        with pytest.raises(ImageError, match='wrong checksum of its part IDAT'):
            decode_compressed_image(image)

    def test_a_png_that_only_mentions_its_end(self) -> None:
        data = message(BGR, '.png', 'png').data.tobytes()
        image = CompressedImage(format='png', data=array('B', data[:60] + b'IEND'))
        with pytest.raises(ImageError, match='cut short'):
            decode_compressed_image(image)


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
@pytest.mark.parametrize('shape', [(3, 5), (480, 640, 3)])
def test_announced_size(extension: str, shape: tuple[int, ...]) -> None:
    _, data = cv2.imencode(extension, np.zeros(shape, np.uint8))
    assert announced_size(data.tobytes()) == (shape[1], shape[0])


def test_announced_size_of_another_format_is_unknown() -> None:
    assert announced_size(b'BM and so on') == (0, 0)
