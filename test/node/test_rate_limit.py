"""Which pairs get an output that comes less often than the pairs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.node.rate_limit import RateLimit

MILLISECOND = 1_000_000


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 7_000_000_000_000

    def __call__(self) -> int:
        return self.now


def used(limit: RateLimit, stamps: Iterable[int], rate: float) -> list[int]:
    """Return the numbers of the pairs that got the output."""
    found = []
    for number, stamp in enumerate(stamps):
        if limit.due(stamp, rate):
            limit.use()
            found.append(number)
    return found


def at(frequency: float, count: int, start: float = 100.0) -> list[int]:
    return [round((start + number / frequency) * 1e9) for number in range(count)]


def test_zero_means_every_pair() -> None:
    assert used(RateLimit(), at(30, 5), 0.0) == [0, 1, 2, 3, 4]


def test_every_third_of_a_camera_of_30_hz() -> None:
    # The period of 30 Hz is not a whole number of nanoseconds: the third image may be one early.
    found = used(RateLimit(), at(30, 300), 10.0)
    assert len(found) == 100
    assert set(np.diff(found).tolist()) <= {2, 3, 4}


def test_a_rate_above_the_cameras_leaves_out_nothing() -> None:
    assert used(RateLimit(), at(30, 6), 60.0) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize('speed', [0.1, 1.0, 10.0])
def test_a_recording_gives_the_same_at_any_speed(speed: float) -> None:
    clock = Clock()
    limit = RateLimit(clock=clock)
    found = []
    for number, stamp in enumerate(at(20, 40)):
        clock.now += round(50 * MILLISECOND / speed)
        if limit.due(stamp, 5.0):
            limit.use()
            found.append(number)
    assert found == list(range(0, 40, 4))


def test_a_jump_back_begins_anew() -> None:
    limit = RateLimit()
    assert used(limit, at(10, 3, 100.0), 1.0) == [0]
    assert used(limit, at(10, 12, 50.0), 1.0) == [0, 10]


def test_a_jump_ahead_does_not_bring_back_what_was_missed() -> None:
    limit = RateLimit()
    assert used(limit, at(10, 3, 100.0), 1.0) == [0]
    assert used(limit, at(10, 12, 1000.0), 1.0) == [0, 10]


@pytest.mark.parametrize('stamp', [0, 123_000_000_000])
def test_timestamps_that_stand_still_go_by_the_clock(stamp: int) -> None:
    clock = Clock()
    limit = RateLimit(clock=clock)
    found = []
    for number in range(40):
        if limit.due(stamp, 5.0):
            limit.use()
            found.append(number)
        clock.now += 50 * MILLISECOND
    # The first of a timestamp counts by that; those after it by the clock.
    assert found in (list(range(0, 40, 4)), [0, *range(1, 40, 4)])


def test_what_was_not_used_stays_due() -> None:
    limit = RateLimit()
    first, second, third = at(10, 3)
    assert limit.due(first, 1.0)  # but that pair failed
    assert limit.due(second, 1.0)
    limit.use()
    assert not limit.due(third, 1.0)


def test_a_changed_rate_counts_at_once() -> None:
    limit = RateLimit()
    stamps = at(10, 21)
    assert used(limit, stamps[:5], 0.1) == [0]
    assert used(limit, stamps[5:10], 0.0) == [0, 1, 2, 3, 4]
    assert used(limit, stamps[10:], 2.0) == [4, 9]


@given(
    rate=st.floats(0.1, 50.0),
    steps=st.lists(st.integers(1, 500), min_size=2, max_size=200),
)
def test_never_more_than_the_rate(rate: float, steps: list[int]) -> None:
    stamps = (np.cumsum(steps) * MILLISECOND + 10**12).tolist()
    found = used(RateLimit(), stamps, rate)
    for first in range(len(found)):
        for last in range(first + 1, len(found)):
            seconds = (stamps[found[last]] - stamps[found[first]]) / 1e9
            # One more than the ends of the span, and one that came late.
            assert last - first + 1 <= seconds * rate + 2 + 1e-6
