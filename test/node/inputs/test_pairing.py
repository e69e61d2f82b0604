"""Left and right images are joined by their timestamps, within limits of number and bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.node.faults import DropCause
from s2m2_ros.node.inputs.pairing import LEFT, RIGHT, StereoPairing, TimedImage

MILLISECOND = 1_000_000


class Bench:
    """A pairing, what it joined (timestamps in milliseconds), and what it dropped."""

    def __init__(self, **options: Any) -> None:
        self.dropped: Counter[DropCause] = Counter()
        self.pairs: list[tuple[float, float]] = []
        self.pairing = StereoPairing(self.drop, **options)

    def drop(self, cause: DropCause, count: int) -> None:
        if count:
            self.dropped[cause] += count

    def add(self, side: int, stamp: float, size: int = 1) -> None:
        image = TimedImage(round(stamp * MILLISECOND), f'{side} {stamp}', size)
        pair = self.pairing.add(side, image)
        if pair is not None:
            left, right = pair
            self.pairs.append((left.stamp / MILLISECOND, right.stamp / MILLISECOND))

    def feed(self, events: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
        for side, stamp in events:
            self.add(side, stamp)
        return self.pairs


def alternating(*stamps: tuple[float | None, float | None]) -> list[tuple[int, float]]:
    """Return the arrivals of these left and right timestamps; None is a lost image."""
    return [
        (side, stamp)
        for both in stamps
        for side, stamp in zip((LEFT, RIGHT), both, strict=True)
        if stamp is not None
    ]


def test_equal_timestamps_are_joined_whichever_eye_is_later() -> None:
    bench = Bench()
    assert bench.feed([(LEFT, 0), (RIGHT, 0), (RIGHT, 10), (LEFT, 10)]) == [(0, 0), (10, 10)]
    assert not bench.dropped


def test_without_slop_near_timestamps_are_not_joined() -> None:
    bench = Bench()
    assert bench.feed(alternating(*[(10 * i, 10 * i + 0.001) for i in range(8)])) == []


def test_what_is_older_than_a_pair_is_given_up() -> None:
    bench = Bench()
    bench.feed([(LEFT, 0), (LEFT, 10), (LEFT, 20), (RIGHT, 20)])
    assert bench.dropped == {DropCause.UNMATCHED: 2}
    assert bench.pairing.waiting == 0


def test_a_second_image_of_one_timestamp_replaces_the_first() -> None:
    bench = Bench()
    bench.feed([(LEFT, 5), (LEFT, 5), (RIGHT, 5)])
    assert bench.pairs == [(5, 5)]
    assert bench.dropped == {DropCause.SAME_TIMESTAMP: 1}


@pytest.mark.parametrize('slop', [0, 20 * MILLISECOND, 50 * MILLISECOND])
@pytest.mark.parametrize('lost', [(LEFT, 0), (RIGHT, 0), (LEFT, 5), (RIGHT, 5)])
def test_90_hz_with_a_lost_image_never_joins_neighbors(slop: int, lost: tuple[int, int]) -> None:
    """As public recordings have it: 11.1 ms apart, equal timestamps, one image missing."""
    bench = Bench(slop=slop)
    period = 1000 / 90
    events = [
        (side, index * period)
        for index in range(12)
        for side in (LEFT, RIGHT)
        if (side, index) != lost
    ]
    pairs = bench.feed(events)
    assert len(pairs) == 11
    assert all(left == right for left, right in pairs)


def test_near_timestamps_are_joined_with_the_nearest() -> None:
    bench = Bench(slop=20 * MILLISECOND)
    events = alternating(*[(33 * i, 33 * i + 6) for i in range(10)])
    pairs = bench.feed(events)
    assert all(right - left == 6 for left, right in pairs)
    # The first wait until the period is known, and that no equal timestamps will come.
    assert [left for left, _ in pairs] == [33 * i for i in range(1, 10)]


def test_slop_is_exclusive() -> None:
    for apart, joined in ((9.99, True), (10.0, False)):
        bench = Bench(slop=10 * MILLISECOND)
        bench.feed(alternating(*[(100 * i, 100 * i + apart) for i in range(6)]))
        assert bool(bench.pairs) is joined


def test_half_a_period_is_the_limit_of_near() -> None:
    """At 10 ms between images one that is 6 ms away belongs to the next exposure."""
    bench = Bench(slop=20 * MILLISECOND)
    lost_right = alternating(*[(10 * i, None if i == 3 else 10 * i + 2) for i in range(10)])
    pairs = bench.feed(lost_right)
    assert {right - left for left, right in pairs} == {2}
    assert 30 not in [left for left, _ in pairs]


def test_bursts_of_synchronized_cameras_are_not_joined_across_exposures() -> None:
    """Software triggers 3 ms apart: the period says nothing, the equal timestamps do."""
    bench = Bench(slop=20 * MILLISECOND)
    regular = [(100 * i, 100 * i) for i in range(6)]
    burst = [(600, None), (None, 603), (700, 700), (800, 800)]
    pairs = bench.feed(alternating(*regular, *burst))
    assert all(left == right for left, right in pairs)
    assert len(pairs) == 8


def test_cameras_that_lose_their_synchronization_are_joined_again() -> None:
    bench = Bench(slop=20 * MILLISECOND)
    bench.feed(alternating(*[(33 * i, 33 * i) for i in range(20)]))
    bench.feed(alternating(*[(33 * i, 33 * i + 4) for i in range(20, 40)]))
    near = [pair for pair in bench.pairs if pair[0] != pair[1]]
    # Six of the last ten must be evidence before near timestamps count again.
    assert len(near) >= 12


def test_queues_are_limited_in_number() -> None:
    bench = Bench(queue_size=3)
    bench.feed([(LEFT, stamp) for stamp in range(10)])
    assert bench.pairing.waiting == 3
    assert bench.dropped == {DropCause.UNMATCHED: 7}
    assert bench.feed([(RIGHT, 6)]) == []
    assert bench.feed([(RIGHT, 7)]) == [(7, 7)]


def test_queues_are_limited_in_bytes() -> None:
    bench = Bench(queue_size=1000, queue_bytes=100)
    for stamp in range(50):
        bench.add(LEFT, stamp, size=30)
    assert bench.pairing.waiting == 3
    bench.add(LEFT, 50, size=1000)  # alone above the limit: only the newest stays
    assert bench.pairing.waiting == 1
    bench.add(RIGHT, 50, size=1000)
    assert bench.pairs == [(50, 50)]
    bench.add(LEFT, 60, size=30)
    assert bench.pairing.waiting == 1


def test_a_smaller_queue_counts_at_once() -> None:
    bench = Bench(queue_size=10)
    bench.feed([(LEFT, stamp) for stamp in range(10)])
    bench.pairing.configure(slop=0, queue_size=2)
    assert bench.pairing.waiting == 2


def test_clearing_gives_up_what_waits() -> None:
    bench = Bench()
    bench.feed([(LEFT, 100), (LEFT, 110), (RIGHT, 120)])
    bench.pairing.clear(DropCause.DEACTIVATED)
    assert bench.dropped == {DropCause.DEACTIVATED: 2}
    assert bench.feed([(RIGHT, 100), (LEFT, 0), (RIGHT, 0)]) == [(0, 0)]


def test_heavy_losses_do_not_pass_for_a_long_period() -> None:
    """Every third image arrives, and of each exposure only one: 10 ms apart is the neighbor."""
    bench = Bench(slop=20 * MILLISECOND)
    events = [(LEFT, 0.0), (RIGHT, 10.0), (LEFT, 30.0), (RIGHT, 40.0), (LEFT, 60.0)]
    assert bench.feed(events) == []


@given(
    lost=st.sets(st.tuples(st.sampled_from([LEFT, RIGHT]), st.integers(0, 39))),
    late=st.integers(0, 4),
    slop=st.sampled_from([0, 5, 20, 200]),
    period=st.sampled_from([2.0, 11.1, 33.3, 100.0]),
)
def test_hardware_synchronized_images_are_only_joined_with_their_own(
    lost: set[tuple[int, int]], late: int, slop: int, period: float
) -> None:
    """Whatever is lost, and however late one eye arrives."""
    bench = Bench(slop=slop * MILLISECOND)
    for index in range(40 + late):
        if index < 40 and (LEFT, index) not in lost:
            bench.add(LEFT, index * period)
        if index >= late and (RIGHT, index - late) not in lost:
            bench.add(RIGHT, (index - late) * period)
    assert all(left == right for left, right in bench.pairs)
    whole = [i for i in range(40) if not {(LEFT, i), (RIGHT, i)} & lost]
    assert len(bench.pairs) == len(whole)


@given(
    events=st.lists(
        st.tuples(st.sampled_from([LEFT, RIGHT]), st.integers(0, 30), st.integers(1, 50)),
        max_size=60,
    ),
    slop=st.integers(0, 5),
)
def test_every_left_image_is_joined_dropped_or_waiting(
    events: list[tuple[int, int, int]], slop: int
) -> None:
    bench = Bench(slop=slop * MILLISECOND, queue_size=4, queue_bytes=100)
    newest = [0, 0]
    stamps = [0, 0]
    for side, step, size in events:
        stamps[side] += step % 4  # timestamps of one eye do not decrease
        newest[side] += 1
        bench.add(side, stamps[side], size)
    assert newest[LEFT] == len(bench.pairs) + bench.dropped.total() + bench.pairing.waiting
    assert all(abs(left - right) < slop or left == right for left, right in bench.pairs)
    assert len(set(bench.pairs)) <= len(bench.pairs)
