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
from s2m2_ros.io.compressed_images import announced_size
from s2m2_ros.io.ros_images import decode_compressed_image

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
    def test_grey(self, form: str) -> None:
        decoded = decode_compressed_image(message(RGB[..., 0], '.png', form))
        np.testing.assert_array_equal(decoded, RGB[..., 0])

    def test_grey_jpeg(self) -> None:
        image = message(np.full((16, 16), 90, np.uint8), '.jpg', 'mono8; jpeg compressed ')
        assert decode_compressed_image(image).tolist() == [[90] * 16] * 16

    def test_sixteen_bit_png_is_scaled_like_a_raw_image(self) -> None:
        pixels = np.array([[0, 257], [25700, 65535]], np.uint16)
        decoded = decode_compressed_image(message(pixels, '.png', 'mono16; png compressed '))
        assert decoded.dtype == np.float32
        assert decoded.tolist() == [[0, 1], [100, 255]]

    @pytest.mark.parametrize('bits', [8, 16])
    def test_mosaic_is_interpolated(self, bits: int) -> None:
        scale = 1 if bits == 8 else 257
        kind = np.uint8 if bits == 8 else np.uint16
        mosaic = np.tile(np.array([[200, 100], [100, 50]], kind) * kind(scale), (4, 4))
        form = f'bayer_rggb{bits}; png compressed '
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
        with pytest.raises(ImageError, match='absurd size of 60000x60000'):
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


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
@pytest.mark.parametrize('shape', [(3, 5), (480, 640, 3)])
def test_announced_size(extension: str, shape: tuple[int, ...]) -> None:
    _, data = cv2.imencode(extension, np.zeros(shape, np.uint8))
    assert announced_size(data.tobytes()) == (shape[1], shape[0])


def test_announced_size_of_another_format_is_unknown() -> None:
    assert announced_size(b'BM and so on') == (0, 0)
