"""The words for missing pairs."""

from __future__ import annotations

from collections.abc import Sequence

from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.statistics import RateMeter
from s2m2_ros.node.sync_diagnosis import InputTopic, explain_rates, explain_silence

NAMES = ('left/image_rect', 'right/image_rect', 'left/camera_info', 'right/camera_info')
NOW = 100.0
MILLISECOND = 1_000_000


def topics(*stamps: Sequence[int], arrived: float = NOW) -> list[InputTopic]:
    made = [InputTopic(name) for name in NAMES]
    for topic, values in zip(made, stamps, strict=True):
        for value in values:
            topic.take(value, arrived)
    return made


def explain(
    inputs: list[InputTopic], publishers: Sequence[int] = (1, 1, 1, 1), **settings: object
) -> str:
    return explain_silence(inputs, publishers, Settings(**settings), NOW)  # type: ignore[arg-type]


def test_nobody_publishes() -> None:
    text = explain(topics([], [], [], []), (0, 0, 0, 0))
    assert all(name in text for name in NAMES)
    assert 'remapped' in text


def test_one_topic_is_silent_with_and_without_a_publisher() -> None:
    inputs = topics([1], [], [1], [1])
    assert 'nobody publishes right/image_rect (' in explain(inputs, (1, 0, 1, 1))
    assert explain(inputs).startswith('no pairs: right/image_rect silent though published:')


def test_what_arrived_long_ago_is_silent() -> None:
    assert 'left/image_rect, right/image_rect' in explain(
        topics([1], [1], [1], [1], arrived=NOW - 4)
    )


def test_exact_stamps_apart() -> None:
    left = [0, 33 * MILLISECOND]
    right = [8 * MILLISECOND, 41 * MILLISECOND]
    text = explain(topics(left, right, left, right))
    assert 'left/image_rect and right/image_rect are at least 8 ms apart' in text
    # Half as much again and a millisecond: 13 ms; the default slop of 20 ms is enough already.
    assert 'approximate_sync to true and slop to 0.02' in text


def test_slop_too_small() -> None:
    late = [50 * MILLISECOND]
    text = explain(topics([0], late, [0], late), approximate_sync=True, slop=0.02)
    assert 'at least 50 ms apart, and slop is 0.02: set slop to 0.076' in text


def test_two_clocks() -> None:
    text = explain(topics([0], [5_000 * MILLISECOND], [0], [0]))
    assert 'at least 5 s apart' in text
    assert 'clocks differ' in text


def test_common_by_twos_but_not_all_together() -> None:
    text = explain(topics([1, 2], [2, 3], [1, 3], [1, 2, 3]))
    assert 'sync_queue_size' in text


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def test_rates_that_differ_are_compared() -> None:
    clock = Clock()
    inputs = [InputTopic(name, rate=RateMeter(clock=clock)) for name in NAMES]
    for tick in range(150):
        clock.now += 1 / 30
        for topic in inputs:
            if topic.name != 'right/image_rect' or tick % 2:
                topic.take(tick, clock.now)
    text = explain_rates(inputs)
    assert text is not None
    assert 'right/image_rect comes at 15 Hz' in text
    assert 'at 30 Hz' in text
    assert explain_rates([t for t in inputs if t.name != 'right/image_rect']) is None
