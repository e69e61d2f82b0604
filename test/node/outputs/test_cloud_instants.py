"""Which clouds are of one instant: timestamps in, groups out."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.node.outputs.cloud_instants import CloudInstants, Tolerances

MS = 10**6
SLOP, WAIT = 100, 100
Named = tuple[str, int]  # the name of a camera and milliseconds


@dataclass
class Merger:
    """Takes clouds at given times, all in milliseconds, and notes what comes out, and when."""

    slop: int = SLOP
    wait: int = WAIT
    groups: list[list[Named]] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    underway: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tolerances = Tolerances(self.slop * MS, self.wait / 1e3)
        self.instants = CloudInstants[tuple[Named, float]](lambda: tolerances)

    def add(self, camera: str, stamp: int, now: float | None = None) -> list[list[Named]]:
        """Take a cloud; return what is published then."""
        now = stamp if now is None else now
        self.instants.add(camera, stamp * MS, ((camera, stamp), now), now / 1e3)
        return self.look(now)

    def look(self, now: float) -> list[list[Named]]:
        underway = {camera: stamp * MS for camera, stamp in self.underway.items()}
        ended = self.instants.due(now / 1e3, underway)
        self.waited += [now - arrived for group in ended for _, arrived in group]
        self.groups += [[cloud for cloud, _ in group] for group in ended]
        return self.groups[len(self.groups) - len(ended) :]

    def play(self, clouds: Iterable[tuple[float, Named]]) -> None:
        """Take clouds by the times of their arrival, and look every ten milliseconds."""
        now = 0.0
        for arrival, (camera, stamp) in sorted(clouds):
            while now + 10 < arrival:
                now += 10
                self.look(now)
            now = arrival
            self.add(camera, stamp, arrival)
        for _ in range(self.wait // 10 + 1):
            now += 10
            self.look(now)


def regular(
    camera: str, period: int, offset: int, within: tuple[int, int], delay: float = 0.0
) -> list[tuple[float, Named]]:
    """Return arrivals of clouds at offset + n * period, with timestamps within [first, last)."""
    first, last = within
    start = offset + -(-(first - offset) // period) * period
    return [(at + delay, (camera, at)) for at in range(start, last, period)]


def test_the_clouds_of_one_instant_are_published_when_the_last_is_there() -> None:
    merger = Merger()
    for at in range(0, 1000, 100):
        merger.add('a', at)
        merger.add('b', at + 5)
    # Nothing is known at first: nobody is waited for, until each has been there twice.
    assert merger.groups[-7:] == [[('a', at), ('b', at + 5)] for at in range(300, 1000, 100)]
    assert merger.waited[-2:] == [5, 0]


def test_cameras_that_paused_are_combined_with_the_nearest_again() -> None:
    """The rule of before waited for the next of each, so that 0.1 s stayed between them."""
    for pause in range(1, 12):
        merger = Merger()
        merger.play(
            regular('a', 100, 0, (0, 1000))
            + regular('a', 100, 0, (1000 + 37 * pause, 3000))
            + regular('b', 100, 2, (0, 3000))
        )
        last = [group for group in merger.groups if group[0][1] >= 2000]
        assert last == [[('a', at), ('b', at + 2)] for at in range(2000, 3000, 100)]


def test_a_slow_camera_is_waited_for_only_when_its_cloud_is_due() -> None:
    merger = Merger()
    merger.play(regular('fast', 100, 0, (0, 6000)) + regular('slow', 1000, 0, (0, 6000), delay=30))
    groups = [group for group in merger.groups if group[0][1] >= 3000]
    for at in range(3000, 5900, 100):
        pair = [('fast', at), ('slow', at)] if at % 1000 == 0 else [('fast', at)]
        assert pair in groups
    assert max(waited for (_, stamp), waited in times(merger) if stamp >= 3000) == 30


def test_a_camera_that_died_delays_the_others_once_by_the_wait() -> None:
    merger = Merger()
    merger.play(regular('a', 100, 0, (0, 3000)) + regular('b', 100, 5, (0, 1000)))
    assert max(merger.waited) <= WAIT + 10
    late = [waited for (_, stamp), waited in times(merger) if stamp >= 1000]
    # The second has waited while the first had to.
    assert sum(waited > 10 for waited in late) == 1
    assert set(late[2:]) == {0}


def test_pairs_that_the_node_has_are_waited_for_as_long_as_it_takes() -> None:
    merger = Merger()
    for at in range(0, 500, 100):
        merger.add('a', at)
        merger.add('b', at)
    merger.underway = {'b': 501}
    assert merger.add('a', 500) == []
    assert merger.look(5000) == []
    # A newer pair of the camera has displaced that one.
    merger.underway = {'b': 700}
    assert merger.look(5010) == [[('a', 500)]]


def test_a_pair_in_hand_tells_more_than_a_period() -> None:
    merger = Merger()
    for at in range(0, 500, 100):
        merger.add('a', at)
        merger.add('b', at)
    # b would be expected at 500, but what comes next of it is another instant.
    merger.underway = {'b': 900}
    assert merger.add('a', 500) == [[('a', 500)]]


def test_timestamps_that_jump_back_begin_anew() -> None:
    merger = Merger()
    merger.play(regular('a', 100, 0, (0, 1000)) + regular('b', 100, 5, (0, 1000)))
    merger.groups.clear()
    for number in range(10):
        merger.add('a', 100 * number, 2000 + 100 * number)
        merger.add('b', 100 * number + 5, 2005 + 100 * number)
    assert [('a', 900), ('b', 905)] in merger.groups
    assert sorted(flat(merger)) == sorted(
        [('a', 100 * n) for n in range(10)] + [('b', 100 * n + 5) for n in range(10)]
    )


def test_a_camera_that_is_forgotten_is_not_waited_for() -> None:
    merger = Merger()
    for at in range(0, 500, 100):
        merger.add('a', at)
        merger.add('b', at)
    merger.instants.forget('b')
    assert merger.add('a', 500) == [[('a', 500)]]


def flat(merger: Merger) -> list[Named]:
    return [cloud for group in merger.groups for cloud in group]


def times(merger: Merger) -> list[tuple[Named, float]]:
    """Return each cloud, and how long it waited."""
    return list(zip(flat(merger), merger.waited, strict=True))


HISTORIES = st.lists(
    st.tuples(st.sampled_from('abcd'), st.integers(0, 2000), st.floats(0, 300)), max_size=60
)


@given(HISTORIES, st.sampled_from([0, 20, 100]))
def test_whatever_comes_each_cloud_is_in_one_group_within_the_slop(
    history: list[tuple[str, int, float]], slop: int
) -> None:
    clouds = {(camera, stamp): stamp + delay for camera, stamp, delay in history}
    merger = Merger(slop=slop)
    merger.play((arrival, cloud) for cloud, arrival in clouds.items())
    assert sorted(flat(merger)) == sorted(clouds)
    for group in merger.groups:
        assert len({camera for camera, _ in group}) == len(group)
        stamps = [stamp for _, stamp in group]
        assert max(stamps) - min(stamps) <= slop
    assert max(merger.waited, default=0) <= WAIT + 10


def closest(offsets: Sequence[int], period: int) -> int:
    """Return how far the clouds of all cameras are apart at least, by trying which is first."""
    return min(max((other - first) % period for other in offsets) for first in offsets)


@given(
    HISTORIES,
    st.integers(40, 300),
    st.lists(st.integers(0, 299), min_size=2, max_size=4),
    st.data(),
)
def test_regular_cameras_are_combined_as_close_as_can_be_whatever_was_before(
    history: list[tuple[str, int, float]], period: int, shifts: list[int], data: st.DataObject
) -> None:
    """Cameras of one rate, at any phase, each with its own delay: every instant has them all."""
    offsets = [shift % period for shift in shifts]
    slop = closest(offsets, period)
    delays = [data.draw(st.floats(0, 40)) for _ in offsets]
    before = {(camera, stamp): stamp + delay for camera, stamp, delay in history}
    # As in a node, the clouds of each camera come in their order.
    ordered: list[tuple[float, Named]] = []
    for camera in 'abcd':
        latest = 0.0
        for cloud in sorted(cloud for cloud in before if cloud[0] == camera):
            latest = max(latest, before[cloud])
            ordered.append((latest, cloud))
    first, last = 3000, 3000 + 20 * period
    streams = [
        regular(camera, period, offset, (first, last), delay)
        for camera, offset, delay in zip('abcd', offsets, delays, strict=False)
    ]
    # A cloud waits for those that are later by as much as the slop, and come late.
    merger = Merger(slop=slop, wait=slop + 50)
    merger.play([*ordered, *heapq.merge(*streams)])
    settled = first + 14 * period
    late = [g for g in merger.groups if settled <= g[0][1] < last - 2 * period]
    assert late
    for group in late:
        stamps = [stamp for _, stamp in group]
        assert (len(group), max(stamps) - min(stamps)) == (len(offsets), slop), late


@given(
    st.integers(2, 12), st.integers(30, 100), st.integers(0, 1199), st.integers(0, 40), HISTORIES
)
def test_a_slow_camera_is_combined_with_the_nearest_cloud_of_a_fast_one(
    ratio: int, period: int, offset: int, delay: int, history: list[tuple[str, int, float]]
) -> None:
    slow, first = ratio * period, 3000
    last = first + 16 * slow
    merger = Merger(slop=100, wait=200)
    ordered: dict[str, float] = {}
    clouds = []
    for camera, stamp, late in sorted(set(history)):
        ordered[camera] = max(ordered.get(camera, 0.0), stamp + late)
        clouds.append((ordered[camera], (camera, stamp)))
    clouds += regular('fast', period, 0, (first, last))
    clouds += regular('slow', slow, offset, (first, last), delay)
    merger.play({cloud: (arrival, cloud) for arrival, cloud in clouds}.values())
    for group in merger.groups:
        names = dict(group)
        if 'slow' in names and first + 12 * slow <= names['slow'] < last - slow:
            nearest = min(names['slow'] % period, -names['slow'] % period)
            assert abs(names['fast'] - names['slow']) == nearest, group
