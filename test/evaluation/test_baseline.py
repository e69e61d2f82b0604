"""SGBM and the filling of its holes."""

from __future__ import annotations

import numpy as np
import pytest

from s2m2_ros.evaluation.baseline import fill_holes, open_baseline


@pytest.mark.parametrize('shift', [3, 20])
def test_the_baseline_is_the_backend_and_finds_a_shift(shift: int) -> None:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (60, 320, 3), dtype=np.uint8)
    wide = ((wide[:, :-1].astype(int) + wide[:, 1:]) // 2).astype(np.uint8)
    left, right = wide[:, : 300 - shift], wide[:, shift:300]
    # A point at left column x is at right column x - shift.
    with open_baseline() as matcher:
        assert matcher.backend == 'sgbm'
        estimate = matcher.match(left, right).disparity.numpy()
    inner = estimate[:, shift + 4 :]
    assert np.isfinite(inner).mean() > 0.9
    assert np.nanmedian(np.abs(inner - shift)) < 0.1


def test_holes_take_the_farther_neighbor() -> None:
    nan = np.nan
    disparity = np.array(
        [[nan, 5.0, nan, nan, 2.0, nan], [nan, nan, nan, nan, nan, nan]], np.float32
    )
    filled = fill_holes(disparity)
    assert filled[0].tolist() == [5.0, 5.0, 2.0, 2.0, 2.0, 2.0]
    assert filled[1].tolist() == [0.0] * 6
