"""Images of the color camera: the one of a pair's moment, now or a little later."""

from __future__ import annotations

import threading
import time

from s2m2_ros.node.inputs.color_camera import LARGEST_KEPT, ImageTimeline
from s2m2_ros.node.inputs.pairing import TimedImage

PATIENCE = 20.0


def image(milliseconds: int, size: int = 10) -> TimedImage:
    return TimedImage(milliseconds * 1_000_000, None, size)


def filled(*milliseconds: int) -> ImageTimeline:
    made = ImageTimeline()
    for stamp in milliseconds:
        made.add(image(stamp))
    return made


def nearest(timeline: ImageTimeline, milliseconds: int, timeout: float = PATIENCE) -> int | None:
    found = timeline.nearest(milliseconds * 1_000_000, timeout)
    return found.stamp // 1_000_000 if found else None


def test_the_nearest_image_is_found() -> None:
    timeline = filled(0, 33, 66, 100)
    assert nearest(timeline, 60) == 66
    assert nearest(timeline, 33) == 33
    assert nearest(timeline, -500) == 0
    # 110 ms: the next one comes at 133, which is farther.
    assert nearest(timeline, 110) == 100


def test_one_that_may_still_come_is_waited_for() -> None:
    timeline = filled(0, 33, 66)
    found: list[int | None] = []
    worker = threading.Thread(target=lambda: found.append(nearest(timeline, 100)))
    worker.start()
    timeline.add(image(99))
    timeline.add(image(132))
    worker.join(PATIENCE)
    assert found in ([99], [66 + 33])


def test_waiting_ends() -> None:
    assert nearest(filled(0, 33, 66), 100, timeout=0.01) == 66
    # Nothing came at all, so nothing is waited for.
    assert nearest(ImageTimeline(), 100) is None
    timeline = filled(0)
    timeline.clear()
    assert nearest(timeline, 0) is None


def test_a_jump_back_in_time_begins_anew() -> None:
    timeline = filled(1000, 1033)
    timeline.add(image(0))
    assert nearest(timeline, 1033, timeout=0.01) == 0


def test_memory_is_bounded() -> None:
    timeline = ImageTimeline()
    for stamp in range(5):
        timeline.add(image(stamp, LARGEST_KEPT // 2))
    assert nearest(timeline, 0) == 3
    timeline.add(image(9, 2 * LARGEST_KEPT))  # the newest stays, whatever its size
    assert nearest(timeline, 0) == 9


def test_a_clock_that_is_behind_does_not_delay_every_pair() -> None:
    timeline = filled(0, 33, 66)
    for pair in (100_000, 100_033, 100_066):
        assert nearest(timeline, pair, timeout=0.01) == 66
    before = time.monotonic()
    timeline.add(image(100))
    assert nearest(timeline, 100_100) == 100
    assert time.monotonic() - before < PATIENCE / 2
    # Where the clocks agree again, images are waited for again.
    timeline.add(image(100_133))
    assert nearest(timeline, 100_133) == 100_133
