"""Image messages, compared with bytes packed by hand and with OpenCV itself."""

from __future__ import annotations

import array
import struct
from typing import Any

import cv2
import numpy as np
import pytest
from cv_bridge import CvBridge, CvBridgeError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

BRIDGE = CvBridge()


def image_message(
    encoding: str, height: int, width: int, data: bytes, *, step: int = 0, bigendian: bool = False
) -> Image:
    return Image(
        encoding=encoding,
        height=height,
        width=width,
        step=step or len(data) // height,
        is_bigendian=int(bigendian),
        data=array.array('B', data),
    )


def one_pixel(encoding: str, *values: int, target: str) -> list[int]:
    """Convert a single pixel and return its channels."""
    data = struct.pack(f'={len(values)}{"H" if encoding.endswith("16") else "B"}', *values)
    pixels = BRIDGE.imgmsg_to_cv2(image_message(encoding, 1, 1, data), target)
    return [int(value) for value in np.ravel(pixels)]


def test_passthrough_is_a_view_in_the_shape_of_the_image() -> None:
    message = image_message('rgb8', 2, 3, bytes(range(18)))
    image = BRIDGE.imgmsg_to_cv2(message)
    np.testing.assert_array_equal(image, np.arange(18, dtype=np.uint8).reshape(2, 3, 3))
    assert np.shares_memory(image, np.frombuffer(message.data, dtype=np.uint8))


@pytest.mark.parametrize('encoding', ['mono8', '8UC1', 'bayer_rggb8'])
def test_one_channel_has_two_dimensions(encoding: str) -> None:
    assert BRIDGE.imgmsg_to_cv2(image_message(encoding, 2, 3, bytes(6))).shape == (2, 3)


@pytest.mark.parametrize(
    ('encoding', 'dtype', 'channels'),
    [
        ('mono16', np.uint16, 1),
        ('rgba8', np.uint8, 4),
        ('bgr16', np.uint16, 3),
        ('bayer_grbg16', np.uint16, 1),
        ('yuv422', np.uint8, 2),
        ('yuv422_yuy2', np.uint8, 2),
        ('8SC3', np.int8, 3),
        ('16SC1', np.int16, 1),
        ('32SC2', np.int32, 2),
        ('32FC1', np.float32, 1),
        ('64FC4', np.float64, 4),
    ],
)
def test_element_type_and_channels_follow_the_encoding(
    encoding: str, dtype: Any, channels: int
) -> None:
    size = np.dtype(dtype).itemsize * channels
    image = BRIDGE.imgmsg_to_cv2(image_message(encoding, 2, 3, bytes(6 * size)))
    assert image.dtype == dtype
    assert image.shape == ((2, 3) if channels == 1 else (2, 3, channels))


def test_padding_at_the_end_of_rows_is_left_out() -> None:
    data = bytes([1, 2, 3, 4, 5, 6, 99, 99, 7, 8, 9, 10, 11, 12, 99, 99])
    image = BRIDGE.imgmsg_to_cv2(image_message('bgr8', 2, 2, data))
    assert image.tolist() == [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]
    depth = struct.pack('=2H4x2H4x', 1, 1000, 2, 2000)
    image = BRIDGE.imgmsg_to_cv2(image_message('16UC1', 2, 2, depth))
    assert image.tolist() == [[1, 1000], [2, 2000]]


@pytest.mark.parametrize(('encoding', 'code'), [('16UC1', 'H'), ('32FC1', 'f'), ('mono16', 'H')])
@pytest.mark.parametrize('bigendian', [False, True])
def test_byte_order_of_the_message_is_honored(encoding: str, code: str, bigendian: bool) -> None:
    data = struct.pack(f'{">" if bigendian else "<"}4{code}', 1, 2, 300, 4000)
    image = BRIDGE.imgmsg_to_cv2(image_message(encoding, 2, 2, data, bigendian=bigendian))
    assert image.tolist() == [[1, 2], [300, 4000]]
    assert image.dtype.isnative


def test_big_endian_with_padding_converts() -> None:
    message = image_message('mono16', 1, 2, struct.pack('>2H3x', 0, 65535), bigendian=True)
    assert BRIDGE.imgmsg_to_cv2(message, 'mono8').tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ('source', 'values', 'target', 'expected'),
    [
        ('rgb8', (1, 2, 3), 'bgr8', [3, 2, 1]),
        ('bgr8', (1, 2, 3), 'rgba8', [3, 2, 1, 255]),
        ('rgba8', (1, 2, 3, 77), 'bgr8', [3, 2, 1]),
        ('bgra8', (1, 2, 3, 77), 'rgba8', [3, 2, 1, 77]),
        ('mono8', (9,), 'bgr8', [9, 9, 9]),
        ('mono8', (9,), 'rgba8', [9, 9, 9, 255]),
        # ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B
        ('rgb8', (255, 0, 0), 'mono8', [76]),
        ('rgb8', (0, 255, 0), 'mono8', [150]),
        ('rgb8', (0, 0, 255), 'mono8', [29]),
        ('bgr8', (255, 0, 0), 'mono8', [29]),
        # 8 and 16 bits: white stays white, 65535 / 255 = 257
        ('mono8', (3,), 'mono16', [771]),
        ('mono16', (65535,), 'mono8', [255]),
        ('mono16', (771,), 'mono8', [3]),
        ('mono16', (900,), 'mono8', [4]),  # 3.502
        ('rgb16', (257, 514, 65535), 'bgr8', [255, 2, 1]),
        # without color: only the type
        ('mono8', (7,), '8UC1', [7]),
        ('bgr8', (1, 2, 3), '8UC3', [1, 2, 3]),
    ],
)
def test_pixel_by_hand(
    source: str, values: tuple[int, ...], target: str, expected: list[int]
) -> None:
    assert one_pixel(source, *values, target=target) == expected


def test_conversion_leaves_the_message_alone() -> None:
    message = image_message('bgr8', 2, 2, bytes(range(12)))
    for target in ('bgr8', '8UC3', 'rgb8'):
        BRIDGE.imgmsg_to_cv2(message, target)[:] = 255
    assert bytes(message.data) == bytes(range(12))


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_mosaic_of_one_color_gives_that_color(pattern: str, bits: int) -> None:
    scale = 1 if bits == 8 else 257
    color = {'r': 200 * scale, 'g': 120 * scale, 'b': 40 * scale}
    dtype = np.uint8 if bits == 8 else np.uint16
    tile = np.array([color[letter] for letter in pattern], dtype=dtype).reshape(2, 2)
    message = image_message(f'bayer_{pattern}{bits}', 8, 8, np.tile(tile, (4, 4)).tobytes())
    for order in ('rgb', 'bgr'):
        image = BRIDGE.imgmsg_to_cv2(message, f'{order}{bits}')
        assert image.shape == (8, 8, 3)
        assert image[3, 4].tolist() == [color[letter] for letter in order]
    assert BRIDGE.imgmsg_to_cv2(message, 'rgb8')[3, 4].tolist() == [200, 120, 40]
    gray = BRIDGE.imgmsg_to_cv2(message, 'mono8')[3, 4]
    assert gray == pytest.approx(0.299 * 200 + 0.587 * 120 + 0.114 * 40, abs=1)


@pytest.mark.parametrize(
    ('encoding', 'layout'), [('yuv422', 'UYVY'), ('yuv422_yuy2', 'YUYV'), ('uyvy', 'UYVY')]
)
def test_yuv422_by_hand(encoding: str, layout: str) -> None:
    def two_pixels(luma: int, u: int, v: int, target: str) -> Any:
        data = bytes({'U': u, 'Y': luma, 'V': v}[letter] for letter in layout)
        return BRIDGE.imgmsg_to_cv2(image_message(encoding, 1, 2, data), target)

    # ITU-R BT.601: luma from 16 (black) to 235 (white); R = 1.164 (Y-16) + 1.596 (V-128)
    assert two_pixels(235, 128, 128, 'bgr8').tolist() == [[[255] * 3] * 2]
    assert two_pixels(16, 128, 128, 'rgb8').tolist() == [[[0] * 3] * 2]
    red, green, blue = two_pixels(81, 90, 240, 'rgb8')[0, 0].astype(int)
    assert (red, green, blue) == pytest.approx((255, 0, 0), abs=2)
    assert two_pixels(81, 90, 240, 'bgr8')[0, 1].tolist() == [blue, green, red]
    assert two_pixels(100, 5, 250, 'mono8').tolist() == [[100, 100]]


@pytest.mark.parametrize('source', ['rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8'])
@pytest.mark.parametrize('target', ['rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8'])
def test_colors_agree_with_opencv(source: str, target: str) -> None:
    channels = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}[source]
    shape = (5, 7) if channels == 1 else (5, 7, channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    result = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(pixels, source), target)
    names = [name[:-1].upper().replace('MONO', 'GRAY') for name in (source, target)]
    code = getattr(cv2, f'COLOR_{names[0]}2{names[1]}') if source != target else None
    expected = pixels if code is None else cv2.cvtColor(pixels, code)
    np.testing.assert_array_equal(result, expected)


def test_depth_changes_type_without_scaling() -> None:
    millimeters = image_message('16UC1', 1, 2, struct.pack('=2H', 0, 1234))
    image = BRIDGE.imgmsg_to_cv2(millimeters, '32FC1')
    assert image.dtype == np.float32
    assert image.tolist() == [[0.0, 1234.0]]
    meters = image_message('32FC1', 1, 3, struct.pack('=3f', -5.0, 1.6, 1e6))
    assert BRIDGE.imgmsg_to_cv2(meters, '16UC1').tolist() == [[0, 2, 65535]]


@pytest.mark.parametrize(
    ('source', 'target'),
    [
        ('16UC1', 'mono8'),
        ('16UC1', 'mono16'),
        ('8UC3', 'bgr8'),
        ('32FC1', 'mono8'),
        ('bgr8', '8UC1'),
        ('8UC1', '8UC3'),
        ('mono8', 'bayer_rggb8'),
        ('mono8', 'no_such_encoding'),
        ('no_such_encoding', 'passthrough'),
    ],
)
def test_conversion_without_a_meaning_is_refused(source: str, target: str) -> None:
    with pytest.raises(CvBridgeError):
        BRIDGE.imgmsg_to_cv2(image_message(source, 2, 2, bytes(48)), target)


def test_too_little_data_is_a_type_error() -> None:
    assert issubclass(CvBridgeError, TypeError)
    with pytest.raises(TypeError):
        BRIDGE.imgmsg_to_cv2(image_message('mono8', 4, 4, bytes(15), step=4))


@pytest.mark.usefixtures('stand_in_only')
def test_step_shorter_than_a_row_is_an_error_that_names_the_step() -> None:
    with pytest.raises(CvBridgeError, match='step of 8'):
        BRIDGE.imgmsg_to_cv2(image_message('rgb8', 2, 4, bytes(16), step=8))


def test_message_of_an_array_has_its_size_step_and_bytes() -> None:
    header = Header(frame_id='left')
    pixels = np.arange(24, dtype=np.uint16).reshape(2, 4, 3)
    message = BRIDGE.cv2_to_imgmsg(pixels, 'bgr16', header=header)
    assert (message.height, message.width, message.step) == (2, 4, 24)
    assert (message.encoding, message.is_bigendian) == ('bgr16', 0)
    assert bytes(message.data) == struct.pack('<24H', *range(24))
    assert message.header.frame_id == 'left'


def test_message_of_a_slice_holds_the_slice_only() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    message = BRIDGE.cv2_to_imgmsg(pixels[::2, 1:4], 'mono8')
    assert bytes(message.data) == bytes([1, 2, 3, 13, 14, 15])
    assert message.step == 3
    pixels[:] = 0
    assert bytes(message.data) == bytes([1, 2, 3, 13, 14, 15])


def test_message_of_a_big_endian_array_says_so() -> None:
    message = BRIDGE.cv2_to_imgmsg(np.array([[1, 258]], dtype='>u2'), '16UC1')
    assert message.is_bigendian
    assert bytes(message.data) == bytes([0, 1, 1, 2])
    assert BRIDGE.imgmsg_to_cv2(message).tolist() == [[1, 258]]


@pytest.mark.parametrize(
    ('dtype', 'shape', 'encoding'),
    [
        (np.uint8, (2, 2), '8UC1'),
        (np.uint8, (2, 2, 3), '8UC3'),
        (np.uint16, (2, 2, 1), '16UC1'),
        (np.int16, (2, 2), '16SC1'),
        (np.float32, (2, 2), '32FC1'),
        (np.float64, (2, 2, 4), '64FC4'),
    ],
)
def test_passthrough_names_the_type(dtype: Any, shape: tuple[int, ...], encoding: str) -> None:
    assert BRIDGE.cv2_to_imgmsg(np.zeros(shape, dtype)).encoding == encoding


@pytest.mark.parametrize(
    ('dtype', 'shape', 'encoding'),
    [
        (np.uint8, (2, 2), 'bgr8'),
        (np.uint8, (2, 2, 3), 'mono8'),
        (np.uint16, (2, 2, 3), 'rgb8'),
        (np.float32, (2, 2), '16UC1'),
        (np.uint8, (2, 2), 'no_such_encoding'),
    ],
)
def test_encoding_of_another_type_is_refused(
    dtype: Any, shape: tuple[int, ...], encoding: str
) -> None:
    with pytest.raises(CvBridgeError):
        BRIDGE.cv2_to_imgmsg(np.zeros(shape, dtype), encoding)


def test_lists_are_not_images() -> None:
    not_an_array: Any = [[1, 2]]
    with pytest.raises(TypeError):
        BRIDGE.cv2_to_imgmsg(not_an_array)
    with pytest.raises(TypeError):
        BRIDGE.cv2_to_compressed_imgmsg(not_an_array)


@given(
    pixels=hnp.arrays(
        st.sampled_from(['u1', '<u2', '>u2', 'i2', '<f4', '>f4', 'f8']),
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(2, 4)),
    ),
    padding=st.integers(0, 3),
)
def test_whatever_is_written_is_read(pixels: Any, padding: int) -> None:
    message = BRIDGE.cv2_to_imgmsg(pixels)
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message), pixels)
    rows = np.frombuffer(message.data, dtype=np.uint8).reshape(message.height, -1)
    pixel_size = pixels.itemsize * pixels.shape[2]
    padded = np.pad(rows, [(0, 0), (0, padding * pixel_size)], constant_values=255)
    message.step, message.data = padded.shape[1], array.array('B', padded.tobytes())
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message), pixels)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('shape', [(4, 6), (4, 6, 3), (4, 6, 4)])
def test_png_comes_back_exactly(dtype: Any, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
    message = BRIDGE.cv2_to_compressed_imgmsg(pixels, 'png')
    assert bytes(message.data)[:4] == b'\x89PNG'
    assert message.format == 'png'
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(message), pixels)


def test_jpg_is_the_default_and_comes_back_nearly() -> None:
    pixels = np.full((16, 16, 3), (200, 100, 50), dtype=np.uint8)
    message = BRIDGE.cv2_to_compressed_imgmsg(pixels)
    assert message.format == 'jpg'
    assert bytes(message.data)[:2] == b'\xff\xd8'
    back = BRIDGE.compressed_imgmsg_to_cv2(message)
    np.testing.assert_allclose(back, pixels, atol=3)
    rgb = BRIDGE.compressed_imgmsg_to_cv2(message, 'rgb8')
    np.testing.assert_allclose(rgb[..., ::-1], pixels, atol=3)
    gray = BRIDGE.compressed_imgmsg_to_cv2(message, 'mono8')
    assert gray.shape == (16, 16)
    np.testing.assert_allclose(gray, 0.114 * 200 + 0.587 * 100 + 0.299 * 50, atol=3)


def test_file_written_by_opencv_is_read() -> None:
    pixels = np.arange(96, dtype=np.uint8).reshape(4, 8, 3)
    data = cv2.imencode('.png', pixels)[1].tobytes()
    message = CompressedImage(format='bgr8; png compressed bgr8', data=array.array('B', data))
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(message, 'bgr8'), pixels)


@pytest.mark.usefixtures('stand_in_only')
def test_compressed_gray_and_16_bits_convert() -> None:
    gray = BRIDGE.cv2_to_compressed_imgmsg(np.full((2, 2), 7, np.uint8), 'png')
    assert BRIDGE.compressed_imgmsg_to_cv2(gray, 'bgr8')[0, 0].tolist() == [7, 7, 7]
    assert BRIDGE.compressed_imgmsg_to_cv2(gray, 'mono8').tolist() == [[7, 7], [7, 7]]
    deep = BRIDGE.cv2_to_compressed_imgmsg(np.full((1, 1), 771, np.uint16), 'png')
    assert BRIDGE.compressed_imgmsg_to_cv2(deep, 'mono8').tolist() == [[3]]


@pytest.mark.usefixtures('stand_in_only')
@pytest.mark.parametrize('data', [b'', b'\xff\xd8 this is no image'])
def test_undecodable_file_is_an_error_that_names_the_format(data: bytes) -> None:
    message = CompressedImage(format='jpeg', data=array.array('B', data))
    with pytest.raises(CvBridgeError, match='jpeg'):
        BRIDGE.compressed_imgmsg_to_cv2(message)


@pytest.mark.usefixtures('stand_in_only')
def test_unknown_file_format_is_an_error() -> None:
    with pytest.raises(CvBridgeError):
        BRIDGE.cv2_to_compressed_imgmsg(np.zeros((2, 2), np.uint8), 'nosuchformat')
