"""The subpixel step of the `sgbm` backend: planted fractions, and what it must leave alone."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.backends.subpixel import refine
from s2m2_ros.inference.sgbm_options import SgbmOptions

ByteImage = npt.NDArray[np.uint8]
HEIGHT = 200
MARGIN = 64


def planted(width: int, disparity: float, sigma: float) -> tuple[ByteImage, ByteImage]:
    """Return two views of a plane, exact for fractions too: moved by its Fourier series."""
    texture = np.random.default_rng(0).normal(size=(HEIGHT, width + 2 * MARGIN))
    if sigma:
        texture = np.asarray(cv2.GaussianBlur(texture, (0, 0), sigma))
    texture *= 40 / texture.std()
    phase = np.exp(2j * np.pi * np.fft.rfftfreq(texture.shape[1]) * disparity)
    moved = np.fft.irfft(np.fft.rfft(texture, axis=1) * phase, texture.shape[1], axis=1)
    left, right = (
        np.clip(view[:, MARGIN:-MARGIN] + 128, 0, 255).round().astype(np.uint8)
        for view in (texture, moved)
    )
    return left, right


def median_error(left: ByteImage, right: ByteImage, disparity: float, **options: bool) -> float:
    matcher = StereoMatcher.open(backend='sgbm', sgbm=SgbmOptions(**options))
    found = matcher.match(left, right).disparity.numpy()
    inner = found[12:-12, 60:-60]
    assert np.isfinite(inner).mean() > 0.95
    return float(np.nanmedian(inner) - disparity)


@pytest.mark.parametrize('fraction', [0.0, 0.25, 0.375, 0.5, 0.625, 0.75])
@pytest.mark.parametrize('width', [640, 1280, 1330])
@pytest.mark.parametrize('sigma', [0.0, 2.5])
def test_planted_fractions_are_found(width: int, sigma: float, fraction: float) -> None:
    views = planted(width, 33 + fraction, sigma)
    assert abs(median_error(*views, 33 + fraction)) < (0.03 if sigma else 0.1)


def test_without_the_step_whole_pixels_are_preferred() -> None:
    """33 px of 1280 are 20.625 px at the working width, and came out as 20.94."""
    views = planted(1280, 33, 2.5)
    assert median_error(*views, 33, refine_subpixel=False) > 0.4
    assert abs(median_error(*views, 33)) < 0.02


@pytest.mark.parametrize(('gain', 'offset'), [(0.75, 15), (1.0, 30), (1.2, -20)])
def test_gain_and_offset_of_one_view_do_not_matter(gain: float, offset: float) -> None:
    left, right = planted(640, 20.3, 2.5)
    changed = np.clip(right * gain + offset, 0, 255).round().astype(np.uint8)
    start = np.full(left.shape, 20.5, np.float32)
    found = refine(start, left, changed)[12:-12, 60:-60]
    assert np.median(found) == pytest.approx(20.3, abs=0.02)


def test_unknown_pixels_stay_unknown_and_no_others_become_it() -> None:
    left, right = planted(640, 20.3, 2.5)
    start = np.full(left.shape, 20.5, np.float32)
    start[np.random.default_rng(1).random(left.shape) < 0.4] = np.nan
    found = refine(start, left, right)
    assert found.dtype == np.float32
    assert np.array_equal(np.isnan(found), np.isnan(start))
    # Those around them are refined all the same.
    assert np.nanmedian(found[12:-12, 60:-60]) == pytest.approx(20.3, abs=0.02)
    unknown = np.full_like(start, np.nan)
    assert np.isnan(refine(unknown, left, right)).all()


@pytest.mark.parametrize('noise', [0.0, 1.0])
def test_without_texture_it_stays_as_it_is(noise: float) -> None:
    random = np.random.default_rng(2)
    left, right = (
        (128 + noise * random.normal(size=(HEIGHT, 320))).round().astype(np.uint8) for _ in '12'
    )
    start = np.full(left.shape, 9.25, np.float32)
    changed = refine(start, left, right) != start
    assert changed.mean() < 0.001


def test_what_does_not_match_stays_as_it_is() -> None:
    left, right = planted(640, 20, 2.5)
    start = np.full(left.shape, 20.0, np.float32)
    assert (refine(start, left, right[::-1].copy()) == start).mean() > 0.9


def test_no_pixel_moves_by_more_than_the_limit_and_twice_gives_the_same_bytes() -> None:
    left, right = planted(640, 20.6, 1.5)
    start = np.full(left.shape, 20.0, np.float32)
    found = refine(start, left, right)
    assert np.abs(found - start).max() <= 0.75 + 1e-5
    assert found.tobytes() == refine(start, left, right).tobytes()
