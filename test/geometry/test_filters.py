"""Which pixels become points: depth range, thresholds, flying pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2m2_ros.geometry import FlyingPixelFilter, PixelFilter, StereoCamera
from s2m2_ros.geometry.filters import filtered_depth, flying_pixels, require_one_shape
from s2m2_ros.inference import MatchResult
from support.maps import maps

NAN = math.nan


def flying(*rows: Sequence[float], **options: float) -> list[list[bool]]:
    result: list[list[bool]] = flying_pixels(
        torch.tensor(rows, dtype=torch.float32), FlyingPixelFilter(**options)
    ).tolist()
    return result


class TestFlyingPixels:
    def test_a_ramp_between_two_surfaces_goes_and_the_surfaces_stay(self) -> None:
        assert flying([50, 50, 40, 30, 20, 20]) == [[False, False, True, True, False, False]]

    def test_direction_does_not_matter(self) -> None:
        assert flying([20, 20, 30, 40, 50, 50]) == [[False, False, True, True, False, False]]
        assert flying([50], [50], [35], [20], [20]) == [[False], [False], [True], [False], [False]]

    def test_a_sharp_edge_has_no_flying_pixels(self) -> None:
        assert not any(flying([50, 50, 50, 20, 20, 20])[0])

    def test_thin_things_stay(self) -> None:
        assert not any(flying([20, 20, 50, 20, 20])[0])
        assert not any(flying([50, 50, 20, 50, 50])[0])

    def test_the_floor_stays_up_to_the_horizon(self) -> None:
        # B = 0.12 m, 0.5 m above the floor: d grows by B / h = 0.24 px with every row.
        assert not any(row[0] for row in flying(*[[0.24 * row] for row in range(1, 100)]))

    def test_a_near_slanted_surface_stays(self) -> None:
        # One pixel a column at d = 100 changes the depth by 1 %, under the relative step.
        assert not any(flying([float(d) for d in range(100, 120)])[0])

    def test_far_steps_count_in_pixels_and_near_ones_in_proportion(self) -> None:
        assert flying([10, 9.4, 8.8], min_step=0.5) == [[False, True, False]]
        assert flying([10, 9.4, 8.8], min_step=0.7) == [[False, False, False]]
        assert flying([100, 97, 94], min_relative_step=0.02) == [[False, True, False]]
        assert flying([100, 97, 94], min_relative_step=0.04) == [[False, False, False]]

    def test_unknown_neighbors_accuse_nobody(self) -> None:
        assert not any(flying([50, 50, NAN, 30, 20])[0])
        assert not any(flying([NAN, 35, NAN])[0])

    @settings(max_examples=50, deadline=None)
    @given(
        *(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)),
        *(st.tuples(st.integers(0, 9), st.integers(0, 9)), st.integers(0, 2**31)),
    )
    def test_decimation_judges_the_same_pixels_the_same(
        self, height: int, width: int, step: int, first: tuple[int, int], seed: int
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        disparity = torch.rand(2, height, width, generator=generator) * 10
        options = FlyingPixelFilter()
        everywhere = flying_pixels(disparity, options)
        judged = flying_pixels(disparity, options, step=step, first=first)
        row, column = first
        assert torch.equal(judged, everywhere[..., row::step, column::step])

    def test_negative_steps_are_refused(self) -> None:
        with pytest.raises(ValueError, match='negative'):
            FlyingPixelFilter(min_step=-1)


class TestFilteredDepth:
    @pytest.fixture
    def estimate(self) -> MatchResult:
        return maps(
            disparity=torch.tensor([[1.0, 2.0, 2.5, 3.0, 3.9]]),
            visibility=torch.tensor([[0.0, 0.4, 0.5, 1.0, 1.0]]),
            confidence=torch.tensor([[1.0, 0.9, 0.2, 0.7, 0.0]]),
        )

    def kept(
        self,
        make_camera: Callable[..., StereoCamera],
        estimate: MatchResult,
        step: int = 1,
        **options: object,
    ) -> list[bool]:
        camera = make_camera(5, 1)
        adjusted = camera.adjusted(estimate.disparity)
        chosen = PixelFilter(**options)  # type: ignore[arg-type]
        depth = filtered_depth(camera, adjusted, estimate, chosen, step=step)
        known = ~depth.isnan()
        assert torch.equal(depth[known], (10 / estimate.disparity[:, ::step])[known])
        result: list[bool] = known[0].tolist()
        return result

    def test_everything_by_default(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        assert self.kept(make_camera, estimate) == [True] * 5

    def test_depth_range_includes_its_limits(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        # Depths are 10, 5, 4, 3.33 and 2.56 m.
        kept = self.kept(make_camera, estimate, min_depth=3.0, max_depth=5.0)
        assert kept == [False, True, True, True, False]

    def test_thresholds_include_their_value(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        kept = self.kept(make_camera, estimate, min_confidence=0.7)
        assert kept == [True, True, False, True, False]
        kept = self.kept(make_camera, estimate, min_visibility=0.5)
        assert kept == [False, False, True, True, True]

    def test_all_together_with_decimation(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        kept = self.kept(
            make_camera, estimate, step=2, max_depth=6.0, min_confidence=0.1, min_visibility=0.5
        )
        assert kept == [False, True, False]

    def test_flying_pixels(self, make_camera: Callable[..., StereoCamera]) -> None:
        estimate = maps(torch.tensor([[4.0, 4.0, 2.5, 1.0, 1.0]]))
        kept = self.kept(make_camera, estimate, flying_pixels=FlyingPixelFilter())
        assert kept == [True, True, False, True, True]


@pytest.mark.parametrize(
    'options',
    [
        {'min_depth': -1.0},
        {'min_depth': 5.0, 'max_depth': 5.0},
        {'max_depth': NAN},
        {'min_confidence': 1.5},
        {'min_visibility': -0.1},
    ],
)
def test_impossible_filters_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r'depth range|must lie in'):
        PixelFilter(**options)


def test_the_maps_have_one_size() -> None:
    with pytest.raises(ValueError, match=r'confidence is \(2, 2\)'):
        require_one_shape(maps(torch.ones(2, 3), confidence=torch.ones(2, 2)))
