"""The stereo camera: depth and points by hand, by OpenCV, and for random cameras."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2m2_ros.geometry import (
    CalibrationError,
    CameraModel,
    NegativeBaselineError,
    PrincipalPoint,
    RegionOfInterest,
    StereoCamera,
)


def full(camera: StereoCamera, disparity: float) -> torch.Tensor:
    return torch.full((camera.height, camera.width), disparity)


class TestHandWorkedDepth:
    def test_differing_principal_points_are_taken_out_once(
        self, make_model: Callable[..., CameraModel]
    ) -> None:
        left = make_model(cx=640.0)
        right = make_model(cx=620.0, tx=-84.0)
        camera = StereoCamera.from_projection(left, right)
        # B = 84 / 700 = 0.12 m; at 2.00 m d = 84 / 2 = 42, and the matcher sees 42 + 20 = 62.
        assert camera.baseline == pytest.approx(0.12)
        assert camera.principal_point_difference == 20.0
        disparity = full(camera, 62.0)
        assert torch.equal(camera.adjusted(disparity), full(camera, 42.0))
        assert torch.allclose(camera.depth(disparity), full(camera, 2.0))

    def test_point_beside_the_axis(self, make_model: Callable[..., CameraModel]) -> None:
        camera = StereoCamera.from_projection(make_model(), make_model(tx=-84.0))
        points = camera.points(full(camera, 42.0))
        # At 2 m, 350 px right of and 70 px below the axis: X = 350 / 700 * 2, Y = 70 / 700 * 2.
        assert points[430, 990].tolist() == pytest.approx([1.0, 0.2, 2.0])

    def test_differing_focal_lengths_shape_the_rays_only(
        self, make_model: Callable[..., CameraModel]
    ) -> None:
        P = [700.0, 0, 640, 0, 0, 350, 360, 0, 0, 0, 1, 0]
        shifted = [*P[:3], -84.0, *P[4:]]
        camera = StereoCamera.from_projection(make_model(P=P), make_model(P=shifted))
        # fx gives the depth, fy only Y: 70 px below the axis Y = 70 / 350 * 2.
        assert camera.points(full(camera, 42.0))[430, 990].tolist() == pytest.approx(
            [1.0, 0.4, 2.0]
        )

    def test_binning_and_region_of_interest(self, make_model: Callable[..., CameraModel]) -> None:
        geometry = {
            'width': 1280,
            'height': 960,
            'binning_x': 2,
            'binning_y': 4,
            'roi': RegionOfInterest(100, 60, 800, 600),
        }
        P = [1000.0, 0, 650, 0, 0, 1000, 470, 0, 0, 0, 1, 0]
        right_P = [1000.0, 0, 630, -120, 0, 1000, 470, 0, 0, 0, 1, 0]
        camera = StereoCamera.from_projection(
            make_model(P=P, **geometry), make_model(P=right_P, **geometry)
        )
        assert (camera.width, camera.height) == (400, 150)
        assert camera.focal_length == 500.0
        assert camera.focal_length_y == 250.0
        assert camera.left == PrincipalPoint(275.0, 102.5)
        assert camera.right == PrincipalPoint(265.0, 102.5)
        assert camera.baseline == pytest.approx(0.12)
        # At 2 m: d = 500 * 0.12 / 2 = 30, seen as 30 + 10; u = 375 is 100 px right of the axis.
        assert camera.points(full(camera, 40.0))[140, 375].tolist() == pytest.approx(
            [0.4, 0.3, 2.0]
        )

    def test_binning_of_zero_means_one(self, make_model: Callable[..., CameraModel]) -> None:
        unbinned = make_model().image_projection()
        assert make_model(binning_x=0, binning_y=0).image_projection() == unbinned

    def test_regions_that_start_at_different_columns(
        self, make_model: Callable[..., CameraModel]
    ) -> None:
        left = make_model(roi=RegionOfInterest(100, 0, 1000, 720))
        right = make_model(tx=-84.0, roi=RegionOfInterest(60, 0, 1000, 720))
        camera = StereoCamera.from_projection(left, right)
        # 640 - 100 = 540 and 640 - 60 = 580: a point at 2 m has 42 + (540 - 580) = 2 px.
        assert torch.allclose(camera.depth(full(camera, 2.0)), full(camera, 2.0))

    def test_left_camera_that_is_itself_shifted(
        self, make_model: Callable[..., CameraModel]
    ) -> None:
        # KITTI's color pair counts from the left gray camera: B = (42 + 350) / 700 = 0.56 m.
        camera = StereoCamera.from_projection(make_model(tx=42.0), make_model(tx=-350.0))
        assert camera.baseline == pytest.approx(0.56)

    def test_scaled(self, make_model: Callable[..., CameraModel]) -> None:
        camera = StereoCamera.from_projection(make_model(cx=640.0), make_model(cx=620.0, tx=-84.0))
        half = camera.scaled(width=640, height=360)
        assert (half.width, half.height) == (640, 360)
        assert half.focal_length == 350.0
        assert half.baseline == camera.baseline
        # The center of pixel 640 lies 640.5 from the edge, so 320.25 after halving.
        assert half.left == PrincipalPoint(319.75, 179.75)
        assert half.principal_point_difference == 10.0
        assert torch.allclose(half.depth(full(half, 31.0)), full(half, 2.0))


class TestUnknownDisparities:
    @pytest.mark.parametrize('raw', [math.nan, math.inf, -math.inf, 20.0, 3.0, -5.0, 1280.0])
    def test_unknown_disparity_has_no_depth(
        self, make_model: Callable[..., CameraModel], raw: float
    ) -> None:
        camera = StereoCamera.from_projection(make_model(cx=640.0), make_model(cx=620.0, tx=-84.0))
        assert camera.depth(full(camera, raw)).isnan().all()
        assert camera.points(full(camera, raw)).isnan().all()

    def test_negative_raw_disparity_counts_when_the_principal_points_say_so(
        self, make_model: Callable[..., CameraModel]
    ) -> None:
        camera = StereoCamera.from_projection(make_model(cx=600.0), make_model(cx=650.0, tx=-84.0))
        # d = -8 - (600 - 650) = 42
        assert torch.allclose(camera.depth(full(camera, -8.0)), full(camera, 2.0))

    def test_wrong_size_is_refused(self, make_model: Callable[..., CameraModel]) -> None:
        camera = StereoCamera.from_projection(make_model(), make_model(tx=-84.0))
        with pytest.raises(CalibrationError, match=r'1280x720.*640x360.*resized'):
            camera.depth(torch.ones(360, 640))


class TestBatches:
    def test_leading_dimensions_are_kept(self, make_camera: Callable[..., StereoCamera]) -> None:
        camera = make_camera(4, 3)
        disparity = torch.arange(1.0, 25.0).reshape(2, 1, 3, 4).clamp(max=3.9)
        points = camera.points(disparity)
        assert points.shape == (2, 1, 3, 4, 3)
        assert torch.equal(points[1, 0], camera.points(disparity[1, 0]))

    def test_depth_is_differentiable(self, make_camera: Callable[..., StereoCamera]) -> None:
        disparity = torch.full((2, 4), 2.0, requires_grad=True)
        depth = make_camera(4, 2).depth(disparity)
        (slope,) = torch.autograd.grad(depth.sum(), disparity)
        # dZ/dd = -f B / d^2 = -10 / 4
        assert torch.allclose(slope, torch.full((2, 4), -2.5))


class TestErrors:
    def assert_error(self, left: CameraModel, right: CameraModel, *parts: str) -> None:
        with pytest.raises(CalibrationError) as caught:
            StereoCamera.from_projection(left, right)
        for part in parts:
            assert part in str(caught.value)

    def test_swapped_cameras(self, make_model: Callable[..., CameraModel]) -> None:
        self.assert_error(
            make_model(source='L'),
            make_model(tx=84.0, source='cam/right/camera_info'),
            'cam/right/camera_info',
            'P[3] = 84',
            '0.12 m',
            'swapped',
        )

    def test_swapped_topics(self, make_model: Callable[..., CameraModel]) -> None:
        left, right = make_model(tx=-84.0, source='left'), make_model(source='right')
        self.assert_error(left, right, 'left: P[3] = -84', 'swapped')

    def test_wrong_sign(self, make_model: Callable[..., CameraModel]) -> None:
        with pytest.raises(NegativeBaselineError) as caught:
            StereoCamera.from_projection(make_model(), make_model(tx=84.0, source='r'))
        error = caught.value
        assert error.baseline == pytest.approx(-0.12)
        assert 'Either left and right are swapped' in str(error)
        assert 'only the sign is wrong, which some drivers do: write P[3] = -84' in str(error)
        assert 'turned by 180 degrees' in str(error)
        assert 'P[3] belongs to the right image' in str(error)
        swapped, in_order = (error.explained(images_swapped=swapped) for swapped in (True, False))
        assert swapped.startswith('r: P[3] = 84')
        assert 'exchange the topics (or files), images and calibrations alike' in swapped
        assert 'sign' not in swapped
        assert in_order.startswith('r: P[3] = 84')
        assert in_order.endswith('write P[3] = -84')
        assert 'exchange' not in in_order

    def test_calibrations_exchanged_alone(self, make_model: Callable[..., CameraModel]) -> None:
        with pytest.raises(NegativeBaselineError) as caught:
            StereoCamera.from_projection(make_model(tx=-84.0, source='l'), make_model())
        expected = 'P[3] = -fx * baseline belongs to the right image'
        assert expected in str(caught.value)
        found = caught.value.explained(images_swapped=False)
        assert expected in found
        assert 'exchange the two calibrations and leave the images' in found

    def test_zero_baseline(self, make_model: Callable[..., CameraModel]) -> None:
        self.assert_error(make_model(), make_model(source='r'), 'r: P[3] = 0', 'one by one')

    def test_meters_where_pixel_meters_belong(
        self, make_model: Callable[..., CameraModel]
    ) -> None:
        right = make_model(tx=-0.12, source='r')
        self.assert_error(make_model(), right, 'r: P[3] = -0.12', '0.171 mm', 'P[3] = -84')

    def test_millimeters(self, make_model: Callable[..., CameraModel]) -> None:
        self.assert_error(make_model(), make_model(tx=-84000.0), '120 m', 'illimeters')

    @pytest.mark.parametrize('P', [(), (0.0,) * 12])
    def test_empty_projection(
        self, make_model: Callable[..., CameraModel], P: tuple[float, ...]
    ) -> None:
        self.assert_error(make_model(P=P, source='l'), make_model(), 'l: P is empty', 'rectified')

    def test_nan(self, make_model: Callable[..., CameraModel]) -> None:
        self.assert_error(make_model(cx=math.nan), make_model(), 'NaN')

    def test_uncalibrated_size(self, make_model: Callable[..., CameraModel]) -> None:
        self.assert_error(make_model(width=0, height=0), make_model(), '0x0', 'calibrat')

    def test_zero_focal_length(self, make_model: Callable[..., CameraModel]) -> None:
        self.assert_error(make_model(fx=0.0), make_model(), 'P[0] = 0')

    def test_transposed_projection(self, make_model: Callable[..., CameraModel]) -> None:
        P = (700.0, 0, 0, 0, 700.0, 0, 640, 360, 1, 0, 0, 0)
        self.assert_error(make_model(P=P), make_model(), 'P[5]')

    def test_unrectified_rotation(self, make_model: Callable[..., CameraModel]) -> None:
        P = (700.0, 5.0, 640, 0, 0, 700, 360, 0, 0, 0, 1, 0)
        self.assert_error(make_model(P=P), make_model(), 'no rectified projection')

    def test_vertical_pair(self, make_model: Callable[..., CameraModel]) -> None:
        P = (700.0, 0, 640, 0, 0, 700, 360, -84.0, 0, 0, 1, 0)
        self.assert_error(make_model(), make_model(P=P), 'P[7] = -84', 'above')

    def test_vertical_pair_with_some_baseline(
        self, make_model: Callable[..., CameraModel]
    ) -> None:
        # 4.2 px m / 700 px = 6 mm for a baseline of 0.12 m: 5 per cent is 6 mm.
        P = [700.0, 0, 640, -84.0, 0, 700, 360, -4.3, 0, 0, 1, 0]
        self.assert_error(make_model(), make_model(P=P), 'P[7] = -4.3', 'above')

    def test_one_camera_before_the_other(self, make_model: Callable[..., CameraModel]) -> None:
        P = (700.0, 0, 640, -84.0, 0, 700, 360, 0, 0, 0, 1, 0.0061)
        self.assert_error(make_model(), make_model(P=P), 'no rectified projection')

    @pytest.mark.parametrize(
        ('left', 'right', 'baseline'),
        [
            # Kinds of KITTI's own numbers: gray and color pair, and others rounded alike.
            ((0, 0, 0), (-386.1, 0, 0), 386.1 / 700),
            ((45.38, -0.113, 0.0038), (-337.3, 2.37, 0.0049), 382.68 / 700),
            ((43.4, 0.21, 0.0027), (-40.6, 4.2, 0.0027), 0.12),
            ((0, 0, 0), (-84.0, 4.1, 0.0059), 0.12),
            # Both cameras far above the one they are counted from.
            ((0, -350.0, 0.5), (-84.0, -350.0, 0.5), 0.12),
        ],
    )
    def test_millimeters_between_rectified_cameras_are_rounding(
        self,
        make_model: Callable[..., CameraModel],
        left: tuple[float, float, float],
        right: tuple[float, float, float],
        baseline: float,
    ) -> None:
        models = (
            make_model(P=(700.0, 0, 640, x, 0, 700, 360, y, 0, 0, 1, z))
            for x, y, z in (left, right)
        )
        assert StereoCamera.from_projection(*models).baseline == pytest.approx(baseline)

    def test_differing_focal_lengths(self, make_model: Callable[..., CameraModel]) -> None:
        self.assert_error(make_model(), make_model(fx=710.0, tx=-84.0), '700', '710', 'focal')

    def test_differing_rows(self, make_model: Callable[..., CameraModel]) -> None:
        P = (700.0, 0, 640, -84.0, 0, 700, 365, 0, 0, 0, 1, 0)
        self.assert_error(make_model(), make_model(P=P), 'cy differs', '360', '365')

    def test_differing_sizes(self, make_model: Callable[..., CameraModel]) -> None:
        right = make_model(tx=-84.0, width=640)
        self.assert_error(make_model(), right, '1280x720', '640x720')

    def test_region_outside_the_image(self, make_model: Callable[..., CameraModel]) -> None:
        left = make_model(roi=RegionOfInterest(1000, 0, 500, 720), source='l')
        self.assert_error(left, make_model(), 'l: the region of interest 500x720 at (1000, 0)')


def test_points_agree_with_opencv_where_principal_points_are_equal() -> None:
    camera = StereoCamera(
        width=80,
        height=60,
        focal_length=90.0,
        focal_length_y=90.0,
        baseline=0.2,
        left=PrincipalPoint(38.5, 31.25),
        right=PrincipalPoint(38.5, 31.25),
    )
    disparity = np.random.default_rng(0).uniform(0.5, 70, (60, 80)).astype(np.float32)
    Q = np.array([[1, 0, 0, -38.5], [0, 1, 0, -31.25], [0, 0, 0, 90], [0, 0, 1 / 0.2, 0]])
    expected = cv2.reprojectImageTo3D(disparity, Q)
    points = camera.points(torch.from_numpy(disparity)).numpy()
    np.testing.assert_allclose(points, expected, rtol=1e-5, atol=1e-6)


@st.composite
def cameras(draw: st.DrawFn) -> tuple[CameraModel, CameraModel]:
    focal = st.floats(40, 3000)
    fx, fy, baseline = draw(focal), draw(focal), draw(st.floats(0.02, 2.0))
    column, row = st.floats(-20, 84), st.floats(-20, 68)
    cx, right_cx, cy = draw(column), draw(column), draw(row)
    left = (fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0)
    right = (fx, 0, right_cx, -fx * baseline, 0, fy, cy, 0, 0, 0, 1, 0)
    return CameraModel(left, 64, 48), CameraModel(right, 64, 48)


@settings(max_examples=200, deadline=None)
@given(cameras(), st.integers(0, 63), st.integers(0, 47), st.floats(0.5, 200))
def test_projecting_matching_and_reprojecting_returns_the_point(
    models: tuple[CameraModel, CameraModel], u: int, v: int, d: float
) -> None:
    left, right = (np.reshape(model.P, (3, 4)) for model in models)
    Z = -right[0, 3] / d
    point = np.array([(u - left[0, 2]) * Z / left[0, 0], (v - left[1, 2]) * Z / left[1, 1], Z, 1])
    seen_left, seen_right = left @ point, right @ point
    raw = seen_left[0] / seen_left[2] - seen_right[0] / seen_right[2]
    camera = StereoCamera.from_projection(*models)
    found = camera.points(torch.full((48, 64), raw, dtype=torch.float32))[v, u].double().numpy()
    if raw >= 63.999:
        assert raw < 64.001 or np.isnan(found).all()
        return
    # Raw and cx are some 100 px, in float32 6e-6 px apart, of a disparity of 0.5 px or more.
    tolerance = 4e-5 * np.linalg.norm(point[:3])
    np.testing.assert_allclose(found, point[:3], atol=tolerance, rtol=0)


def test_a_file_of_two_sizes_is_named_once(make_model: Callable[..., CameraModel]) -> None:
    left = make_model(source='calib.yaml')
    right = make_model(tx=-84.0, width=640, source='calib.yaml')
    with pytest.raises(CalibrationError, match='calibrated for images of 1280x') as caught:
        StereoCamera.from_projection(left, right)
    assert str(caught.value).count('calib.yaml') == 1
