"""Semi-global matching: known shifts, the left-right check, a real pair with truth."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.backends.sgbm import (
    check_consistency,
    confidence_of,
    remove_speckles,
)
from s2m2_ros.inference.sgbm_options import SgbmOptions, nearest_depth, search_range


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
    assert (result.confidence.numpy()[~unknown] > 0.3).all()
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
    disparity, difference = check_consistency(of_left, of_right)
    assert np.array_equal(disparity, [[nan, 1.0, nan, nan, 1.5, nan]], equal_nan=True)
    assert difference.tolist() == [[0, 0.5, 0, 0, 0.25, 0]]


def test_confidence_follows_the_known_fraction_around_a_pixel() -> None:
    full = np.full((40, 40), 8.0, np.float32)
    agreeing = np.zeros_like(full)
    assert confidence_of(full, agreeing) == pytest.approx(0.996)
    # A disagreement of 0.5 px takes 6 %.
    assert confidence_of(full, agreeing + 0.5) == pytest.approx(0.996 * 0.94)
    # At half the width 4 px are 2 px: 2 % less likely.
    assert confidence_of(full, agreeing, 0.5) == pytest.approx(0.996 * 0.98)
    half = full.copy()
    half[:, ::2] = np.nan
    confidence = confidence_of(half, agreeing)
    assert (confidence[:, ::2] == 0).all()
    # 7 or 8 of 15 columns are known: between 0.51 at 0.4 and 0.69 at 0.6.
    assert 0.55 < confidence[20, 21] < 0.65


def test_confidence_is_calibrated_on_a_real_pair(
    motorcycle: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float32]],
) -> None:
    left, right, truth = motorcycle
    result = StereoMatcher.open(backend='sgbm').match(left, right)
    confidence = result.confidence.numpy()
    error = np.abs(result.disparity.numpy() - truth)
    for low, high in ((0.6, 0.8), (0.8, 0.95), (0.95, 1.0)):
        judged = np.isfinite(error) & (confidence >= low) & (confidence < high)
        assert (error[judged] < 4).mean() == pytest.approx(confidence[judged].mean(), abs=0.08)


def test_speckles_are_removed_and_regions_kept() -> None:
    disparity = np.full((40, 60), np.nan, np.float32)
    disparity[2:12, 2:12] = 5.0  # 100 pixels
    disparity[2:12, 20:32] = 7.0  # 120 pixels
    disparity[20:30, 2:12] = 9.0  # 100 pixels each, a step of more than 1 px apart
    disparity[20:30, 12:22] = 11.0
    kept = np.isfinite(remove_speckles(disparity, 100))
    assert kept.sum() == 120
    assert kept[2:12, 20:32].all()
    assert np.array_equal(remove_speckles(disparity, 0), disparity, equal_nan=True)


@pytest.mark.parametrize(('height', 'width'), [(120, 320), (240, 640), (360, 1280)])
def test_a_wall_nearer_than_the_search_leaves_hardly_any_point(height: int, width: int) -> None:
    shift = width * 2 // 5
    left = noise(height, width)
    right = np.roll(left, -shift, axis=1)
    result = StereoMatcher.open(backend='sgbm').match(left, right)
    assert result.disparity.isfinite().float().mean() < 0.005
    wide = StereoMatcher.open(backend='sgbm', sgbm=SgbmOptions(search_fraction=0.5))
    inner = wide.match(left, right).disparity[8:-8, shift + 8 : -8]
    assert (inner - shift).abs().nanmedian() < 0.1 * max(1, width / 800)
    assert inner.isfinite().float().mean() > 0.9


@pytest.mark.parametrize('width', [320, 640, 1280])
def test_a_photographed_wall_nearer_than_the_search_leaves_hardly_any_point(
    motorcycle: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float32]],
    width: int,
) -> None:
    shift = width * 2 // 5
    wall = np.asarray(cv2.resize(motorcycle[0], (width + shift, width)))
    left, right = (np.ascontiguousarray(wall[:, at : at + width]) for at in (0, shift))
    result = StereoMatcher.open(backend='sgbm').match(left, right)
    assert result.disparity.isfinite().float().mean() < 0.005
    # Without the filters it is the phantom that was reported.
    options = SgbmOptions(speckle_size=0, min_support=0)
    phantom = StereoMatcher.open(backend='sgbm', sgbm=options).match(left, right)
    assert phantom.disparity.isfinite().float().mean() > 0.1


@pytest.mark.parametrize('side', [24, 40, 80])
def test_an_object_before_a_white_wall_is_kept(side: int) -> None:
    left, right = (np.full((240, 320), 230, np.uint8) for _ in range(2))
    left[100 : 100 + side, 150 : 150 + side] = noise(side, side)
    right[100 : 100 + side, 138 : 138 + side] = noise(side, side)
    disparity = StereoMatcher.open(backend='sgbm').match(left, right).disparity
    inner = disparity[104 : 96 + side, 154 : 146 + side]
    assert inner.isfinite().float().mean() > 0.9
    assert (inner - 12).abs().nanmedian() < 0.1


def test_a_near_object_beyond_the_search_does_not_take_the_scene_behind() -> None:
    background = noise(240, 400)
    left, right = background[:, 8:328].copy(), background[:, 18:338].copy()
    near = np.random.default_rng(9).integers(0, 256, (240, 70), np.uint8)
    left[:, 200:270], right[:, 60:130] = near, near
    disparity = StereoMatcher.open(backend='sgbm').match(left, right).disparity
    assert disparity[:, 200:270].isfinite().float().mean() < 0.1
    behind = disparity[8:-8, 150:190]
    assert behind.isfinite().float().mean() > 0.8
    assert (behind - 10).abs().nanmedian() < 0.1


def test_unrelated_images_leave_hardly_any_point() -> None:
    for smooth in (False, True):
        left, right = noise(240, 320), np.random.default_rng(5).integers(0, 256, (240, 320))
        views = [view.astype(np.uint8) for view in (left, right)]
        if smooth:
            views = [np.asarray(cv2.GaussianBlur(view, (0, 0), 1.5)) for view in views]
        result = StereoMatcher.open(backend='sgbm').match(*views)
        assert result.disparity.isfinite().float().mean() < 0.01


def test_the_filters_cost_under_one_per_cent_of_a_real_pair(
    motorcycle: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float32]],
) -> None:
    left, right, _ = motorcycle
    known = [
        StereoMatcher.open(backend='sgbm', sgbm=options)
        .match(left, right)
        .disparity.isfinite()
        .float()
        .mean()
        for options in (SgbmOptions(speckle_size=0, min_support=0), SgbmOptions())
    ]
    assert known[0] - known[1] < 0.01


def test_wide_images_are_matched_smaller_and_scaled_back() -> None:
    # Texture that survives shrinking, shifted by 48 px at 1600 px: 24 px at the working width.
    coarse = noise(120, 400)
    left = np.asarray(cv2.resize(coarse, (1600, 480), interpolation=cv2.INTER_CUBIC))
    result = StereoMatcher.open(backend='sgbm').match(left, np.roll(left, -48, axis=1))
    inner = result.disparity[16:-16, 80:-16]
    assert inner.shape == (448, 1504)
    assert inner.isfinite().float().mean() > 0.95
    assert (inner - 48).abs().nanmedian() < 0.2
    # Unknown pixels stay unknown in all maps.
    unknown = result.disparity.isnan()
    assert (result.confidence[unknown] == 0).all()
    assert (result.visibility[unknown] == 0).all()
    assert (result.confidence[~unknown] > 0).all()


def test_images_that_would_get_too_small_keep_their_size() -> None:
    left = noise(40, 1280)
    result = StereoMatcher.open(backend='sgbm').match(left, np.roll(left, -9, axis=1))
    assert (result.disparity[8:-8, 40:-16] - 9).abs().nanmedian() < 0.1


def test_the_plain_setting_is_that_of_opencv(
    motorcycle: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float32]],
) -> None:
    left, right, _ = motorcycle
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=64,
        blockSize=5,
        P1=8 * 3 * 5**2,
        P2=32 * 3 * 5**2,
        disp12MaxDiff=1,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=1,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    views = [cv2.cvtColor(view, cv2.COLOR_RGB2GRAY) for view in (left, right)]
    fixed = np.asarray(matcher.compute(*views))
    expected = np.where(fixed < 0, np.nan, fixed / 16)
    options = SgbmOptions.plain(search_fraction=64 / left.shape[1])
    found = StereoMatcher.open(backend='sgbm', sgbm=options).match(left, right).disparity.numpy()
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.array_equal(found, expected, equal_nan=True)


def test_search_range_covers_the_fraction_in_steps_of_16() -> None:
    assert search_range(640) == (0, 160)
    assert search_range(741) == (0, 192)
    assert search_range(32) == (0, 16)
    assert search_range(640, 0.5) == (0, 320)
    # A quarter of it lies below 0; the largest stays.
    assert search_range(640, allow_negative=True) == (-32, 192)


def test_the_largest_disparity_and_nearest_depth_in_pixels_of_the_images() -> None:
    options = SgbmOptions()
    assert options.max_disparity(640) == 160
    # 3840 px are matched at 800 px with 208 disparities, each worth 4.8 px.
    assert options.max_disparity(3840) == pytest.approx(208 * 4.8)
    # f = 250 px, B = 0.1 m: 80 px are 0.3125 m.
    assert nearest_depth(250, 0.1, 80) == pytest.approx(0.3125)


@pytest.mark.parametrize(
    'wrong',
    [
        {'search_fraction': 0.0},
        {'search_fraction': 1.5},
        {'search_fraction': float('nan')},
        {'working_width': 16},
        {'working_width': -1},
        {'speckle_size': -1},
        {'uniqueness_ratio': 100},
        {'min_support': 1.0},
    ],
)
def test_options_out_of_range_are_named(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        SgbmOptions(**wrong)  # type: ignore[arg-type]
