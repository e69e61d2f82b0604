"""Which images belong together, by their timestamps alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.io.recordings.pairing import PairingRule, PairMaker, measured_rule

MS = 10**6
EXACT = PairingRule(0, 100 * MS)
WITHIN_40 = PairingRule(40 * MS, 100 * MS)


def joined(rule: PairingRule, left: list[int], right: list[int]) -> list[tuple[int, int]]:
    """Feed both sides in the order of their timestamps, in milliseconds."""
    maker: PairMaker[int] = PairMaker(rule)
    pairs = []
    for stamp, side in sorted([(s, 0) for s in left] + [(s, 1) for s in right]):
        pairs += list(maker.add(side, stamp * MS, stamp))
    pairs += list(maker.finish())
    assert maker.unpaired == len(left) + len(right) - 2 * len(pairs)
    return pairs


def test_equal_timestamps_are_told_from_the_beginning() -> None:
    assert measured_rule([1, 12, 23], [12, 23, 34]).tolerance_ns == 0


def test_the_tolerance_is_less_than_half_the_shorter_period() -> None:
    # Periods of 100 and 50 ms, never equal: 0.45 * 50 ms.
    rule = measured_rule([0, 100 * MS, 200 * MS], [20 * MS, 70 * MS, 120 * MS])
    assert rule.tolerance_ns == 22.5 * MS


def test_one_coincidence_among_many_is_no_common_trigger() -> None:
    left = [number * 10 * MS for number in range(60)]
    right = [number * 10 * MS + 3 * MS for number in range(59)] + [left[-1]]
    assert measured_rule(left, right).tolerance_ns == 4.5 * MS


def test_single_images_are_paired_as_at_30_hz() -> None:
    assert measured_rule([5], [6]).tolerance_ns == 15 * MS - 1


def test_lost_frames_leave_their_counterpart_alone() -> None:
    assert joined(EXACT, [0, 11, 22, 33], [11, 22, 33]) == [(11, 11), (22, 22), (33, 33)]
    assert joined(EXACT, [0, 22], [11, 33]) == []


def test_nearest_images_are_joined() -> None:
    # Right 70 is nearer to left 100 than to left 40, and right 41 came first.
    assert joined(WITHIN_40, [0, 40, 100], [41, 70, 130]) == [(40, 41), (100, 70)]
    assert joined(WITHIN_40, [0, 100, 200], [20, 120, 220]) == [(0, 20), (100, 120), (200, 220)]
    assert joined(WITHIN_40, [0, 30], [35]) == [(30, 35)]


def test_time_that_jumps_back_begins_anew() -> None:
    maker: PairMaker[str] = PairMaker(EXACT)
    assert list(maker.add(0, 500, 'old left')) == []
    assert list(maker.add(0, 100, 'left')) == []
    assert list(maker.add(1, 100, 'right')) == [('left', 'right')]


def test_a_jump_of_both_clocks_parts_what_is_before_from_what_is_after() -> None:
    """The right image of 5.0 s of the second round is not that of the first one's left."""
    maker: PairMaker[str] = PairMaker(EXACT)
    found = []
    for log_ms, (side, stamp_ms, item) in enumerate(
        [
            (0, 5000, 'first left'),
            (0, 1000, 'left 1'),
            (1, 5100, 'first right'),
            (1, 1000, 'right 1'),
            (0, 5000, 'second left'),
            (1, 5000, 'second right'),
        ]
    ):
        found += list(maker.add(side, stamp_ms * MS, item, log_ns=log_ms * MS))
    assert found == [('left 1', 'right 1'), ('second left', 'second right')]
    assert maker.unpaired == 2


@pytest.mark.parametrize('order', [[0, 2, 1, 3], [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 13]])
def test_images_out_of_order_are_joined_all_the_same(order: list[int]) -> None:
    """One right image comes after one, or after eleven, later ones."""
    maker: PairMaker[int] = PairMaker(EXACT)
    found = []
    for log, frame in enumerate(order):
        found += list(maker.add(0, log * 100 * MS, log, log_ns=log * 100 * MS))
        found += list(maker.add(1, frame * 100 * MS, frame, log_ns=log * 100 * MS + MS))
    found += list(maker.finish())
    assert sorted(found) == [(frame, frame) for frame in range(len(order))]
    if order == [0, 2, 1, 3]:
        assert found == sorted(found)


@pytest.mark.parametrize('rule', [EXACT, WITHIN_40])
@pytest.mark.parametrize(('late_ms', 'count'), [(9_900, 400), (10_100, 0)])
def test_a_side_that_comes_late_is_waited_for_up_to_ten_seconds(
    rule: PairingRule, late_ms: int, count: int
) -> None:
    """100 Hz: about 990 images wait."""
    maker: PairMaker[int] = PairMaker(rule)
    events = [(10 * n, 0, n) for n in range(400)] + [(10 * n + late_ms, 1, n) for n in range(400)]
    found = []
    for log_ms, side, frame in sorted(events):
        stamp_ns = (100 * frame + 7 * (side if rule.tolerance_ns else 0)) * MS
        found += list(maker.add(side, stamp_ns, frame, log_ns=log_ms * MS))
    # Of the last one the next left image might be nearer.
    assert len(found) >= count - 1
    found += list(maker.finish())
    assert found == [(n, n) for n in range(count)]
    assert len(maker.take_alone()) == maker.unpaired == 800 - 2 * count


def test_a_silent_side_costs_a_bounded_amount_of_memory() -> None:
    maker: PairMaker[int] = PairMaker(EXACT)
    for frame in range(1000):
        assert list(maker.add(0, frame * 100 * MS, frame)) == []
    # Of ten seconds, both ends of which count, 101 images wait.
    assert maker.unpaired == 1000 - 101
    large: PairMaker[int] = PairMaker(EXACT)
    for stamp in range(8):
        list(large.add(0, stamp, stamp, size=200 << 20))
    assert large.unpaired == 6  # 2 * 200 MiB are below 512 MiB


def test_images_that_lost_their_common_trigger_are_told_from_lost_frames() -> None:
    """Frame 1 is 2 ms apart; of frame 2 there is no right image, of frame 3 no left one."""
    maker: PairMaker[int] = PairMaker(EXACT)
    pairs = []
    for side, stamps in ((0, [0, 100, 200, 400]), (1, [0, 102, 300, 400])):
        for stamp in stamps:
            pairs += list(maker.add(side, stamp * MS, stamp))
    assert [*pairs, *maker.finish()] == [(0, 0), (400, 400)]
    found = {(a.side, a.stamp_ns // MS): a.is_near for a in maker.take_alone() if not a.side}
    assert found == {(0, 100): True, (0, 200): False}


@given(
    st.lists(st.integers(0, 40), unique=True),
    st.lists(st.integers(0, 40), unique=True),
    st.integers(1, 1000),
)
def test_exactly_the_equal_timestamps_are_pairs(
    left: list[int], right: list[int], step: int
) -> None:
    expected = [(s * step, s * step) for s in sorted(set(left) & set(right))]
    assert joined(EXACT, [s * step for s in left], [s * step for s in right]) == expected


@given(
    st.sets(st.integers(0, 60), min_size=1), st.sets(st.integers(0, 60), min_size=1),
    st.integers(-44, 44), st.lists(st.integers(-2, 2), min_size=61, max_size=61),
)  # fmt: skip
def test_shifted_cameras_are_joined_frame_by_frame(
    left: set[int], right: set[int], shift: int, jitter: list[int]
) -> None:
    """Frames every 100 ms, the right one up to 44 ms apart, any of them lost: no mix-up."""
    rule = PairingRule(48 * MS, 100 * MS)
    lefts = [1000 + 100 * frame for frame in sorted(left)]
    rights = [1000 + 100 * frame + shift + jitter[frame] for frame in sorted(right)]
    frames = [
        ((a - 1000) // 100, round((b - 1000 - shift) / 100))
        for a, b in joined(rule, lefts, rights)
    ]
    assert frames == [(frame, frame) for frame in sorted(left & right)]


@given(
    st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.sampled_from([0, 1]),
    st.lists(st.integers(0, 9_900), min_size=61, max_size=61),
    st.lists(st.integers(0, 700), min_size=61, max_size=61),
)  # fmt: skip
def test_in_whatever_order_one_eye_comes_all_pairs_are_found(
    left: set[int], right: set[int], late_side: int, late_ms: list[int], jitter_ms: list[int]
) -> None:
    """Frames every 100 ms; one eye up to ten seconds late each, both out of order by some."""
    arrivals = [
        (100 * n + jitter_ms[n] // (1 + side) + late_ms[n] * (side == late_side), side, n)
        for side, frames in enumerate((left, right))
        for n in frames
    ]
    maker: PairMaker[int] = PairMaker(EXACT)
    found = []
    for log_ms, side, frame in sorted(arrivals):
        found += list(maker.add(side, frame * 100 * MS, frame, log_ns=log_ms * MS))
    found += list(maker.finish())
    common = left & right
    close = {n for n in common if abs(jitter_ms[n] - jitter_ms[n] // 2) + late_ms[n] <= 10_000}
    assert {(n, n) for n in close} <= set(found) <= {(n, n) for n in common}
    assert len(found) == len(set(found))
    alone = sorted((a.side, a.stamp_ns // MS // 100) for a in maker.take_alone())
    paired = {n for n, _ in found}
    assert alone == sorted([(0, n) for n in left - paired] + [(1, n) for n in right - paired])
