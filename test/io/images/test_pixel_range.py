"""The range of deep images: found, shared by both images, steady, and told."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2m2_ros.errors import ImageError, S2M2Error
from s2m2_ros.io.images.pixel_range import SETTINGS, PixelRange, scale_pair
from s2m2_ros.io.images.raw_image import RawImage, raw_image

GRAY = np.random.default_rng(0).integers(5, 250, (60, 80))


def pair(pixels: npt.NDArray[np.generic]) -> tuple[RawImage, RawImage]:
    """Return one image as left and, moved by 4 columns, as right."""
    return raw_image(pixels), raw_image(np.roll(pixels, -4, axis=1))


def scaled(pixels: npt.NDArray[np.generic], pixel_range: PixelRange) -> npt.NDArray[np.float32]:
    left, right = scale_pair(*pair(pixels), pixel_range)
    np.testing.assert_array_equal(right, np.roll(left, -4, axis=1))
    return left


@pytest.mark.parametrize('bits', [8, 10, 12, 14, 16])
def test_the_bits_of_a_sensor_in_16_are_found(bits: int) -> None:
    pixel_range = PixelRange()
    pixels = (GRAY * ((1 << bits) - 1) / 255).astype(np.uint16)
    found = scaled(pixels, pixel_range)
    np.testing.assert_allclose(found, pixels / ((1 << bits) - 1) * 255, rtol=1e-5)
    if bits == 16:
        assert pixel_range.note is None
    else:
        assert pixel_range.note is not None
        assert f'{(1 << bits) - 1} as white' in pixel_range.note.text
        assert 'set the pixel range' in pixel_range.note.text


@pytest.mark.parametrize('low', [3000, 7400, 29000, 60000])
def test_thermal_counts_in_a_narrow_band_get_a_range_of_their_own(low: int) -> None:
    pixels = (low + GRAY * 2).astype(np.uint16)
    found = scaled(pixels, PixelRange())
    assert found.min() > 0
    assert found.max() < 255
    # 490 counts of contrast were 2 of 255 in the range of 16 bits.
    assert found.max() - found.min() > 50
    # Scaling is one factor and one offset.
    slope = np.polyfit(pixels.ravel(), found.ravel(), 1)
    np.testing.assert_allclose(found, np.polyval(slope, pixels), atol=0.05)


@pytest.mark.parametrize('mark', [0, 65535])
def test_the_border_of_rectified_thermal_images_does_not_widen_their_band(mark: int) -> None:
    inside = (7400 + GRAY * 2).astype(np.uint16)
    alone = scaled(inside, PixelRange())
    bordered = inside.copy()
    bordered[:8] = bordered[-8:] = mark
    pixel_range = PixelRange()
    found = scaled(bordered, pixel_range)
    assert np.ptp(found[8:-8]) > 50
    np.testing.assert_allclose(found[8:-8], alone[8:-8], atol=2)
    assert (found[:8] == (255 if mark else 0)).all()
    first = pixel_range.note
    scaled(bordered, pixel_range)
    assert pixel_range.note is first


def test_zeros_of_floating_point_temperatures_do_not_widen_their_band() -> None:
    kelvin = (293 + GRAY / 50).astype(np.float32)
    kelvin[:, :10] = 0
    left, _ = scale_pair(*pair(kelvin), PixelRange())
    assert np.ptp(left[:, 10:]) > 25


def test_zeros_of_an_ordinary_image_are_its_black() -> None:
    dark = (GRAY * 4095 / 255).astype(np.uint16)
    dark[:20] = 0
    found = scaled(dark, PixelRange())
    np.testing.assert_allclose(found, dark / 4095 * 255, rtol=1e-5)


@pytest.mark.parametrize('white', [1.0, 255.0, 1023.0, 65535.0])
def test_floating_point(white: float) -> None:
    pixels = (GRAY / 255 * white).astype(np.float32)
    found = scaled(pixels, PixelRange())
    np.testing.assert_allclose(found, GRAY, atol=0.01)


def test_floating_point_below_zero() -> None:
    degrees = (GRAY / 255 * 30 - 10).astype(np.float32)
    found = scaled(degrees, PixelRange())
    assert 0 < found.min() < 60
    assert 195 < found.max() < 255


def test_resampling_may_overshoot() -> None:
    pixels = (GRAY / 250).astype(np.float32)
    pixels[::7, ::5] = 1.03
    pixels[::9, ::5] = -0.03
    found = scaled(pixels, PixelRange())
    assert found.max() == 255
    assert found.min() == 0
    np.testing.assert_allclose(found[1], pixels[1].clip(0, 1) * 255, atol=0.01)


def test_both_images_share_one_range() -> None:
    left, right = raw_image(np.full((8, 8), 1000, np.uint16)), raw_image(
        np.full((8, 8), 4000, np.uint16)
    )  # fmt: skip
    first, second = scale_pair(left, right, PixelRange())
    assert second[0, 0] / first[0, 0] == pytest.approx(4)


def test_types_that_differ_have_their_own_ranges() -> None:
    deep, shallow = raw_image((GRAY * 4).astype(np.uint16)), raw_image(GRAY.astype(np.uint8))
    left, right = scale_pair(deep, shallow, PixelRange())
    np.testing.assert_allclose(left, GRAY * 4 / 1023 * 255, rtol=1e-5)
    np.testing.assert_array_equal(right, GRAY)
    assert right.dtype == np.uint8


def test_it_widens_at_once_and_never_narrows_until_reset() -> None:
    pixel_range = PixelRange()
    dark, bright = (GRAY * 3).astype(np.uint16), (GRAY * 200).astype(np.uint16)
    np.testing.assert_allclose(scaled(dark, pixel_range), dark / 1023 * 255, rtol=1e-5)
    note = pixel_range.note
    scaled(dark, pixel_range)
    assert pixel_range.note is note
    np.testing.assert_allclose(scaled(bright, pixel_range), bright / 257, rtol=1e-5)
    assert pixel_range.note is not note
    np.testing.assert_allclose(scaled(dark, pixel_range), dark / 257, rtol=1e-5)
    pixel_range.reset()
    np.testing.assert_allclose(scaled(dark, pixel_range), dark / 1023 * 255, rtol=1e-5)


def test_a_band_that_drifts_keeps_its_scale_within_the_margin() -> None:
    pixel_range = PixelRange()
    first = scaled((29000 + GRAY * 20).astype(np.uint16), pixel_range)
    moved = scaled((29200 + GRAY * 20).astype(np.uint16), pixel_range)
    step = (moved - first)[0, 0]
    np.testing.assert_allclose(moved - first, step, atol=1e-3)
    assert step > 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50000), st.integers(0, 60)), min_size=1, max_size=8))
def test_ranges_only_ever_grow(frames: list[tuple[int, int]]) -> None:
    pixel_range, before = PixelRange(), None
    for low, gain in frames:
        image = raw_image((low + GRAY * gain).astype(np.uint16))
        (now,) = pixel_range.update([image])
        if before is not None and gain:
            assert now.low <= before.low
            assert now.high >= before.high
        if gain:
            before = now


def test_the_noise_of_a_blank_image_stays_small() -> None:
    noise = np.random.default_rng(1).integers(-3, 4, (60, 80))
    for level in (10, 64, 240, 600, 3000, 30000):
        found = scaled((level + noise).clip(0).astype(np.uint16), PixelRange())
        assert found.max() - found.min() <= 7
    degrees = (20 + noise * 0.03).astype(np.float32)
    assert np.ptp(scaled(degrees, PixelRange())) <= 7


@pytest.mark.parametrize('level', [0, 65535])
def test_a_blank_first_pair_decides_nothing(level: int) -> None:
    pixel_range, thermal = PixelRange(), (29000 + GRAY * 20).astype(np.uint16)
    expected = scaled(thermal, PixelRange())
    scaled(np.full((60, 80), level, np.uint16), pixel_range)
    np.testing.assert_array_equal(scaled(thermal, pixel_range), expected)


def test_hot_pixels_and_counters_do_not_decide() -> None:
    pixels = (GRAY * 4).astype(np.uint16)
    pixels[0, 0] = 65535
    found = scaled(pixels, PixelRange())
    np.testing.assert_allclose(found[1:], pixels[1:] / 1023 * 255, rtol=1e-5)
    assert found[0, 0] == 255


@pytest.mark.parametrize('bits', ['8', '10', '12', '14', '16'])
def test_a_number_of_bits_is_taken_as_it_is(bits: str) -> None:
    white = (1 << int(bits)) - 1
    pixels = np.array([[0, white // 3, white]], np.uint16)
    left, _ = scale_pair(raw_image(pixels), raw_image(pixels), PixelRange(bits))
    np.testing.assert_allclose(left, [[0, 85, 255]], atol=0.01)


def test_values_above_the_bits_that_were_set_are_white_and_told() -> None:
    pixel_range = PixelRange('10')
    found = scaled((GRAY * 16).astype(np.uint16), pixel_range)
    assert found.max() == 255
    assert pixel_range.note is not None
    assert pixel_range.note.is_warning
    assert '1023 of pixel range 10' in pixel_range.note.text


def test_the_full_range_of_the_type() -> None:
    pixels = (GRAY * 4).astype(np.uint16)
    np.testing.assert_allclose(scaled(pixels, PixelRange('full')), pixels / 257, rtol=1e-6)


def test_eight_bits_stay_as_they_are() -> None:
    for setting in SETTINGS:
        left = GRAY.astype(np.uint8)
        found, _ = scale_pair(raw_image(left), raw_image(left), PixelRange(setting))
        assert found is left


def test_named_bits_are_not_guessed() -> None:
    dark = RawImage((GRAY * 3).astype(np.uint16), 4095.0, exact=True)
    left, _ = scale_pair(dark, dark, PixelRange())
    np.testing.assert_allclose(left, GRAY * 3 / 4095 * 255, rtol=1e-5)


def test_pixels_without_a_number_are_black_and_images_of_them_refused() -> None:
    pixels = (GRAY / 255).astype(np.float32)
    pixels[0, :3] = (np.nan, np.inf, -np.inf)
    left, _ = scale_pair(*pair(pixels), PixelRange())
    assert left[0, :3].tolist() == [0, 0, 0]
    assert left[1:].max() > 240
    with pytest.raises(ImageError, match='no finite value'):
        scale_pair(*pair(np.full((4, 4), np.nan, np.float32)), PixelRange())


def test_another_setting_is_refused() -> None:
    with pytest.raises(S2M2Error, match=r"the pixel range '11' must be one of auto, full, 8"):
        PixelRange('11')


@pytest.mark.parametrize('dtype', ['int64', 'int32', 'uint32', 'int16'])
def test_unusual_integers_are_called_by_their_type(dtype: str) -> None:
    pixels = np.arange(-1 if dtype == 'int16' else 0, 899).reshape(1, -1).astype(dtype)
    pixel_range = PixelRange()
    pixel_range.update([raw_image(pixels)])
    assert pixel_range.note is not None
    assert pixel_range.note.text.startswith(f'{dtype} images with values from ')
