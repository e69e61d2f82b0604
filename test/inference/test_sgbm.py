"""Semi-global matching: known shifts, the left-right check, a real pair with truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.backends.sgbm import check_consistency, search_range


def noise(height: int = 96, width: int = 256) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)


@pytest.mark.parametrize('shift', [0, 5, 17])
def test_shifted_noise_gives_the_shift(shift: int) -> None:
    left = noise()
    result = StereoMatcher.open(backend='sgbm').match(left, np.roll(left, -shift, axis=1))
    inner = result.disparity[8:-8, shift + 8 : -8]
    known = inner[inner.isfinite()]
    assert len(known) > 0.95 * inner.numel()
    assert (known - shift).abs().median() < 0.1


def test_negative_shift_needs_allow_negative() -> None:
    left = noise()
    right = np.roll(left, 6, axis=1)
    strict = StereoMatcher.open(backend='sgbm').match(left, right).disparity
    assert not (strict < 0).any()
    result = StereoMatcher.open(backend='sgbm', allow_negative=True).match(left, right)
    inner = result.disparity[8:-8, 8:-14]
    assert (inner[inner.isfinite()] + 6).abs().median() < 0.1


def test_left_border_without_a_counterpart_is_unknown() -> None:
    left = noise()
    # The first 16 columns of the left view are outside the right one, which shows other noise.
    right = np.concatenate((left[:, 16:], noise()[::-1, :16]), axis=1)
    result = StereoMatcher.open(backend='sgbm').match(left, right)
    border = result.disparity[:, :12]
    assert border.isnan().float().mean() > 0.8
    assert (result.visibility[border.isnan().nonzero(as_tuple=True)] == 0).all()
    assert (result.confidence[border.isnan().nonzero(as_tuple=True)] == 0).all()


def test_unknown_pixels_are_marked_alike_in_all_maps(
    motorcycle: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float32]],
) -> None:
    left, right, truth = motorcycle
    result = StereoMatcher.open(backend='sgbm').match(left, right).cpu()
    disparity = result.disparity.numpy()
    unknown = np.isnan(disparity)
    assert 0.02 < unknown.mean() < 0.3
    assert (result.confidence.numpy()[unknown] == 0).all()
    assert (result.visibility.numpy()[unknown] == 0).all()
    assert (result.confidence.numpy()[~unknown] > 0.5).all()
    judged = np.isfinite(truth) & ~unknown
    # OpenCV alone, holes counted as wrong, has 20.9 % of errors above 2 px here.
    assert (np.abs(disparity - truth)[judged] > 2).mean() < 0.08
    assert ((np.abs(disparity - truth) > 2) | unknown)[np.isfinite(truth)].mean() < 0.209


def test_consistency_by_hand() -> None:
    nan = np.nan
    # Left pixel x matches right pixel x - d, whose own disparity must lead back.
    of_left = np.array([[nan, 1.0, 1.0, 2.0, 1.5, 9.0]], np.float32)
    of_right = np.array([[1.5, 4.0, 1.25, nan, 0.0, 0.0]], np.float32)
    # x=1 -> 0: off by 0.5. x=2 -> 1: off by 3. x=3 -> 1: off by 2. x=4 -> 2 (2.5 rounds to even):
    # off by 0.25. x=5 -> -4: outside.
    disparity, visibility, confidence = check_consistency(of_left, of_right)
    assert np.array_equal(disparity, [[nan, 1.0, nan, nan, 1.5, nan]], equal_nan=True)
    assert visibility.tolist() == [[0, 1, 0, 0, 1, 0]]
    assert confidence[0] == pytest.approx([0, 0.98 - 0.15, 0, 0, 0.98 - 0.075, 0])


def test_search_range_is_a_quarter_of_the_width_in_steps_of_16() -> None:
    assert search_range(640, allow_negative=False) == (0, 160)
    assert search_range(741, allow_negative=False) == (0, 176)
    assert search_range(32, allow_negative=False) == (0, 16)
    assert search_range(640, allow_negative=True) == (-32, 160)
