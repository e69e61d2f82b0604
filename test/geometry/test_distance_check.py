"""Planted planes with a planted error in scale or offset, and what is found of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from s2m2_ros.geometry import PrincipalPoint, RegionOfInterest, StereoCamera
from s2m2_ros.geometry.distance_check import (
    DistanceCheckError,
    ErrorKind,
    RigCorrection,
    TargetMeasurement,
    TargetPlane,
    central_region,
    check_distances,
    corrected,
    fit_target,
    report,
)

# f B = 25 px m: a target at 1 m has 25 px.
CAMERA = StereoCamera(
    320, 240, 250.0, 250.0, 0.1, PrincipalPoint(160.0, 120.0), PrincipalPoint(150.0, 120.0)
)


def measured(distance: float, disparity: float) -> TargetMeasurement:
    return TargetMeasurement(distance, TargetPlane(disparity, 0.05, 1.0, 0.0))


def test_a_flat_target_gives_the_disparity_at_the_center() -> None:
    y, x = np.mgrid[:240, :320]
    disparity = 20 + 0.01 * (x - 159.5) - 0.02 * (y - 119.5)
    disparity = disparity + np.random.default_rng(0).normal(0, 0.2, disparity.shape)
    # A tenth of outliers, and unknown pixels.
    disparity[100:140, 140:160] = 90
    disparity[::7] = np.nan
    plane = fit_target(disparity, CAMERA)
    assert plane.disparity == pytest.approx(20, abs=0.02)
    assert plane.spread == pytest.approx(0.2, abs=0.05)
    assert 0.8 < plane.flat_fraction < 0.95
    # The normal is (0.01 f, -0.02 f, 20.0) in units of disparity: atan(5.59 / 20).
    assert plane.tilt == pytest.approx(
        math.degrees(math.atan(250 * math.hypot(1, 2) / 2000)), abs=0.3
    )


def test_the_region_can_be_chosen() -> None:
    disparity = np.full((240, 320), 10.0)
    disparity[20:80, 200:300] = 30.0
    region = RegionOfInterest(210, 25, 80, 50)
    assert fit_target(disparity, CAMERA, region).disparity == pytest.approx(30)
    assert fit_target(disparity, CAMERA).disparity == pytest.approx(10)
    assert central_region(320, 240) == RegionOfInterest(106, 80, 107, 80)


@pytest.mark.parametrize(
    ('region', 'words'),
    [
        (RegionOfInterest(300, 0, 50, 50), 'must lie inside'),
        (RegionOfInterest(-1, 0, 50, 50), 'must lie inside'),
        (RegionOfInterest(0, 0, 4, 50), 'at least 8x8'),
    ],
)
def test_a_region_outside_is_refused(region: RegionOfInterest, words: str) -> None:
    with pytest.raises(DistanceCheckError, match=words):
        fit_target(np.full((240, 320), 10.0), CAMERA, region)


def test_an_unknown_or_uneven_target_is_refused() -> None:
    with pytest.raises(DistanceCheckError, match='trusted disparity'):
        fit_target(np.full((240, 320), np.nan), CAMERA)
    steps = np.where(np.arange(320) < 160, 10.0, 30.0) * np.ones((240, 1))
    with pytest.raises(DistanceCheckError, match='one plane'):
        fit_target(steps, CAMERA)


def test_right_depth_needs_no_correction() -> None:
    check = check_distances(CAMERA, [measured(1.0, 25.05)])
    assert check.kind is ErrorKind.NONE
    assert check.correction == RigCorrection()
    assert 'no correction is needed' in report(CAMERA, [measured(1.0, 25.05)], check)[-1]


def test_one_distance_gives_both_explanations() -> None:
    # 24 px instead of 25: depth 25 / 24 = 1.0417 m.
    check = check_distances(CAMERA, [measured(1.0, 24.0)])
    assert check.kind is ErrorKind.UNKNOWN
    assert check.correction == RigCorrection()
    assert check.depth_errors[0] == pytest.approx(1 / 24)
    assert check.as_scale.depth_scale == pytest.approx(0.96)
    assert check.as_offset.disparity_offset == pytest.approx(1.0)
    text = '\n'.join(report(CAMERA, [measured(1.0, 24.0)], check))
    for words in ('4.2% (42 mm) too large', 'baseline would be 0.096 m', '240 px instead of 250',
                  'depth_scale = 0.9600', 'disparity_offset = 1.000', '--distance2'):  # fmt: skip
        assert words in text


def test_two_distances_tell_a_scale() -> None:
    # The baseline is 96 mm: 24 px at 1 m, 12 px at 2 m.
    targets = [measured(1.0, 24.0), measured(2.0, 12.0)]
    check = check_distances(CAMERA, targets)
    assert check.kind is ErrorKind.SCALE
    assert check.correction.depth_scale == pytest.approx(0.96)
    assert check.correction.disparity_offset == 0
    assert 'looks like a scale' in report(CAMERA, targets, check)[-1]


def test_two_distances_tell_an_offset() -> None:
    # cx_left - cx_right is 9 px, not 10: one px is missing at any distance.
    targets = [measured(1.0, 24.0), measured(2.5, 9.0)]
    check = check_distances(CAMERA, targets)
    assert check.kind is ErrorKind.OFFSET
    assert check.correction.disparity_offset == pytest.approx(1.0)
    assert check.correction.depth_scale == 1
    assert '9.00 px instead of 10.00 px' in report(CAMERA, targets, check)[-1]


def test_two_distances_tell_both() -> None:
    # d = 0.9 * 25 / Z + 2.
    targets = [measured(0.5, 47.0), measured(2.0, 13.25)]
    check = check_distances(CAMERA, targets)
    assert check.kind is ErrorKind.BOTH
    assert check.correction.depth_scale == pytest.approx(0.9)
    assert check.correction.disparity_offset == pytest.approx(-2.0)
    text = report(CAMERA, targets, check)[-1]
    assert 'depth_scale = 0.9000, disparity_offset = -2.000' in text


def test_close_distances_cannot_separate_them() -> None:
    targets = [measured(1.0, 24.0), measured(1.1, 21.8)]
    check = check_distances(CAMERA, targets)
    assert check.kind is ErrorKind.UNKNOWN
    text = '\n'.join(report(CAMERA, targets, check))
    assert 'too close to each other' in text
    assert 'one distance' not in text


def test_close_distances_that_agree_need_no_correction() -> None:
    targets = [measured(1.0, 25.05), measured(1.1, 22.7)]
    check = check_distances(CAMERA, targets)
    assert check.kind is ErrorKind.NONE
    assert 'no correction is needed' in report(CAMERA, targets, check)[-1]


@pytest.mark.parametrize(
    ('distances', 'words'),
    [
        ((3000.0,), '3000 mm are 3 m'),
        ((1.0, 2000.0), '2000 mm are 2 m'),
        ((99.0,), 'too far apart for a correction'),  # 24 px are 1.04 m
        ((30.0, 60.0), 'too far apart for a correction'),
    ],
)
def test_other_units_than_meters_are_asked_for(distances: tuple[float, ...], words: str) -> None:
    targets = [measured(z, d) for z, d in zip(distances, (24.0, 12.0), strict=False)]
    with pytest.raises(DistanceCheckError, match='were millimeters') as caught:
        check_distances(CAMERA, targets)
    assert words in str(caught.value)


def test_what_is_wrong_with_the_pair_is_named_before_texture() -> None:
    with pytest.raises(DistanceCheckError, match='the rows differ') as caught:
        fit_target(np.full((240, 320), np.nan), CAMERA, suspect='the rows differ')
    assert 'texture' not in str(caught.value)


def test_exchanged_distances_are_refused() -> None:
    with pytest.raises(DistanceCheckError, match='with its own pair'):
        check_distances(CAMERA, [measured(2.0, 24.0), measured(1.0, 12.0)])


@pytest.mark.parametrize('distance', [0.0, -1.0, math.nan, math.inf])
def test_distances_must_be_positive(distance: float) -> None:
    with pytest.raises(DistanceCheckError, match='positive'):
        check_distances(CAMERA, [measured(distance, 24.0)])


def test_a_target_beyond_infinity_is_refused() -> None:
    with pytest.raises(DistanceCheckError, match='beyond infinity'):
        check_distances(CAMERA, [measured(1.0, -3.0)])


# f B = 25 px m. At 1 m, 22 px are 13.6 % too far and 3 px off, 24 px 4.2 % and 1 px, 29 px 13.8 %
# too near and 4 px. At 10 m, 2 px are 25 % too far, but half a pixel off only.
@pytest.mark.parametrize(
    ('distance', 'disparity', 'doubted'),
    [(1.0, 22.0, True), (1.0, 24.0, False), (1.0, 29.0, True), (10.0, 2.0, False)],
)
def test_an_error_that_no_drift_explains_puts_the_calibration_in_doubt(
    distance: float, disparity: float, doubted: bool
) -> None:
    target = measured(distance, disparity)
    lines = report(CAMERA, [target], check_distances(CAMERA, [target]))
    assert any('no drift of a calibration' in line for line in lines) == doubted


def test_a_turned_target_is_told() -> None:
    target = TargetMeasurement(1.0, TargetPlane(24.0, 0.05, 1.0, 12.0))
    text = '\n'.join(report(CAMERA, [target], check_distances(CAMERA, [target])))
    assert 'turned by 12.0 degrees' in text


@given(
    scale=st.floats(0.7, 1.4),
    offset=st.floats(-3, 3),
    near=st.floats(0.4, 1.0),
    ratio=st.floats(1.6, 4.0),
)
def test_the_correction_brings_depth_to_the_tape(
    scale: float, offset: float, near: float, ratio: float
) -> None:
    distances = near, near * ratio
    raw = [scale * 25 / z - offset for z in distances]
    assume(min(raw) > 1)
    targets = [measured(z, d) for z, d in zip(distances, raw, strict=True)]
    check = check_distances(CAMERA, targets)
    assume(check.kind is ErrorKind.BOTH)
    camera = corrected(CAMERA, check.correction)
    for distance, disparity in zip(distances, raw, strict=True):
        # The raw disparity of a matcher holds the difference of the principal points, 10 px.
        depth = camera.depth(torch.full((240, 320), disparity + 10.0))
        assert float(depth[0, 0]) == pytest.approx(distance, rel=1e-4)


def test_no_correction_changes_nothing() -> None:
    assert corrected(CAMERA, RigCorrection()) == CAMERA
