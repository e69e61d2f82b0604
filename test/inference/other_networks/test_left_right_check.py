"""Visibility and confidence from both views, with numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.other_networks.left_right_check import check
from support.onnx_networks import BlockMatcher
from support.shifted_pairs import SHIFT, matched, shifted_pair

Writer = Callable[..., Path]
E = float(np.exp(-1))


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values])


def test_a_row_by_hand() -> None:
    # Pixel 0: its match at 0 - 2 is outside. Pixels 1 and 2: at 1 - 1 = 0 and 2 - 1 = 1, where the
    # right view has 1 and 2. Pixel 3: at 3 - 2 = 1, which has 2. Pixel 4: at 4 - 4 = 0, which has
    # 1. Pixel 5: unknown.
    of_left = row(2, 1, 1, 2, 4, float('nan'))
    of_right = row(1, 2, 9, 9, 9, 9)
    found = check(of_left, of_right)
    assert found.visibility[0].tolist() == [0, 1, 1, 1, 0, 0]
    expected = [0, 1, E, 1, E**3, 0]
    assert found.confidence[0].tolist() == pytest.approx(expected)


def test_the_nearest_column_counts() -> None:
    # 2 - 0.4 = 1.6 is nearest to 2, 2 - 0.6 to 1.
    assert check(row(9, 9, 0.4), row(9, 9, 0.4)).confidence[0, 2] == pytest.approx(1)
    assert check(row(9, 9, 0.6), row(9, 0.6, 9)).confidence[0, 2] == pytest.approx(1)


def test_tolerance_grows_with_the_scale() -> None:
    of_left, of_right = row(0, 0, 2), row(1.5, 9, 9)
    assert check(of_left, of_right).confidence[0, 2] == pytest.approx(np.exp(-0.5))
    far = row(3.5, 9, 9)
    assert check(of_left, far).visibility[0, 2] == 0
    assert check(of_left, far, scale=2.0).visibility[0, 2] == 1
    assert check(of_left, far, scale=2.0).confidence[0, 2] == pytest.approx(np.exp(-0.75))
    # Images that were enlarged are no more exact for that.
    assert check(of_left, of_right, scale=0.1).visibility[0, 2] == 1


def test_unknown_in_the_right_view_is_not_visible() -> None:
    found = check(row(0, 1), row(float('nan'), 3))
    assert found.visibility[0, 1] == 0
    assert found.confidence[0, 1] == 0


def test_negative_disparities_lead_to_the_right() -> None:
    found = check(row(-1, -1, -1), row(9, -1, -1))
    assert found.visibility[0].tolist() == [1, 1, 0]


@given(
    st.lists(st.floats(-40, 40), min_size=8, max_size=8),
    st.lists(st.floats(-40, 40), min_size=8, max_size=8),
    st.floats(0.2, 5),
)
def test_any_maps_give_probabilities(left: list[float], right: list[float], scale: float) -> None:
    found = check(torch.tensor([left]), torch.tensor([right]), scale=scale)
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    assert ((found.visibility == 0) | (found.visibility == 1)).all()
    # Visible means that both differ by at most 1 px of the matched width: exp(-1).
    assert (found.confidence[found.visibility == 1] >= E - 1e-6).all()


def test_an_occluded_strip_is_found(write: Writer) -> None:
    # A nearer square at 24 px before a wall at 12 px hides 12 columns of the wall left of it.
    random = np.random.default_rng(5)
    wall = random.integers(0, 256, (120, 220, 3), np.uint8)
    square = random.integers(0, 256, (60, 60, 3), np.uint8)
    left, right = wall[:, :200].copy(), wall[:, SHIFT : 200 + SHIFT].copy()
    left[30:90, 100:160] = square
    right[30:90, 76:136] = square
    found = matched(write(BlockMatcher()), [left, right])
    assert float(found.visibility[36:84, 90:98].mean()) < 0.1
    assert float(found.visibility[36:84, 106:154].mean()) > 0.98
    assert float(found.visibility[36:84, 40:84].mean()) > 0.98
    # Left of the wall's disparity the right view ends.
    assert float(found.visibility[:, :8].mean()) < 0.1
    assert float(found.confidence[36:84, 90:98].median()) < 0.1
    assert float(found.confidence[36:84, 106:154].median()) > 0.9


def test_the_confidence_is_known_to_be_of_the_check(write: Writer) -> None:
    with StereoMatcher.open(write(BlockMatcher()), device='cpu') as matcher:
        assert matcher.confidence_table == 'left_right_check'
        found = matcher.match(*shifted_pair())
    assert ((found.visibility == 0) | (found.visibility == 1)).all()
