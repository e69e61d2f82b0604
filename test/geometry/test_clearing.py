"""Rays through free space: which pixels give one, and where it ends."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from s2m2_ros.geometry import (
    CalibrationError,
    ClearingOptions,
    CloudOptions,
    Output,
    OutputOptions,
    PrincipalPoint,
    RigidTransform,
    StereoCamera,
    compute_outputs,
)
from s2m2_ros.geometry.clearing import clearing_points, rays_only
from s2m2_ros.inference import MatchResult
from support.maps import maps

CameraFactory = Callable[..., StereoCamera]
NAN = math.nan


def ends(
    camera: StereoCamera,
    estimate: MatchResult,
    transform: RigidTransform | None = None,
    **options: object,
) -> np.ndarray:
    chosen = ClearingOptions(**{'decimation': 1, **options})  # type: ignore[arg-type]
    return rays_only(clearing_points(camera, estimate, chosen, transform).numpy())


def test_a_ray_ends_at_the_surface_without_limits_of_depth(make_camera: CameraFactory) -> None:
    # Z = 10 / d: 0.5 m, 5 m and 8 m; X = Z * column / 100.
    camera = make_camera(64, 1)
    disparity = torch.full((1, 64), NAN)
    disparity[0, [0, 20, 50]] = torch.tensor([20.0, 2.0, 1.25])
    found = ends(camera, maps(disparity))
    np.testing.assert_allclose(
        found, [[0.0, 0.0, 0.5], [1.0, 0.0, 5.0], [4.0, 0.0, 8.0]], rtol=1e-6
    )


def test_it_ends_at_its_range_where_the_surface_lies_beyond(make_camera: CameraFactory) -> None:
    # Column 75 of f = 100: the ray (0.75, 0, 1) is 1.25 long, so 10 m are Z = 8, X = 6.
    camera = make_camera(76, 1)
    for disparity in (1.1, 0.01, 0.0, -3.9):
        estimate = maps(torch.full((1, 76), NAN))
        estimate.disparity[0, 75] = disparity
        np.testing.assert_allclose(ends(camera, estimate), [[6, 0, 8]], rtol=1e-6)
    estimate.disparity[0, 75] = 2.0
    np.testing.assert_allclose(ends(camera, estimate), [[3.75, 0, 5]], rtol=1e-6)
    np.testing.assert_allclose(ends(camera, estimate, max_range=2.5), [[1.5, 0, 2]], rtol=1e-6)


def test_what_is_unknown_or_impossible_gives_no_ray(make_camera: CameraFactory) -> None:
    """Not known, not finite, as wide as the image, and further beyond infinity than an error."""
    values = [NAN, math.inf, -math.inf, 8.0, 9.0, -4.1, 1.0, 1.0]
    found = ends(make_camera(8, 1), maps(torch.tensor([values])))
    np.testing.assert_allclose(found[:, 0] / found[:, 2], [0.06, 0.07], rtol=1e-6)


def test_infinity_is_where_the_principal_points_say(make_camera: CameraFactory) -> None:
    camera = make_camera(3, 1, left=PrincipalPoint(0.0, 0.0), right=PrincipalPoint(-1.5, 0.0))
    # The raw disparity of infinity is 1.5 px; 2.5 px are 10 m, at which the ray ends anyhow.
    found = ends(camera, maps(torch.tensor([[1.5, -2.4, -2.6]])))
    np.testing.assert_allclose(found, [[0.0, 0.0, 10.0], [0.1, 0.0, 10.0]], atol=1e-3)


def test_only_trusted_pixels_give_a_ray(make_camera: CameraFactory) -> None:
    estimate = maps(
        torch.ones(1, 4),
        visibility=torch.tensor([[1.0, 0.4, 0.5, 1.0]]),
        confidence=torch.tensor([[1.0, 1.0, 0.7, 0.6]]),
    )
    found = ends(make_camera(4, 1), estimate, min_confidence=0.7, min_visibility=0.5)
    assert [round(x / z * 100) for x, _, z in found] == [0, 2]


@pytest.mark.parametrize('background', [2.0, 0.0, -1.0])
def test_flying_pixels_give_none_also_before_the_sky(
    make_camera: CameraFactory, background: float
) -> None:
    """Unlike in the cloud, where the sky is unknown and judges nothing."""
    row = torch.tensor([[20.0, 20.0, 11.0, background, background]])
    found = ends(make_camera(64, 1), maps(torch.nn.functional.pad(row, (0, 59), value=NAN)))
    assert [round(x / z * 100) for x, _, z in found] == [0, 1, 3, 4]


def test_they_go_into_the_frame_of_the_cloud(make_camera: CameraFactory) -> None:
    ahead = ((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
    transform = RigidTransform('base_link', ahead, (0.5, 0.0, 1.0))
    options = OutputOptions(cloud=CloudOptions(transform=transform), clearing=ClearingOptions(1))
    estimate = maps(torch.full((51, 51), NAN))
    estimate.disparity[50, 20] = 5.0  # Z = 2 m, X = 0.4 m, Y = 1 m
    outputs = compute_outputs(
        make_camera(51, 51), estimate, {Output.POINTS_CLEARING}, options=options
    )
    assert outputs.cloud_frame_id == 'base_link'
    points = outputs.arrays[Output.POINTS_CLEARING]
    assert points.dtype == np.float32
    np.testing.assert_allclose(points, [[2.5, -0.4, 0.0]], atol=1e-6)


def test_every_pixel_gets_its_turn(make_camera: CameraFactory) -> None:
    """Soon a near one, at last itself."""
    camera, step = make_camera(20, 17), 4
    estimate = maps(torch.ones(17, 20))
    seen = np.zeros((17, 20), bool)
    for phase in range(60):
        points = ends(camera, estimate, decimation=step, phase=phase)
        rows, columns = np.rint(points[:, :2] / points[:, 2:] * 100).astype(int)[:, ::-1].T
        assert len(set(np.diff(np.unique(rows)))) == 1
        assert np.diff(np.unique(rows))[0] == step
        assert len(points) in {4 * 5, 5 * 5}
        seen[rows, columns] = True
        if phase == 7:
            # Of each block of 2 x 2 at least one.
            assert seen[:16].reshape(8, 2, 10, 2).any(axis=(1, 3)).all()
    assert seen.all()


@given(
    disparity=arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.one_of(
            st.floats(-9, 9, width=32),
            st.sampled_from([NAN, np.inf, -np.inf, 0.0, 1e-30, 3e38, -3e38]),
        ),
    ),
    step=st.integers(1, 9),
    phase=st.integers(0, 10**9),
)
@settings(max_examples=150, deadline=None)
def test_all_ends_are_finite_on_their_rays_and_within_range(
    disparity: np.ndarray, step: int, phase: int
) -> None:
    height, width = disparity.shape
    center = PrincipalPoint(2.0, 3.0)
    camera = StereoCamera(width, height, 100.0, 90.0, 0.1, center, center)
    points = ends(camera, maps(torch.from_numpy(disparity)), decimation=step, phase=phase)
    assert points.shape[1:] == (3,)
    assert np.isfinite(points).all()
    assert (points[:, 2] > 0).all()
    assert (np.linalg.norm(points, axis=1) <= 10.0 + 1e-5).all()
    columns = points[:, 0] / points[:, 2] * 100 + 2
    rows = points[:, 1] / points[:, 2] * 90 + 3
    np.testing.assert_allclose(columns, np.rint(columns), atol=1e-3)
    known = np.isfinite(disparity[np.rint(rows).astype(int), np.rint(columns).astype(int)])
    assert known.all()


@pytest.mark.parametrize(
    'options', [{'decimation': 0}, {'max_range': 0.0}, {'max_range': math.inf}]
)
def test_impossible_options(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ClearingOptions(**options)  # type: ignore[arg-type]


def test_maps_of_another_size(make_camera: CameraFactory) -> None:
    with pytest.raises(CalibrationError, match='4x1'):
        ends(make_camera(4, 1), maps(torch.ones(1, 5)))
