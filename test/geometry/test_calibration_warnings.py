"""What is told of calibrations that can be used all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.geometry import CameraModel, RegionOfInterest, StereoCamera
from s2m2_ros.geometry.calibration_warnings import calibration_warnings


def models(
    *,
    width: int = 640,
    height: int = 480,
    focal: float = 500.0,
    cx: float = 320.0,
    cy: float = 240.0,
    baseline: float = 0.12,
    right_cx: float | None = None,
    **other: object,
) -> tuple[CameraModel, CameraModel]:
    left = (focal, 0, cx, 0, 0, focal, cy, 0, 0, 0, 1, 0)
    right_cx = cx if right_cx is None else right_cx
    right = (focal, 0, right_cx, -focal * baseline, 0, focal, cy, 0, 0, 0, 1, 0)
    return (
        CameraModel(left, width, height, source='left.yaml', **other),  # type: ignore[arg-type]
        CameraModel(right, width, height, source='right.yaml', **other),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    'camera',
    [
        # Rounded from public calibrations.
        {'width': 741, 'height': 500, 'focal': 995, 'cx': 311, 'cy': 255, 'right_cx': 342},
        {'width': 2800, 'height': 1908, 'focal': 4029, 'cx': 945, 'cy': 870, 'right_cx': 1138},
        {'width': 1242, 'height': 375, 'focal': 721.5, 'cx': 609.6, 'cy': 172.9},
        {'width': 640, 'height': 480, 'focal': 451, 'cx': 299, 'cy': 255, 'baseline': 0.075},
        {'width': 881, 'height': 400, 'focal': 1003.6, 'cx': 460.6, 'cy': 180.1},
        {'width': 880, 'height': 400, 'focal': 366.6, 'cx': 448.7, 'cy': 254.9},
        {'width': 320, 'height': 200, 'focal': 615.4, 'cx': 140.8, 'cy': 107.7},
        {'width': 320, 'height': 240, 'focal': 2000, 'cx': 160, 'cy': 120, 'baseline': 1.0},
        {'baseline': 0.018},
    ],
)
def test_usual_cameras_give_no_warning(camera: dict[str, float]) -> None:
    assert StereoCamera.from_projection(*models(**camera)).warnings == ()  # type: ignore[arg-type]


def only(*pair: CameraModel) -> str:
    (text,) = calibration_warnings(*pair)
    assert StereoCamera.from_projection(*pair).warnings == (text,)
    return text


@pytest.mark.parametrize('baseline', [7.44, 3.23, 2.65, 1.05, 12.0])
def test_a_long_baseline_is_named_with_the_unit(baseline: float) -> None:
    text = only(*models(baseline=baseline))
    assert text.startswith('right.yaml: the baseline is ')
    assert f'{baseline:g} m' in text
    assert 'In which unit was the calibration board measured?' in text


def test_a_short_baseline_is_named() -> None:
    assert 'right.yaml: the baseline is 12 mm, unusually short' in only(*models(baseline=0.012))


@pytest.mark.parametrize('scale', [0.25, 0.5, 2 / 3, 0.75, 4 / 3, 1.5, 2.0, 4.0])
def test_a_calibration_of_another_resolution(scale: float) -> None:
    """The principal points are those of images that are larger or smaller by this factor."""
    pair = models(focal=500 * scale, cx=325 * scale, cy=238 * scale)
    texts = calibration_warnings(*pair)
    assert [text.partition(':')[0] for text in texts] == ['left.yaml', 'right.yaml']
    where = 'outside of' if scale >= 2 else 'far from the middle of'
    assert f'lies {where} the image of 640x480' in texts[0]
    assert 'calibration is of another resolution' in texts[0]


@pytest.mark.parametrize('place', [{'cx': -20.0}, {'cx': 660.0}, {'cy': -1.0}, {'cy': 500.0}])
def test_a_principal_point_outside_of_the_image(place: dict[str, float]) -> None:
    assert 'lies outside of the image' in calibration_warnings(*models(**place))[0]  # type: ignore[arg-type]


def test_the_right_camera_is_looked_at_too() -> None:
    assert only(*models(right_cx=700.0)).startswith('right.yaml: the principal point (700, 240)')


def test_a_region_of_interest_or_binning_is_no_cause() -> None:
    # The region's own middle is far from the principal point; the full image's is not.
    pair = models(
        width=1280,
        height=960,
        cx=650,
        cy=470,
        roi=RegionOfInterest(700, 500, 300, 200),
        binning_x=2,
        binning_y=2,
    )
    assert StereoCamera.from_projection(*pair).warnings == ()


@pytest.mark.parametrize(('focal', 'degrees'), [(70.0, '155'), (20_000.0, '1.83')])
def test_an_impossible_field_of_view(focal: float, degrees: str) -> None:
    # 2 atan(640 / 2 / 70) = 155.3 degrees; 2 atan(640 / 2 / 20000) = 1.83 degrees.
    text = only(*models(focal=focal))
    assert text.startswith(f'left.yaml: with fx = {focal:g} px')
    assert f'{degrees}' in text


def test_one_file_of_both_cameras_is_named_once() -> None:
    left, right = models(cx=1000.0)
    same = [CameraModel(m.P, m.width, m.height, source='calib.txt') for m in (left, right)]
    assert len(calibration_warnings(*same)) == 1


def test_warnings_do_not_make_cameras_differ(make_model: Callable[..., CameraModel]) -> None:
    usual = StereoCamera.from_projection(make_model(), make_model(tx=-84.0))
    long = StereoCamera.from_projection(make_model(), make_model(tx=-840.0))
    assert long.warnings
    assert usual.scaled(width=640, height=360).warnings == usual.warnings
    assert long.scaled(width=640, height=360).warnings == long.warnings


@given(st.floats(1, 1e5), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(0.003, 20))
def test_every_warning_begins_with_its_source(
    focal: float, cx: float, cy: float, baseline: float
) -> None:
    for text in calibration_warnings(*models(focal=focal, cx=cx, cy=cy, baseline=baseline)):
        assert text.startswith(('left.yaml: ', 'right.yaml: '))
        assert '\n' not in text
