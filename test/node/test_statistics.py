"""Counters, rates and faults, with a clock that the test turns."""

from __future__ import annotations

import math
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.node.faults import DropCause, Fault, FaultLog, Level
from s2m2_ros.node.statistics import Counters, RateMeter, RecentValues, Trend


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_counts_always_add_up_from_several_threads() -> None:
    counters = Counters()

    def work(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311  # not for secrets
        for _ in range(500):
            counters.receive()
            if chance.random() < 0.5:
                counters.match()
                counters.process()
            else:
                counters.drop(DropCause.UNMATCHED)
            assert counters.counts().waiting >= 0

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = counters.counts()
    assert (counts.received, counts.waiting) == (2000, 0)
    assert counts.processed + counts.dropped == 2000
    assert counts.processed == counts.matched


def test_a_rate_counts_its_window_only() -> None:
    clock = Clock()
    meter = RateMeter(window=5.0, clock=clock)
    for _ in range(20):
        clock.now += 0.5
        meter.tick()
    assert meter.rate() == pytest.approx(2.0)
    clock.now += 4.0  # two of the ten in the window are left
    assert meter.rate() == pytest.approx(0.4)
    clock.now += 10.0
    assert meter.rate() == 0


def test_a_young_rate_goes_by_its_age() -> None:
    clock = Clock()
    meter = RateMeter(window=5.0, clock=clock)
    assert meter.rate() == 0
    clock.now += 1.0
    meter.tick()
    meter.tick()
    assert meter.rate() == pytest.approx(2.0)


def test_median_and_percentile_of_recent_values() -> None:
    values = RecentValues(size=100)
    assert math.isnan(values.spread().median)
    for value in [math.nan, *range(1, 201)]:
        values.add(value)
    # 101 to 200 remain: the median lies between 150 and 151, the 95th of them is 195.
    assert values.spread().median == 150.5
    assert values.spread().percentile_95 == 195


def test_a_trend_shows_a_fall_before_the_usual_value_follows() -> None:
    trend = Trend(short=10, long=1000)
    for _ in range(500):
        trend.add(0.9)
    for _ in range(50):
        trend.add(0.5)
    trend.add(math.nan)
    # 0.5 + 0.4 * 0.9**50 and about 0.9 - 0.4 * (1 - (1 - 1/525)**50).
    assert trend.recent == pytest.approx(0.502, abs=0.001)
    assert trend.usual == pytest.approx(0.864, abs=0.003)
    assert trend.change < -0.3


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
def test_a_young_trend_is_the_average(values: list[float]) -> None:
    trend = Trend(short=20, long=600)
    for value in values:
        trend.add(value)
    assert trend.recent == pytest.approx(sum(values) / len(values))
    assert trend.change == pytest.approx(0, abs=1e-12)


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[Level, str]] = []

    def __call__(self, level: Level, text: str) -> None:
        self.lines.append((level, text))


def test_a_cause_is_said_once_then_seldom_then_taken_back() -> None:
    clock, log = Clock(), Log()
    faults = FaultLog(log, clock=clock)
    for _ in range(100):
        faults.report(Fault.INPUT, 'too dark')
        clock.now += 0.1
    assert log.lines == [(Level.ERROR, 'too dark')]
    clock.now = 131.0
    faults.report(Fault.INPUT, 'too dark')
    assert log.lines[1:] == [(Level.ERROR, 'too dark (100 times in 31 s)')]
    faults.clear(Fault.INPUT)
    assert log.lines[2:] == [(Level.OK, 'input: recovered')]
    faults.clear(Fault.INPUT)
    assert len(log.lines) == 3
    assert faults.current() == {}


def test_other_words_for_a_cause_are_logged_earlier_but_not_at_any_rate() -> None:
    clock, log = Clock(), Log()
    faults = FaultLog(log, clock=clock)
    for count in range(100):
        faults.report(Fault.INPUT, f'{count} bytes')
        clock.now += 0.0625
    assert [text.partition(' (')[0] for _, text in log.lines] == ['0 bytes', '80 bytes']
    assert faults.current() == {Fault.INPUT: (Level.ERROR, '99 bytes')}


def test_a_passing_cause_passes() -> None:
    clock, log = Clock(), Log()
    faults = FaultLog(log, clock=clock)
    faults.report(Fault.TIMESTAMPS, 'jumped')
    faults.report(Fault.INPUT, 'dark')
    clock.now += 11
    assert faults.current() == {Fault.INPUT: (Level.ERROR, 'dark')}


def test_forgetting_is_silent() -> None:
    log = Log()
    faults = FaultLog(log)
    faults.report(Fault.INPUT, 'dark')
    faults.reset(Fault.INPUT, Fault.TIMESTAMPS)
    assert faults.current() == {}
    assert len(log.lines) == 1
