"""Which pairs are matched at a limited rate; arrivals are simulated."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.node.pair_limit import PairLimit


def admitted(arrivals: list[float], rate: float) -> list[float]:
    limit = PairLimit()
    return [now for now in arrivals if limit.admits(rate, now)]


def camera(rate: float, seconds: float, jitter: float = 0.0) -> list[float]:
    """Return arrivals, each late by up to `jitter` seconds, after ones that begin at 1000 s."""
    chance = np.random.default_rng(1)
    return sorted(
        1000 + i / rate + float(chance.uniform(0, jitter)) for i in range(round(seconds * rate))
    )


def test_no_limit_admits_all() -> None:
    arrivals = camera(30, 2)
    assert admitted(arrivals, 0.0) == arrivals


@pytest.mark.parametrize('jitter', [0.0, 0.002, 0.01, 0.02])
@pytest.mark.parametrize(
    ('rate', 'limit', 'expected'),
    [
        (30, 10, 10),
        (15, 10, 10),
        (29.97, 10, 10),
        (60, 7, 7),
        (10, 10, 10),
        (25, 20, 20),
        (8, 10, 8),
        (30, 0.5, 0.5),
    ],
)
def test_the_rate_is_reached_in_spite_of_jitter(
    rate: float, limit: float, expected: float, jitter: float
) -> None:
    """30 Hz at a limit of 10 Hz are 10 Hz, not the 7.5 Hz of every fourth image."""
    found = admitted(camera(rate, 60, jitter), limit)
    assert len(found) == pytest.approx(60 * expected, rel=0.02, abs=1)


def test_what_is_admitted_is_evenly_spaced() -> None:
    found = admitted(camera(30, 60, 0.01), 10)[5:]
    gaps = [b - a for a, b in pairwise(found)]
    assert min(gaps) > 0.1 - 0.033
    assert max(gaps) < 0.1 + 0.033
    assert admitted(camera(30, 3), 10)[3:] == camera(30, 3)[9::3]


@given(
    st.lists(st.floats(0, 0.5), min_size=2, max_size=200),
    st.sampled_from([0.1, 1.0, 5.0, 10.0, 100.0]),
)
def test_there_are_never_more(gaps: list[float], rate: float) -> None:
    """Of any arrivals, bursts too: `rate * time` and the two ends at most, anywhere."""
    arrivals = [sum(gaps[:i]) for i in range(len(gaps))]
    found = admitted(arrivals, rate)
    assert found[0] == arrivals[0]
    for first in range(len(found)):
        for last in range(first, len(found)):
            time = found[last] - found[first]
            assert last - first + 1 <= rate * time + 2 + 1e-6


def test_a_pause_is_not_caught_up_with() -> None:
    burst = [60 + i / 100 for i in range(100)]
    found = admitted([i / 10 for i in range(30)] + burst, 10)
    assert 10 <= len([at for at in found if at >= 60]) <= 12


def test_a_changed_limit_counts_at_once() -> None:
    limit, arrivals = PairLimit(), camera(20, 100)
    slow = [at for at in arrivals[:200] if limit.admits(0.001, at)]
    assert slow == arrivals[:1]
    fast = [at for at in arrivals[200:400] if limit.admits(5.0, at)]
    assert fast[0] == arrivals[200]
    assert len(fast) == pytest.approx(50, abs=1)
    assert all(limit.admits(0.0, at) for at in arrivals[400:600])
    assert sum(limit.admits(10.0, at) for at in arrivals[600:800]) == pytest.approx(100, abs=2)


def test_the_lowest_rate_admits_one_pair() -> None:
    assert admitted(camera(30, 60), 5e-324) == [1000.0]
