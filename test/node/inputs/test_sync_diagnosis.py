"""The words for missing pairs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from s2m2_ros.node.inputs.sync_diagnosis import (
    InputTopic,
    PairProgress,
    explain_rates,
    explain_silence,
)
from s2m2_ros.node.parameters import Settings

NAMES = ('left/image_rect', 'right/image_rect', 'left/camera_info', 'right/camera_info')
NOW = 100.0
MILLISECOND = 1_000_000


def topics(
    *stamps: Sequence[int], arrived: float = NOW, publishers: Sequence[int] = (1, 1, 1, 1)
) -> list[InputTopic]:
    made = [InputTopic(n, publishers=p) for n, p in zip(NAMES, publishers, strict=True)]
    for topic, values in zip(made, stamps, strict=True):
        for value in values:
            topic.take(value, arrived)
    return made


def explain(inputs: list[InputTopic], **settings: object) -> str:
    made = Settings(**settings)  # type: ignore[arg-type]
    return explain_silence(inputs[:2], inputs[2:], made, NOW)


def test_nobody_publishes() -> None:
    text = explain(topics([], [], [], [], publishers=(0, 0, 0, 0)))
    assert text == f'no pairs: no publishers on {", ".join(NAMES)} (remapped to the camera?)'


def test_one_topic_is_silent_with_and_without_publishers() -> None:
    text = explain(topics([1], [], [1], [1], publishers=(1, 0, 1, 1)))
    assert text.startswith('no pairs: no publishers on right/image_rect (')
    text = explain(topics([1], [], [1], [1]))
    assert 'no messages received on right/image_rect although 1 publisher exists:' in text
    text = explain(topics([1], [], [1], [1], publishers=(1, 2, 1, 1)))
    assert 'no messages received on right/image_rect although 2 publishers exist:' in text
    assert 'Hz' not in text
    assert 'left/image_rect' not in text


def test_what_is_known_of_a_topic_is_said_of_it_alone() -> None:
    inputs = topics([], [], [], [], publishers=(0, 0, 0, 1))
    inputs[0].problem = 'only the compressed topic left/image_rect/compressed is published'
    text = explain(inputs)
    assert 'only the compressed topic' in text
    assert 'no publishers on right/image_rect, left/camera_info (' in text
    assert 'on right/camera_info although 1 publisher exists' in text


def test_what_arrived_long_ago_is_silent_unless_it_is_kept() -> None:
    inputs = topics([1], [1], [1], [1], arrived=NOW - 4)
    text = explain(inputs)
    assert 'on left/image_rect, right/image_rect although 1 publisher exists' in text
    assert 'camera_info' not in text
    assert 'right/camera_info although' in explain(inputs, cache_camera_info=False)


def test_exact_timestamps_apart() -> None:
    left = [0, 33 * MILLISECOND]
    right = [8 * MILLISECOND, 41 * MILLISECOND]
    text = explain(topics(left, right, left, right))
    assert 'of left/image_rect and right/image_rect are at least 8 ms apart' in text
    assert 'hardware-synchronize the cameras' in text
    # Half as much again and a millisecond: 13 ms; the default slop of 20 ms is enough already.
    assert 'approximate_sync to true and slop to 0.02' in text


def test_slop_too_small() -> None:
    late = [50 * MILLISECOND]
    text = explain(topics([0], late, [0], late), approximate_sync=True, slop=0.02)
    assert 'at least 50 ms apart, and slop is 0.02: set slop to 0.076' in text


@pytest.mark.parametrize('approximate', [True, False])
def test_lost_images_are_no_reason_to_join_others(approximate: bool) -> None:
    # 10 Hz, and each side lost what the other one got.
    left = [0, 200 * MILLISECOND, 300 * MILLISECOND]
    right = [100 * MILLISECOND, 400 * MILLISECOND]
    text = explain(topics(left, right, left, right), approximate_sync=approximate)
    assert 'at least 100 ms apart, half a period or more' in text
    assert 'are lost' in text
    assert 'slop' not in text


def test_two_clocks() -> None:
    text = explain(topics([0], [5_000 * MILLISECOND], [0], [0]))
    assert 'at least 5 s apart' in text
    assert 'clocks differ' in text


@pytest.mark.parametrize('approximate', [False, True])
def test_camera_info_that_is_off_is_named_and_not_the_cameras(approximate: bool) -> None:
    images = [0, 100 * MILLISECOND]
    infos = [2 * MILLISECOND, 102 * MILLISECOND]
    text = explain(
        topics(images, images, infos, images),
        cache_camera_info=False,
        approximate_sync=approximate,
    )
    assert 'left/camera_info are at least 2 ms off those of left/image_rect' in text
    assert 'set cache_camera_info to true' in text
    assert 'hardware' not in text


def test_common_timestamps_but_no_pairs() -> None:
    assert 'sync_queue_size' in explain(topics([1, 2], [2, 3], [1], [1]))


def arriving(
    period: float, count: int, name: str, *, until: float = NOW, start: int = 0
) -> InputTopic:
    topic = InputTopic(name)
    for index in range(count):
        topic.take(start + index, until - (count - 1 - index) * period)
    return topic


def test_rates_that_differ_are_compared() -> None:
    left, right = arriving(1 / 30, 150, 'left'), arriving(1 / 15, 75, 'right')
    text = explain_rates([left, right], NOW)
    assert text is not None
    assert 'right comes at 15 Hz and left at 30 Hz' in text
    assert explain_rates([left, arriving(1 / 28, 75, 'right')], NOW) is None


def test_a_rate_does_not_count_before_there_are_enough_messages() -> None:
    left = arriving(1 / 30, 150, 'left')
    for count in range(10):
        assert explain_rates([left, arriving(1 / 15, count, 'right')], NOW) is None
    # A topic that began later than the other runs as fast, once it runs.
    assert explain_rates([left, arriving(1 / 30, 10, 'right')], NOW) is None


def test_a_topic_that_has_stopped_has_no_rate() -> None:
    left = arriving(1 / 30, 150, 'left')
    stopped = arriving(1 / 15, 75, 'right', until=NOW - 1)
    assert explain_rates([left, stopped], NOW) is None
    assert stopped.steady_rate(NOW) is None
    assert stopped.steady_rate(NOW - 1) == pytest.approx(15)


def test_calibration_that_does_not_come_with_the_images() -> None:
    text = explain(topics([1], [1], [], []))
    assert 'no messages received on left/camera_info, right/camera_info although' in text
    assert 'its images come' in text
    assert 'transient local' in text
    assert 'the camera has stopped' not in text
    # A camera of which nothing comes is another matter.
    text = explain(topics([1], [], [1], []))
    assert 'on right/image_rect, right/camera_info although' in text
    assert 'the camera has stopped' in text


def missing_after(*pairs: float, timeout: float = 3.0) -> float:
    """Return how many seconds after the last of these pairs the next is missing."""
    progress = PairProgress(0.0)
    for moment in pairs:
        progress.note(moment)
    last = max(pairs, default=0.0)
    return next(n / 10 for n in range(1000) if progress.is_missing(last + n / 10, timeout))


def test_pairs_are_missing_after_the_timeout() -> None:
    assert missing_after() == 3.0
    assert missing_after(50.0) == 3.0
    assert missing_after(50.0, 50.1, 50.2) == 3.0


def test_a_camera_slower_than_the_timeout_is_healthy() -> None:
    # One pair every 4 s: the next is missing after 8 s.
    assert missing_after(10.0, 14.0, 18.0) == 8.0


def test_an_outage_is_no_period() -> None:
    assert missing_after(10.0, 10.1, 70.0, 70.1) == 3.0
    assert missing_after(10.0, 70.0) == 3.0
