"""The period of what comes again and again, by worked numbers."""

from __future__ import annotations

from s2m2_ros.node.rhythm import RECENT_DIFFERENCES, Rhythm


def rhythm(*times: float) -> Rhythm:
    made = Rhythm()
    for time in times:
        made.note(time)
    return made


def test_the_period_is_known_from_the_second_time_on() -> None:
    assert (rhythm().newest, rhythm().period) == (None, None)
    assert (rhythm(7).newest, rhythm(7).period) == (7, None)
    assert (rhythm(7, 9).newest, rhythm(7, 9).period) == (9, 2)


def test_what_is_lost_leaves_the_period_and_so_does_one_burst() -> None:
    assert rhythm(0, 10, 40, 60, 70).period == 10
    # Of ten differences the second smallest counts.
    assert rhythm(0, 10, 20, 30, 31, 40, 50, 60, 70, 80, 90).period == 9
    slower = [*range(0, 100, 10), *range(200, 200 + 100 * RECENT_DIFFERENCES, 100)]
    assert rhythm(*slower).period == 100


def test_it_begins_anew_when_times_jump_back() -> None:
    made = rhythm(0, 10, 20)
    assert not made.note(5)
    assert (made.newest, made.period) == (5, None)
    assert made.note(8)
    assert made.period == 3
