"""Which worker does what, with a cluster in place of Ray whose workers are lost on demand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from s2m2_ros.errors import S2M2Error
from s2m2_ros.offline.distribution.remote_worker import Attempt, Failed, Opened
from s2m2_ros.offline.distribution.worker_pool import LostError, Task, WorkerPool
from s2m2_ros.offline.processing import ProcessOptions
from s2m2_ros.offline.processing.engine import Job
from s2m2_ros.offline.processing.segment_facts import SegmentFacts
from s2m2_ros.offline.processing.segment_worker import Finished
from s2m2_ros.offline.processing.streams import Segment
from s2m2_ros.pipeline import PipelineOptions
from support.transcript import PATIENCE

FACTS = {'software': 's2m2_ros 1', 'matcher': {'precision': 'float32'}}


class FakeCluster:
    """Workers are numbers from 0; ``does`` says what becomes of a segment, by worker and number.

    It stands in for Ray, whose machines cannot be lost at a chosen moment.
    """

    def __init__(
        self,
        does: Callable[[int, int], Any],
        opens: Callable[[int], Any] = lambda worker: Opened(f'node {worker}', FACTS),
        room: int = 2,
    ) -> None:
        self._does, self._opens, self._room = does, opens, room
        self._numbers = itertools.count()
        self.stopped: list[int] = []

    def room(self) -> int:
        return self._room

    def start_worker(self) -> int:
        return next(self._numbers)

    def stop_worker(self, worker: int) -> None:
        self.stopped.append(worker)

    def open(self, worker: int) -> Any:
        return (worker, -1)

    def work(self, worker: int, job: Job, segment: Segment, attempt: Attempt) -> Any:
        return (worker, segment.number)

    def ready(self, references: list[Any], timeout_s: float) -> list[Any]:
        return references

    def result(self, reference: Any) -> Any:
        worker, number = reference
        found = self._opens(worker) if number < 0 else self._does(worker, number)
        if isinstance(found, BaseException):
            raise found
        return found


def finished(worker: int, number: int) -> Finished:
    return Finished(Segment(number, None, None), SegmentFacts([], [f'worker {worker}']), None)


@contextmanager
def opened(cluster: FakeCluster, **options: Any) -> Iterator[WorkerPool]:
    pool = WorkerPool(cluster, **options)
    try:
        yield pool
    finally:
        pool.close()


def results(pool: WorkerPool, count: int) -> list[Any]:
    job = Job('run.mcap', ProcessOptions(), PipelineOptions(), {})
    names = itertools.count()
    tasks = [
        Task(job, Segment(n, None, None), lambda: Attempt(f'place {next(names)}', False))
        for n in range(count)
    ]
    for task in tasks:
        pool.submit(task)
    return [task.future.result(PATIENCE) for task in tasks]


def test_a_segment_of_a_lost_worker_is_done_again_elsewhere() -> None:
    def does(worker: int, number: int) -> Any:
        return LostError('node died') if worker == 0 else finished(worker, number)

    cluster = FakeCluster(does)
    with opened(cluster) as pool:
        found = results(pool, 6)
    assert [done.segment.number for done, _ in found] == list(range(6))
    # Each attempt had a place of its own.
    assert len({attempt.folder for _, attempt in found}) == 6
    assert 0 in cluster.stopped


def test_a_segment_that_ends_every_worker_is_given_up() -> None:
    def does(worker: int, number: int) -> Any:
        return LostError('out of memory') if number == 1 else finished(worker, number)

    with (
        opened(FakeCluster(does), retries=2) as pool,
        pytest.raises(S2M2Error, match=r"segment 1 of 'run.mcap'.*3 workers.*out of memory"),
    ):
        results(pool, 3)


def test_a_worker_whose_results_may_differ_is_not_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def opens(worker: int) -> Opened:
        precision = 'bfloat16' if worker == 1 else 'float32'
        return Opened(f'node {worker}', {**FACTS, 'matcher': {'precision': precision}})

    with opened(FakeCluster(finished, opens)) as pool:
        assert pool.facts() == FACTS
        found = results(pool, 20)
    assert {done.facts.damage[0] for done, _ in found} == {'worker 0'}
    assert "matcher.precision is 'bfloat16', not 'float32'" in caplog.text


@pytest.mark.parametrize('what', [Failed('no such checkpoint'), LostError('killed')])
def test_workers_that_cannot_start_end_the_work(what: Any) -> None:
    reason = 'no such checkpoint' if isinstance(what, Failed) else 'in a row.*killed'
    with opened(FakeCluster(finished, lambda _: what)) as pool:
        with pytest.raises(S2M2Error, match=reason):
            pool.facts()
        with pytest.raises(S2M2Error, match=reason):
            results(pool, 1)


def test_there_are_no_more_workers_than_asked_for_and_needed() -> None:
    cluster = FakeCluster(finished, room=8)
    with opened(cluster, most=3) as pool:
        results(pool, 50)
    assert set(cluster.stopped) <= {0, 1, 2}


def test_closing_ends_what_waits() -> None:
    pool = WorkerPool(FakeCluster(finished, room=0))
    job = Job('run.mcap', ProcessOptions(), PipelineOptions(), {})
    task = Task(job, Segment(0, None, None), lambda: Attempt('', False))
    pool.submit(task)
    pool.close()
    with pytest.raises(S2M2Error, match='ended'):
        task.future.result(PATIENCE)
