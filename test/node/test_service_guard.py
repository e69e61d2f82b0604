"""Answers to vanished clients: bounded in time, the newest first, none lost without a reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from s2m2_ros.node.service_guard import LONGEST_WAIT, MOST_ENTRIES, MOST_WAITING, ServiceGuard

TIMEOUT = 0.1


@dataclass
class FakeService:
    """Stands in for rclpy's service; to answer a header in `gone` takes 100 ms."""

    time: list[float]
    gone: set[int] = field(default_factory=set)
    sent: list[int] = field(default_factory=list)
    called: int = 0

    def send_response(self, response: Any, header: int) -> None:
        if header in self.gone:
            self.time[0] += TIMEOUT
        self.sent.append(header)

    def callback(self, request: Any, response: Any) -> Any:
        self.called += 1
        return response


class Guarded:
    def __init__(self) -> None:
        self.time = [0.0]
        self.warnings: list[str] = []
        self.service = FakeService(self.time)
        logger = SimpleNamespace(warning=lambda text, **_: self.warnings.append(text))
        node = SimpleNamespace(services=[self.service], get_logger=lambda: logger)
        self.guard = ServiceGuard(node, clock=lambda: self.time[0])


@pytest.fixture
def made() -> Guarded:
    return Guarded()


def test_answers_to_clients_that_are_there_go_out_at_once(made: Guarded) -> None:
    for header in range(1000):
        made.service.send_response(None, header)
    assert made.service.sent == list(range(1000))
    assert not made.warnings


def test_vanished_clients_get_a_tenth_of_the_time(made: Guarded) -> None:
    made.service.gone = set(range(100))
    for header in range(100):
        made.service.send_response(None, header)
    assert made.service.sent == [0]
    for _ in range(50):  # ten seconds
        made.time[0] += 0.2
        made.guard.send_waiting()
    # In each second one of 100 ms, the newest first, until they are too old.
    assert 8 <= len(made.service.sent) <= 11
    assert made.service.sent[:4] == [0, 99, 98, 97]
    assert 'client is gone' in made.warnings[0]


def test_a_client_that_is_there_is_answered_within_a_second(made: Guarded) -> None:
    made.service.gone = set(range(50))
    for header in range(51):
        made.service.send_response(None, header)
    assert 50 not in made.service.sent
    made.time[0] += 1.0
    made.guard.send_waiting()
    assert made.service.sent[1] == 50


def test_what_waits_is_bounded_in_number_and_age(made: Guarded) -> None:
    made.service.gone = {0}
    for header in range(MOST_WAITING + 50):
        made.service.send_response(None, header)
    made.time[0] += 1.0
    made.guard.send_waiting()
    assert len(made.service.sent) == 1 + MOST_WAITING
    made.service.gone = {1000}
    for header in (1000, 1001):
        made.service.send_response(None, header)
    made.time[0] += LONGEST_WAIT + 1.0
    made.guard.send_waiting()
    assert made.service.sent[-1] == 1000


def test_an_answer_that_cannot_be_sent_counts_too(made: Guarded) -> None:
    def fail(response: Any, header: int) -> None:
        made.time[0] += TIMEOUT
        raise RuntimeError('no answer')

    made.service.send_response = fail  # type: ignore[method-assign]
    guard = ServiceGuard(
        SimpleNamespace(
            services=[made.service],
            get_logger=lambda: SimpleNamespace(warning=lambda text, **_: None),
        ),
        clock=lambda: made.time[0],
    )
    with pytest.raises(RuntimeError):
        made.service.send_response(None, 0)
    made.service.send_response(None, 1)  # waits
    made.time[0] += 1.0
    with pytest.raises(RuntimeError):
        guard.send_waiting()


def test_requests_with_absurdly_many_entries_are_not_worked_on(made: Guarded) -> None:
    for name in ('names', 'parameters', 'prefixes'):
        made.service.callback(SimpleNamespace(**{name: ['x'] * (MOST_ENTRIES + 1)}), None)
    assert made.service.called == 0
    made.service.callback(SimpleNamespace(names=['x'] * MOST_ENTRIES), None)
    made.service.callback(SimpleNamespace(), None)
    assert made.service.called == 2
