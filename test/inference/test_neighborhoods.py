"""What rows and surfaces say of a pixel, by hand and by loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from s2m2_ros.inference.neighborhoods import farther_neighbors, mean_on_surface

NAN = math.nan


def test_holes_take_the_farther_neighbor_of_their_row() -> None:
    disparity = torch.tensor(
        [
            [NAN, 9.0, NAN, NAN, 4.0, NAN],
            [NAN, NAN, NAN, NAN, NAN, NAN],
            [-2.0, NAN, math.inf, 3.0, NAN, 1.0],
        ]
    )
    found = farther_neighbors(disparity)
    assert found[0].tolist() == [9.0, 9.0, 4.0, 4.0, 4.0, 4.0]
    assert found[1].isnan().all()
    assert found[2].tolist() == [-2.0, -2.0, -2.0, 3.0, 1.0, 1.0]
    assert torch.equal(farther_neighbors(disparity[None])[0].nan_to_num(7), found.nan_to_num(7))


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 12)),
        elements=st.one_of(st.just(NAN), st.floats(-50, 50, width=32)),
    )
)
def test_holes_are_those_of_a_loop(disparity: np.ndarray) -> None:
    expected = disparity.copy()
    for row, values in zip(expected, disparity, strict=True):
        known = np.flatnonzero(np.isfinite(values))
        for column in np.flatnonzero(~np.isfinite(values)):
            sides = known[known < column][-1:], known[known > column][:1]
            row[column] = min((values[k] for side in sides for k in side), default=NAN)
    found = farther_neighbors(torch.from_numpy(disparity)).numpy()
    np.testing.assert_array_equal(found, expected)


def means(
    values: torch.Tensor, known: torch.Tensor, guide: torch.Tensor, *, cell: float, step: float
) -> torch.Tensor:
    """Return the means of all pixels, in the shape of the map."""
    wanted = torch.ones_like(known)
    return mean_on_surface(values, known, guide, wanted, cell=cell, step=step).view(guide.shape)


def two_surfaces() -> tuple[torch.Tensor, torch.Tensor]:
    """Return disparities 10 and 40, side by side, and errors of 0.5 and -1.5 on them."""
    guide = torch.full((40, 60), 10.0)
    guide[:, 30:] = 40.0
    return guide, torch.where(guide == 10, 0.5, -1.5)


def test_each_surface_gives_its_own_mean() -> None:
    guide, values = two_surfaces()
    known = torch.rand(guide.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    found = means(values, known, guide, cell=6, step=3)
    assert (found - values).abs().max().item() < 1e-5


def test_what_is_unknown_counts_for_nothing() -> None:
    guide, values = two_surfaces()
    known = torch.zeros(guide.shape, dtype=torch.bool)
    known[:, :20] = True
    spoiled = torch.where(known, values, NAN)
    found = means(spoiled, known, guide, cell=6, step=3)
    # Near enough to the known part, and on its surface.
    assert found[:, :26].flatten().tolist() == pytest.approx([0.5] * (40 * 26))
    assert (found[:, 40:] == 0).all()
    assert (means(values, torch.zeros_like(known), guide, cell=6, step=3) == 0).all()


@given(
    st.integers(1, 30), st.integers(1, 30), st.floats(1, 9), st.floats(0.5, 9), st.floats(-5, 5)
)
def test_one_error_everywhere_is_found_everywhere(
    height: int, width: int, cell: float, step: float, error: float
) -> None:
    guide = torch.rand(height, width, generator=torch.Generator().manual_seed(1)) * 20
    known = torch.ones(height, width, dtype=torch.bool)
    found = means(torch.full_like(guide, error), known, guide, cell=cell, step=step)
    assert (found - error).abs().max().item() <= 1e-4


def test_a_large_range_takes_no_more_layers() -> None:
    # Of steps of 0.01 px, 10^8 would be needed.
    guide = torch.linspace(0, 1e6, 2500).view(50, 50)
    known = torch.ones(50, 50, dtype=torch.bool)
    found = means(torch.ones(50, 50), known, guide, cell=5, step=0.01)
    assert (found - 1).abs().max().item() < 1e-4


def test_only_what_is_wanted_is_given_in_the_order_of_the_rows() -> None:
    guide, values = two_surfaces()
    known = torch.ones_like(guide, dtype=torch.bool)
    wanted = torch.zeros_like(known)
    wanted[3, 50] = wanted[3, 5] = wanted[2, 59] = True
    found = mean_on_surface(values, known, guide, wanted, cell=6, step=3)
    assert found.tolist() == pytest.approx([-1.5, 0.5, -1.5])
    assert mean_on_surface(values, known, guide, ~known, cell=6, step=3).shape == (0,)
