"""Pairs of images get the right calibration, at whatever pace it comes."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from s2m2_ros.node.faults import DropCause
from s2m2_ros.node.inputs.calibration_cache import Accepted, TimedInfo
from s2m2_ros.node.inputs.calibration_join import CalibrationJoin, PairedImages
from s2m2_ros.node.inputs.pairing import TimedImage

FIRST, SECOND = b'first', b'second'


def message(frame: str = 'camera', name: str = '') -> Any:
    return SimpleNamespace(header=SimpleNamespace(frame_id=frame), name=name)


class Bench:
    """A join; `sent` holds (timestamp of the left image, names of both calibrations)."""

    def __init__(self, **rules: Any) -> None:
        self.dropped: Counter[DropCause] = Counter()
        self.sent: list[tuple[int, str, str]] = []
        self.join = CalibrationJoin(self.drop, self.dispatch)
        if rules:
            self.join.configure(**rules)

    def drop(self, cause: DropCause, count: int) -> None:
        if count:
            self.dropped[cause] += count

    def dispatch(self, pair: PairedImages, left: Any, right: Any) -> None:
        self.sent.append((pair.images[0].stamp, left.name, right.name))

    def pair(
        self, stamp: int, frame: str = 'camera', accepted: Accepted = None, size: int = 1
    ) -> None:
        images = TimedImage(stamp, message(frame), size), TimedImage(stamp, message(frame), size)
        self.join.add_pair(PairedImages(images, (accepted, accepted)))

    def infos(
        self, stamp: int, name: str, frame: str = 'camera', publisher: bytes = FIRST
    ) -> None:
        for side in (0, 1):
            info = TimedInfo(stamp, message(frame, f'{name}{"LR"[side]}'))
            self.join.add_info(side, info, publisher)


def test_one_calibration_serves_every_pair() -> None:
    bench = Bench()
    bench.infos(0, 'a')
    for stamp in (10, 20, 30):
        bench.pair(stamp)
    assert bench.sent == [(10, 'aL', 'aR'), (20, 'aL', 'aR'), (30, 'aL', 'aR')]


def test_the_newest_pair_waits_for_the_first_calibration() -> None:
    bench = Bench()
    bench.pair(10)
    bench.pair(20)
    assert bench.dropped == {DropCause.NO_CALIBRATION: 1}
    bench.infos(3, 'a')
    assert bench.sent == [(20, 'aL', 'aR')]


def test_a_pair_waits_for_both_sides() -> None:
    bench = Bench()
    bench.pair(10)
    bench.join.add_info(0, TimedInfo(10, message(name='l')), FIRST)
    assert not bench.sent
    bench.join.add_info(1, TimedInfo(10, message(name='r')), FIRST)
    assert bench.sent == [(10, 'l', 'r')]


def test_a_changed_calibration_counts_from_its_image_on() -> None:
    """Where each pair comes with its own camera_info, the last one is not taken in its stead."""
    bench = Bench()
    for stamp in (10, 20, 30):
        bench.pair(stamp)
        bench.infos(stamp, 'old')
    bench.pair(40)
    assert len(bench.sent) == 3
    assert bench.join.waits
    bench.infos(40, 'new')
    assert bench.sent[-1] == (40, 'newL', 'newR')


def test_a_pair_whose_own_calibration_is_lost_waits_no_longer_than_the_next() -> None:
    bench = Bench()
    for stamp in (10, 20, 30):
        bench.pair(stamp)
        bench.infos(stamp, 'a')
    bench.pair(40)
    bench.pair(50)
    assert [sent[0] for sent in bench.sent] == [10, 20, 30, 40, 50]
    assert bench.sent[3] == (40, 'aL', 'aR')
    bench.pair(60)  # and nobody waits any more
    assert bench.sent[-1] == (60, 'aL', 'aR')


def test_a_flush_ends_the_wait() -> None:
    bench = Bench()
    for stamp in (10, 20, 30):
        bench.pair(stamp)
        bench.infos(stamp, 'a')
    bench.pair(40)
    bench.join.flush()
    assert bench.sent[-1] == (40, 'aL', 'aR')


def test_a_slow_calibration_with_equal_timestamps_now_and_then_delays_nothing() -> None:
    bench = Bench()
    bench.infos(0, 'a')
    for stamp in range(10, 200, 10):
        bench.pair(stamp)
        if stamp % 50 == 0:
            bench.infos(stamp, 'a')
    assert [sent[0] for sent in bench.sent] == list(range(10, 200, 10))


def test_the_calibration_of_the_own_timestamp_goes_before_a_newer_one() -> None:
    bench = Bench()
    bench.infos(10, 'ten')
    bench.infos(20, 'twenty')
    bench.pair(10)
    bench.pair(20)
    assert bench.sent == [(10, 'tenL', 'tenR'), (20, 'twentyL', 'twentyR')]


def test_after_a_jump_back_in_time_old_timestamps_mean_nothing() -> None:
    bench = Bench()
    bench.infos(10, 'old')
    bench.infos(90, 'newest')
    bench.join.clear(DropCause.UNMATCHED)
    bench.pair(10)
    assert bench.sent == [(10, 'newestL', 'newestR')]


def test_uncached_needs_the_own_timestamps() -> None:
    bench = Bench(cached=False, tolerance=0, size=3)
    bench.infos(0, 'a')
    for stamp in (10, 20, 30, 40):
        bench.pair(stamp)
    assert bench.dropped == {DropCause.NO_CALIBRATION: 1}
    bench.infos(30, 'b')
    assert bench.sent == [(30, 'bL', 'bR')]
    assert bench.dropped == {DropCause.NO_CALIBRATION: 2}  # that of 20, which is older
    bench.infos(40, 'c')
    assert bench.sent[-1] == (40, 'cL', 'cR')


def test_uncached_with_a_tolerance_takes_the_nearest() -> None:
    bench = Bench(cached=False, tolerance=3, size=3)
    bench.infos(8, 'eight')
    bench.infos(11, 'eleven')
    bench.pair(10)
    bench.pair(20)
    assert bench.sent == [(10, 'elevenL', 'elevenR')]


def test_pairs_that_wait_are_limited_in_bytes() -> None:
    bench = Bench(cached=False, tolerance=0, size=1000)
    for stamp in range(20):
        bench.pair(stamp, size=10 * 2**20)
    # Three pairs of 20 MiB fit into 64 MiB.
    assert bench.dropped == {DropCause.NO_CALIBRATION: 17}


def test_only_calibrations_of_the_images_node_are_accepted() -> None:
    bench = Bench()
    bench.infos(10, 'other', publisher=SECOND)
    bench.pair(10, accepted=frozenset({FIRST}))
    assert not bench.sent
    assert bench.join.lacks_right_info(0)
    bench.infos(5, 'own', publisher=FIRST)
    assert bench.sent == [(10, 'ownL', 'ownR')]
    assert not bench.join.lacks_right_info(0)


def test_among_unknown_publishers_the_frame_decides() -> None:
    bench = Bench()
    bench.infos(1, 'a', frame='one', publisher=FIRST)
    bench.infos(2, 'b', frame='two', publisher=SECOND)
    bench.pair(10, frame='one')
    bench.pair(20, frame='two')
    bench.pair(30, frame='three')
    assert bench.sent == [(10, 'aL', 'aR'), (20, 'bL', 'bR')]
    assert bench.join.lacks_right_info(1)


def test_a_publisher_that_is_gone_stays_in_use_until_another_sends() -> None:
    bench = Bench()
    bench.infos(1, 'gone', publisher=FIRST)
    bench.join.retain(0, {SECOND})
    bench.join.retain(1, {SECOND})
    bench.pair(10)
    assert bench.sent == [(10, 'goneL', 'goneR')]
    bench.infos(2, 'new', publisher=SECOND)
    bench.join.retain(0, {SECOND})
    bench.join.retain(1, {SECOND})
    bench.pair(20)
    assert bench.sent[-1] == (20, 'newL', 'newR')
