"""Which pairs of other cameras a pair waits for, and how long, by a given clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.node.companions import Companions
from s2m2_ros.node.inputs.synchronizer import StereoMessages, StereoTopics
from s2m2_ros.node.job import Job
from s2m2_ros.node.sharing_parameters import Sharing
from s2m2_ros.node.worker import Worker

PATIENCE = 60.0
TOPICS = StereoTopics('l', 'r', 'li', 'ri')
SMALL, LARGE = (320, 240), (640, 480)


class Waits:
    """Notes what a worker is asked to wait for; what comes meanwhile is none of its concern."""

    def __init__(self) -> None:
        self.awaited: list[Any] = []
        self.deadline = 0.0

    def take(
        self, suits: Callable[[Job], bool], most: int, *, awaited: list[Any], deadline: float
    ) -> list[Job]:
        self.awaited, self.deadline = awaited, deadline
        return []


class Scene:
    """Cameras that send pairs at given times, in seconds."""

    def __init__(self, **sharing: Any) -> None:
        self.now = 0.0
        self.waits = Waits()
        shared = Sharing(cameras=('a', 'b', 'c'), **sharing)
        self.companions = Companions(
            lambda: self.waits,  # type: ignore[arg-type,return-value]  # see Waits
            lambda: shared,
            clock=lambda: self.now,
        )

    def send(self, camera: Any, at: float, size: Any = SMALL) -> Job:
        self.now = at
        made = job(camera, at, size)
        self.companions.note(made)
        return made

    def awaited(self, one: Job, now: float) -> list[Any]:
        """Return which cameras the pair waits for when its turn comes."""
        self.now = now
        self.waits.awaited = []
        self.companions.find(one)
        return self.waits.awaited


def job(camera: Any, at: float, size: Any = SMALL) -> Job:
    messages = StereoMessages(None, None, None, None, TOPICS, at)
    return Job(camera, None, messages, size)  # type: ignore[arg-type]  # no session is needed


def test_cameras_of_one_hertz_wait_for_each_other_only_at_their_common_moment() -> None:
    scene = Scene(batch_wait=0.02)
    for second in range(4):
        scene.send('a', second)
        scene.send('b', second + 0.005)
        scene.send('c', second + 0.5)
    assert scene.awaited(scene.send('a', 4.0), 4.0) == ['b']
    # b comes 5 ms later and takes a with it; the pair of a was taken, its next comes in 0.995 s.
    assert scene.awaited(scene.send('b', 4.005), 4.005) == []
    # c has a moment of its own.
    assert scene.awaited(scene.send('c', 4.5), 4.5) == []


def test_a_camera_is_not_waited_for_before_its_period_is_known() -> None:
    scene = Scene(batch_wait=0.5)
    scene.send('b', 0.0)
    assert scene.awaited(scene.send('a', 0.1), 0.1) == []
    scene.send('b', 0.2)
    assert scene.awaited(scene.send('a', 0.3), 0.3) == ['b']


def test_a_camera_that_died_is_not_waited_for_after_two_periods() -> None:
    scene = Scene(batch_wait=0.05)
    for number in range(10):
        scene.send('a', number / 10)
        scene.send('b', number / 10 + 0.01)
    assert scene.awaited(scene.send('a', 1.0), 1.0) == ['b']
    assert scene.awaited(scene.send('a', 1.1), 1.1) == ['b']
    assert scene.awaited(scene.send('a', 1.2), 1.2) == []


def test_pairs_of_another_size_are_not_waited_for() -> None:
    scene = Scene(batch_wait=0.05)
    for number in range(10):
        scene.send('a', number / 10)
        scene.send('b', number / 10 + 0.01, LARGE)
    assert scene.awaited(scene.send('a', 1.0), 1.0) == []
    # b changes to the size of a, and is known again from its second pair on.
    scene.send('b', 1.01)
    assert scene.awaited(scene.send('a', 1.1), 1.1) == []
    scene.send('b', 1.11)
    assert scene.awaited(scene.send('a', 1.2), 1.2) == ['b']


def test_the_wait_counts_from_the_arrival() -> None:
    scene = Scene(batch_wait=0.05)
    for number in range(10):
        scene.send('a', number / 10)
        scene.send('b', number / 10 + 0.01)
    one = scene.send('a', 1.0)
    assert scene.awaited(one, 1.03) == ['b']
    assert scene.waits.deadline == 1.05
    # It has waited for the device as long: it is not delayed any more.
    assert scene.awaited(one, 1.05) == []


@given(
    st.lists(
        st.tuples(st.sampled_from('abc'), st.floats(0.001, 3.0), st.sampled_from([SMALL, LARGE])),
        max_size=60,
    ),
    st.floats(0.0, 1.0),
    st.floats(0.0, 2.0),
)
def test_none_waits_longer_than_batch_wait_or_for_what_is_not_due(
    steps: list[tuple[str, float, Any]], batch_wait: float, turn: float
) -> None:
    scene = Scene(batch_wait=batch_wait)
    arrivals: dict[str, list[float]] = {}
    one = job('a', 0.0)
    for camera, step, size in steps:
        one = scene.send(camera, scene.now + step, size)
        arrivals.setdefault(camera, []).append(scene.now)
    arrived = one.messages.arrived_at
    awaited = scene.awaited(one, arrived + turn)
    assert scene.waits.deadline <= arrived + batch_wait
    if turn >= batch_wait:
        assert awaited == []
    for camera in awaited:
        times = arrivals[camera]
        shortest = min(b - a for a, b in pairwise(times))
        assert times[-1] + shortest <= arrived + batch_wait


@pytest.mark.parametrize('comes', [True, False])
def test_the_worker_waits_until_the_deadline_and_no_longer(comes: bool) -> None:
    """The clock is given; the worker sleeps a hundredth of a second at a time."""
    now, asked = [0.0], threading.Semaphore(0)

    def clock() -> float:
        asked.release()
        return now[0]

    taken: list[list[str]] = []
    done = threading.Event()

    def process(item: str) -> None:
        if item == 'first':
            taken.append(
                worker.take(lambda other: other == 'b', 2, awaited=['slot b'], deadline=0.01)
            )
            done.set()

    worker = Worker[str](process, clock=clock)
    worker.offer('first', slot='slot a')
    for number in range(5):
        # Awake by itself, or because another camera sends: the time is not up.
        assert asked.acquire(timeout=PATIENCE)
        worker.offer(f'other {number}', slot='slot c')
        assert not done.is_set()
    if comes:
        worker.offer('b', slot='slot b')
    else:
        now[0] = 0.01
    assert done.wait(PATIENCE)
    assert taken == [['b'] if comes else []]
    assert worker.close(PATIENCE)
