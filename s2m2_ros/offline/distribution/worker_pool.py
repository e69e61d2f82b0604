"""Workers of a cluster, and which of them does what; one thread asks Ray."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from s2m2_ros.offline.distribution.remote_worker import Attempt, Failed, Opened
from s2m2_ros.offline.processing.engine import EngineError, Job
from s2m2_ros.offline.processing.segment_worker import Finished
from s2m2_ros.offline.processing.streams import Segment
from s2m2_ros.text_safety import safe_text

_logger = logging.getLogger(__name__)

# Seconds between looks at what is done, and at which machines there are.
POLL_S = 0.2
SURVEY_S = 5.0
# Seconds after which a cluster without room is mentioned, and workers lost in a row that end it.
PATIENCE_S = 30.0
MOST_FAILED_STARTS = 5


class Cluster(Protocol):
    """What is needed of Ray."""

    def room(self) -> int:
        """Return how many workers the machines of this moment have room for, used or not."""
        ...

    def start_worker(self) -> Any:
        """Return a new worker, which may still wait for its machine."""
        ...

    def stop_worker(self, worker: Any) -> None:
        """End a worker at once."""
        ...

    def open(self, worker: Any) -> Any:
        """Have a worker open its matcher; return a reference to `Opened` or `Failed`."""
        ...

    def work(self, worker: Any, job: Job, segment: Segment, attempt: Attempt) -> Any:
        """Give a segment to a worker; return a reference to `Finished` or `Failed`."""
        ...

    def ready(self, references: list[Any], timeout_s: float) -> list[Any]:
        """Return those that have a result, or failed; waits for one at most so long."""
        ...

    def result(self, reference: Any) -> Any:
        """Return the result; raises LostError if the worker is gone, EngineError for others."""
        ...


class LostError(Exception):
    """A worker, or its machine, is gone."""


@dataclass(eq=False)
class Task:
    """One segment of an input.

    Attributes:
        attempt: makes the place of a new attempt, so that none sees files of another.
        future: of the finished segment and the attempt that wrote it, or `Failed`.
        tries: how often it was begun.

    """

    job: Job
    segment: Segment
    attempt: Callable[[], Attempt]
    future: Future[tuple[Finished | Failed, Attempt]] = field(default_factory=Future)
    tries: int = 0


@dataclass(eq=False)
class _Worker:
    handle: Any
    is_open: bool = False
    job: Job | None = None
    # What it does, and the place of that attempt; None while it opens, or is idle.
    work: tuple[Task, Attempt] | None = None


class WorkerPool:
    """Gives tasks to workers until it is closed; workers come and go with their machines."""

    def __init__(self, cluster: Cluster, *, most: int = 0, retries: int = 3) -> None:
        """Take the most workers at a time (0: no limit), and tries again for each task."""
        self._cluster, self._most, self._retries = cluster, most, retries
        self._condition = threading.Condition()
        self._pending: deque[Task] = deque()
        self._workers: list[_Worker] = []
        self._running: dict[Any, _Worker] = {}
        self._facts: Future[Mapping[str, Any]] = Future()
        self._error: EngineError | None = None
        self._is_closed = False
        self._surveyed_at = self._waiting_since = time.monotonic() - SURVEY_S
        self._room = 0
        self._failed_starts = 0
        self._thread = threading.Thread(target=self._run, name='workers', daemon=True)
        self._thread.start()

    @property
    def room(self) -> int:
        """How many workers there may be, as of the last look."""
        return self._room

    def facts(self) -> Mapping[str, Any]:
        """Return what results depend on, once the first worker is open. Raises EngineError."""
        while True:
            try:
                return self._facts.result(timeout=POLL_S)  # so that Ctrl-C gets through
            except TimeoutError:
                continue

    def submit(self, task: Task) -> None:
        """Have a task done; its future says what became of it."""
        with self._condition:
            if self._error is not None:
                task.future.set_exception(self._error)
                return
            self._pending.append(task)
            self._condition.notify_all()

    def withdraw(self, job: Job) -> None:
        """Give up the tasks of a job that no worker has begun."""
        with self._condition:
            for task in [task for task in self._pending if task.job is job]:
                self._pending.remove(task)
                task.future.cancel()

    def close(self) -> None:
        """End all workers; tasks that are left fail. May be called twice."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
        self._thread.join()

    def _run(self) -> None:
        error = EngineError('the work was ended')
        try:
            while not self._is_closed:
                self._step()
        except EngineError as failure:
            error = failure
        except Exception as failure:  # Ray raises many kinds when a cluster ends
            _logger.debug('the cluster failed:', exc_info=True)
            error = EngineError(
                f'the cluster failed: {safe_text(failure)}; what is finished is kept'
            )
        with self._condition:
            self._error = error
            left = [*self._pending, *(w.work[0] for w in self._workers if w.work)]
            self._pending.clear()
        for task in left:
            task.future.set_exception(error)
        if not self._facts.done():
            self._facts.set_exception(error)
        for worker in self._workers:
            self._cluster.stop_worker(worker.handle)
        self._workers.clear()

    def _step(self) -> None:
        self._grow()
        self._assign()
        if not self._running:
            with self._condition:
                if not (self._pending or self._is_closed):
                    self._condition.wait(POLL_S)
                    return
        for reference in self._cluster.ready(list(self._running), POLL_S):
            worker = self._running.pop(reference)
            if worker.work is None:
                self._take_open(worker, reference)
            else:
                self._take_done(worker, *worker.work, reference)

    def _grow(self) -> None:
        now = time.monotonic()
        if now >= self._surveyed_at + SURVEY_S:
            self._surveyed_at, self._room = now, self._cluster.room()
        with self._condition:
            busy = sum(1 for worker in self._workers if worker.work)
            needed = max(len(self._pending) + busy, 0 if self._facts.done() else 1)
        most = min(needed, self._room, self._most or self._room)
        while len(self._workers) < most:
            worker = _Worker(self._cluster.start_worker())
            self._workers.append(worker)
            self._running[self._cluster.open(worker.handle)] = worker
        if any(worker.is_open for worker in self._workers) or not needed:
            self._waiting_since = now
        elif now > self._waiting_since + PATIENCE_S:
            self._waiting_since = now
            _logger.warning(
                'the cluster has no worker yet: it has room for %d, which may be taken', self._room
            )

    def _assign(self) -> None:
        for worker in self._workers:
            if not worker.is_open or worker.work:
                continue
            with self._condition:
                task = self._next(worker.job)
            if task is None:
                return
            task.tries += 1
            attempt = task.attempt()
            worker.job, worker.work = task.job, (task, attempt)
            reference = self._cluster.work(worker.handle, task.job, task.segment, attempt)
            self._running[reference] = worker

    def _next(self, job: Job | None) -> Task | None:
        """Take a task of the input that a worker has open, else the first."""
        if not self._pending:
            return None
        found = next((task for task in self._pending if task.job is job), self._pending[0])
        self._pending.remove(found)
        return found

    def _take_open(self, worker: _Worker, reference: Any) -> None:
        try:
            opened: Opened | Failed = self._cluster.result(reference)
        except LostError as error:
            self._drop(worker)
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                raise EngineError(
                    f'{self._failed_starts} workers in a row ended while they started: {error}'
                ) from error
            return
        if isinstance(opened, Failed):
            raise EngineError(opened.text)
        self._failed_starts = 0
        if not self._facts.done():
            self._facts.set_result(opened.facts)
        differences = _differences(self._facts.result(), opened.facts)
        if differences:
            # It keeps its place, so that no other starts there.
            _logger.warning(
                'the worker on %s is not used, since its results may differ: %s',
                opened.node,
                differences,
            )
            return
        worker.is_open = True

    def _take_done(self, worker: _Worker, task: Task, attempt: Attempt, reference: Any) -> None:
        worker.work = None
        try:
            done = self._cluster.result(reference)
        except LostError as error:
            self._drop(worker)
            self._retry(task, error)
        except EngineError as error:
            task.future.set_exception(error)
        else:
            task.future.set_result((done, attempt))

    def _retry(self, task: Task, error: LostError) -> None:
        place = f"segment {task.segment.number} of '{task.job.source}'"
        if task.tries > self._retries:
            task.future.set_exception(
                EngineError(
                    f'{place} was given up after {task.tries} workers ended with it ({error}): is '
                    'their memory too small? What is finished is kept'
                )
            )
            return
        _logger.warning('a worker was lost (%s): %s is done again', error, place)
        with self._condition:
            self._pending.appendleft(task)

    def _drop(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        self._cluster.stop_worker(worker.handle)


def _differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Return in which facts two workers differ; empty if in none."""
    wanted, here = (json.loads(json.dumps(dict(facts))) for facts in (expected, found))
    parts = [
        f'{name}.{key} is {here[name][key]!r}, not {value!r}'
        for name, values in wanted.items()
        if isinstance(values, dict)
        for key, value in values.items()
        if here[name].get(key) != value
    ]
    if wanted['software'] != here['software']:
        parts.append(f'software is {here["software"]}, not {wanted["software"]}')
    return '; '.join(parts)
