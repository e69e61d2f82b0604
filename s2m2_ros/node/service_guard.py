"""Limits the time of service calls, so that they do not delay images and diagnostics.

Answering a client that has vanished takes rmw_fastrtps 100 ms, and rclpy holds the interpreter's
lock meanwhile, so that a separate thread for services would not help. The queues of the six
parameter services hold 1000 requests each: ten minutes of this. So answers may take a fixed
fraction of the time only; waiting ones are sent newest first, since a client most probably still
waits for the newest.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# An answer that takes longer (seconds) went to a client that is gone or does not read.
SLOW_ANSWER = 0.02
# The largest fraction of the time that slow answers may take.
LARGEST_FRACTION = 0.1
# Answers that wait, at most; and for how long, in seconds, since clients give up as well.
MOST_WAITING = 100
LONGEST_WAIT = 10.0
# Entries (names, parameters) of one request for each camera, which has some fifty parameters, and
# as many of the quality of service of its topics.
MOST_ENTRIES = 1000
WARNING_INTERVAL = 30.0
_LISTS = ('names', 'parameters', 'prefixes')


@dataclass(frozen=True)
class _Answer:
    send: Callable[[], None]
    made_at: float


class ServiceGuard:
    """Bounds the time that the services of a node take; all methods run in its executor's thread.

    Call `send_waiting` a few times a second.
    """

    def __init__(
        self, node: Any, *, cameras: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = node.get_logger()
        self._clock = clock
        self._waiting: deque[_Answer] = deque(maxlen=MOST_WAITING)
        self._resume_at = -float('inf')
        self._most_entries = MOST_ENTRIES * cameras
        for service in node.services:
            self._watch(service)

    def send_waiting(self) -> None:
        """Send the answers that wait, as far as the time allows, and drop expired ones."""
        while self._waiting and self._clock() >= self._resume_at:
            answer = self._waiting.pop()
            if self._clock() - answer.made_at > LONGEST_WAIT:
                self._waiting.clear()  # the others are older
                return
            self._send(answer.send)

    def _watch(self, service: Any) -> None:
        """Take the place of two attributes of rclpy's service: rclpy makes most of them itself."""
        send, callback = service.send_response, service.callback

        def bounded(request: Any, response: Any) -> Any:
            return response if self._is_too_long(request) else callback(request, response)

        def send_response(response: Any, header: Any) -> None:
            if self._clock() < self._resume_at:
                self._waiting.append(_Answer(lambda: send(response, header), self._clock()))
            else:
                self._send(lambda: send(response, header))

        service.callback = bounded
        service.send_response = send_response

    def _send(self, send: Callable[[], None]) -> None:
        started = self._clock()
        try:
            send()
        finally:
            self._account(self._clock() - started)

    def _account(self, seconds: float) -> None:
        if seconds <= SLOW_ANSWER:
            return
        self._resume_at = self._clock() + seconds * (1 / LARGEST_FRACTION - 1)
        self._logger.warning(
            f'answering a service call took {seconds * 1e3:.0f} ms: its client is gone or does '
            'not read; other calls may wait for a second',
            throttle_duration_sec=WARNING_INTERVAL,
        )

    def _is_too_long(self, request: Any) -> bool:
        return any(len(getattr(request, name, ())) > self._most_entries for name in _LISTS)
