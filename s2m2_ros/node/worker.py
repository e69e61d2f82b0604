"""One thread for the slow work, and a slot for each camera that holds its newest piece of it."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')

_logger = logging.getLogger(__name__)


class Worker(Generic[Item]):
    """Processes items one at a time in a thread of its own; each slot keeps the newest.

    Nothing queues: an item that still waits in its slot when the next is offered is returned.
    Slots take turns, calls (`call`) come before items. The thread is a daemon, since a running
    inference cannot be interrupted: whoever ends the process decides with `close` how long to
    wait for it.
    """

    def __init__(
        self,
        process: Callable[[Item], None],
        *,
        name: str = 'worker',
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the seconds of deadlines from the clock."""
        self._process = process
        self._clock = clock
        self._wake = threading.Condition()
        # In the order in which their turns come.
        self._slots: OrderedDict[Hashable, Item] = OrderedDict()
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, item: Item, *, slot: Hashable = None) -> Item | None:
        """Put an item into a slot; return what it displaced, or the item itself once closed."""
        with self._wake:
            if self._closing:
                return item
            # A displaced item's turn stays: a fast camera does not get behind a slow one.
            displaced = self._slots.get(slot)
            self._slots[slot] = item
            self._wake.notify()
        return displaced

    def withdraw(self, *, slot: Hashable = None) -> Item | None:
        """Take the waiting item of a slot back, if there is one."""
        with self._wake:
            return self._slots.pop(slot, None)

    def waiting(self) -> list[Item]:
        """Return the items that wait, in the order of their turns; any thread."""
        with self._wake:
            return list(self._slots.values())

    def take(
        self,
        suits: Callable[[Item], bool],
        most: int,
        *,
        awaited: Collection[Hashable] = (),
        deadline: float = 0.0,
    ) -> list[Item]:
        """Take at most so many waiting items that suit out of their slots, in turn.

        For the worker's thread. While one of the `awaited` slots is empty it waits, unless a call
        waits too, until the `deadline` (of the clock) at most.
        """

        def found() -> list[Hashable]:
            return [slot for slot, item in self._slots.items() if suits(item)]

        with self._wake:
            while len(found()) < most and not self._slots.keys() >= set(awaited):
                left = deadline - self._clock()
                if left <= 0 or self._closing or self._calls:
                    break
                self._wake.wait(left)
            return [self._slots.pop(slot) for slot in found()[:most]]

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """Run a function in the worker's thread, before the next item."""
        future: Future[Result] = Future()
        with self._wake:
            if self._closing:
                future.cancel()
            else:
                self._calls.append((future, function))
                self._wake.notify()
        return future

    def close(self, timeout: float) -> bool:
        """Take no more work and wait for what runs; False if it runs on after `timeout` s."""
        with self._wake:
            self._closing = True
            self._slots.clear()
            while self._calls:
                self._calls.popleft()[0].cancel()
            self._wake.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()
            # What this held must not live on in this frame until the next piece of work.
            del work

    def _next(self) -> Callable[[], None] | None:
        with self._wake:
            self._wake.wait_for(lambda: self._closing or self._calls or self._slots)
            if self._closing:
                return None
            if self._calls:
                future, function = self._calls.popleft()
                return lambda: _fulfil(future, function)
            _, item = self._slots.popitem(last=False)
        return lambda: self._handle(item)

    def _handle(self, item: Any) -> None:
        try:
            self._process(item)
        except Exception:  # the thread must survive any error
            _logger.exception('an error that the worker did not expect')


def _fulfil(future: Future[Any], function: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)
