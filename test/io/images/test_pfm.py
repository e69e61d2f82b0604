"""Portable float maps, in all the ways in which people write their headers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.io.images.pfm import decode_pfm, encode_pfm

VALUES = np.array([[1.5, -2.0, np.inf], [0.0, 300.25, 7.0]], np.float32)
LIMIT = 10_000


def file(header: bytes, order: str = '<') -> bytes:
    return header + VALUES[::-1].astype(f'{order}f4').tobytes()


@pytest.mark.parametrize(
    'header',
    [
        b'Pf\n3 2\n-1.0\n',
        b'Pf\n3 2\n-0.003922\n',
        b'Pf\n3\n2\n-0.00392157\n',
        b'Pf\n3 2 \n-1.000000 \n',
        b'Pf \n3 2\t\n-1 \t\n',
        b'Pf\r\n3 2\r\n-1\r\n',
        b'Pf 3 2 -1 ',
        b'Pf\n# made by hand\n3 2\n# scale\n-255\n',
        b'Pf #comment\n3 2\n-1e0\n',
        b'Pf\n3 2\n-.5\n',
    ],
)
def test_headers(header: bytes) -> None:
    np.testing.assert_array_equal(decode_pfm(file(header), max_pixels=LIMIT), VALUES)
    np.testing.assert_array_equal(decode_pfm(file(header) + b'\n', max_pixels=LIMIT), VALUES)


@pytest.mark.parametrize('scale', [b'1', b'1.0', b'+1', b'255', b'0.003922'])
def test_a_positive_scale_means_big_endian_and_scales_nothing(scale: bytes) -> None:
    content = file(b'Pf\n3 2\n' + scale + b'\n', '>')
    np.testing.assert_array_equal(decode_pfm(content, max_pixels=LIMIT), VALUES)


@pytest.mark.parametrize('first', [b'\n', b' ', b'\r', b'\t', b'#'])
def test_values_that_look_like_white_space(first: bytes) -> None:
    value = np.frombuffer(first * 4, '<f4')
    content = b'Pf\n1 1\n-1\n' + value.tobytes()
    assert decode_pfm(content, max_pixels=LIMIT)[0, 0] == value[0]


def test_color_maps_have_three_channels() -> None:
    colors = np.arange(18, dtype=np.float32).reshape(2, 3, 3)
    np.testing.assert_array_equal(decode_pfm(encode_pfm(colors), max_pixels=LIMIT), colors)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1 << 30))
def test_what_is_written_is_read(height: int, width: int, seed: int) -> None:
    bits = np.random.default_rng(seed).integers(0, 1 << 32, (height, width), dtype=np.uint32)
    values = bits.view(np.float32)
    found = decode_pfm(encode_pfm(values), max_pixels=LIMIT)
    np.testing.assert_array_equal(found.view(np.uint32), bits)


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'', 'header'),
        (b'Pf\n', 'header'),
        (b'Pf\n3 2\n', 'header'),
        (b'Pf\n3 -2\n-1\n', 'header'),
        (b'Pf\n3.5 2\n-1\n', 'header'),
        (b'PF5\n3 2\n-1\n', 'header'),
        (file(b'Pf\n3 2\n0\n'), 'scale factor of the PFM is 0'),
        (file(b'Pf\n3 2\n--1\n'), 'scale factor'),
        (file(b'Pf\n3 2\n-1\n')[:-1], 'cut short'),
        (b'Pf\n0 2\n-1\n', 'implausible size'),
        (b'Pf\n999999999 999999999\n-1\n', 'implausible size'),
        (b'Pf\n' + b'#' * 100_000, 'header'),
    ],
)
def test_damage(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decode_pfm(content, max_pixels=LIMIT)


@given(st.binary(max_size=80))
def test_anything_is_a_map_or_an_error(tail: bytes) -> None:
    try:
        found = decode_pfm(b'Pf\n' + tail, max_pixels=LIMIT)
    except ValueError:
        return
    assert found.dtype == np.float32
