"""The worker: newest first, calls before items, and an end that does not wait for ever."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

from s2m2_ros.node.worker import Worker

PATIENCE = 60.0


class Gate:
    """A process function that waits inside until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.done: list[str] = []

    def __call__(self, item: str) -> None:
        self.begun.release()
        assert self.go.acquire(timeout=PATIENCE)
        self.done.append(item)
        if item == 'bad':
            raise RuntimeError(item)


def test_the_newest_item_comes_next_and_others_are_handed_back() -> None:
    gate = Gate()
    worker = Worker[str](gate)
    assert worker.offer('first') is None
    assert gate.begun.acquire(timeout=PATIENCE)
    assert worker.offer('second') is None
    assert worker.offer('third') == 'second'
    assert worker.offer('fourth') == 'third'
    for _ in range(2):
        gate.go.release()
    assert gate.begun.acquire(timeout=PATIENCE)
    worker.call(lambda: None).result(PATIENCE)
    assert gate.done == ['first', 'fourth']
    assert worker.close(PATIENCE)


def test_calls_run_before_the_waiting_item_and_return_what_they_made() -> None:
    gate = Gate()
    worker = Worker[str](gate)
    worker.offer('first')
    assert gate.begun.acquire(timeout=PATIENCE)
    worker.offer('second')
    seen = worker.call(lambda: (list(gate.done), threading.current_thread().name))
    gate.go.release()
    assert seen.result(PATIENCE) == (['first'], 'worker')
    gate.go.release()
    assert worker.close(PATIENCE)


def test_a_waiting_item_can_be_withdrawn() -> None:
    gate = Gate()
    worker = Worker[str](gate)
    worker.offer('first')
    assert gate.begun.acquire(timeout=PATIENCE)
    worker.offer('second')
    assert worker.withdraw() == 'second'
    assert worker.withdraw() is None
    gate.go.release()
    assert worker.close(PATIENCE)
    assert gate.done == ['first']


def test_it_outlives_errors() -> None:
    gate = Gate()
    worker = Worker[str](gate)
    worker.offer('bad')
    gate.go.release()
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 / 0).result(PATIENCE)
    worker.offer('good')
    gate.go.release()
    assert gate.begun.acquire(timeout=PATIENCE)
    assert gate.begun.acquire(timeout=PATIENCE)
    worker.call(lambda: None).result(PATIENCE)
    assert gate.done == ['bad', 'good']
    assert worker.close(PATIENCE)


def test_closing_amid_work_says_so_and_takes_nothing_more() -> None:
    gate = Gate()
    worker = Worker[str](gate)
    worker.offer('first')
    assert gate.begun.acquire(timeout=PATIENCE)
    waiting = worker.call(lambda: None)
    assert not worker.close(0.01)
    assert worker.offer('late') == 'late'
    with pytest.raises(CancelledError):
        waiting.result(PATIENCE)
    assert worker.call(lambda: None).cancelled()
    gate.go.release()
    assert worker.close(PATIENCE)
