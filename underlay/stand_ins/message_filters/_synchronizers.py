"""Synchronizers: one output for messages of several filters with equal or similar timestamps."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rclpy.clock import ROSClock
from rclpy.duration import Duration
from rclpy.logging import get_logger

from ._filters import SimpleFilter

Queue = dict[int, Any]


class _Filter(Protocol):
    """Anything a synchronizer can take as input."""

    def registerCallback(self, cb: Callable[..., object], *args: Any) -> object:  # noqa: N802
        """Call `cb(message, *args)` for every message."""


class TimeSynchronizer(SimpleFilter):
    """
    Call back with one message of each filter when their header timestamps are equal.

    Every filter has a queue of `queue_size` messages, keyed by the time in nanoseconds: a second
    message of the same time replaces the first, and the earliest ones leave first, so after a
    jump back in time each new message leaves at once, as in the real package.

    As in the real package callbacks run one at a time, under the lock that all inputs take.
    Better than there: an exception in a callback releases the lock, and the messages of that call
    are used up, so the inputs go on.
    """

    def __init__(self, fs: Sequence[_Filter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[_Filter]) -> None:  # noqa: N802
        """Connect to these filters, with empty queues."""
        self.queues: list[Queue] = [{} for _ in fs]
        self.input_connections = [
            source.registerCallback(self.add, queue, index)
            for index, (source, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:
        """Queue one message and call back for every stamp that is now in all queues."""
        stamp = _nanoseconds(msg.header.stamp)
        with self.lock:
            self._store(msg, my_queue, stamp)
            for common in sorted(set.intersection(*map(set, self.queues))):
                self._emit([common] * len(self.queues))

    def _store(self, msg: Any, queue: Queue, stamp: int) -> None:
        queue[stamp] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def _emit(self, stamps: Sequence[int]) -> None:
        """Take one message of each queue and call back with them."""
        pairs = zip(self.queues, stamps, strict=True)
        self.signalMessage(*[queue.pop(stamp) for queue, stamp in pairs])


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """
    Call back with one message of each filter when their timestamps lie within `slop` seconds.

    The spread (largest less smallest timestamp) must be strictly below `slop`: a slop of 0 never
    matches. A new message is tried with the queued ones nearest to it in time first, and each
    message is used once. Queues and callbacks are those of `TimeSynchronizer`.

    A message without a header is dropped with a warning, or with `allow_headerless` stamped with
    the system time of its arrival.
    """

    def __init__(
        self,
        fs: Sequence[_Filter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
    ) -> None:
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless
        super().__init__(fs, queue_size)

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:
        """Queue one message and call back if it completes a set."""
        stamp = self._stamp_of(msg)
        if stamp is None:
            return
        with self.lock:
            self._store(msg, my_queue, stamp)
            stamps = self._match(stamp, my_queue_index)
            if stamps is not None:
                self._emit(stamps)

    def _stamp_of(self, msg: Any) -> int | None:
        if hasattr(msg, 'header') and hasattr(msg.header, 'stamp'):
            return _nanoseconds(msg.header.stamp)
        if self.allow_headerless:
            return int(ROSClock().now().nanoseconds)
        get_logger('message_filters_approx').warning(
            f'{type(msg).__name__} has no header stamp and is dropped; '
            'allow_headerless=True would stamp it on arrival'
        )
        return None

    def _match(self, stamp: int, new_index: int | None) -> tuple[int, ...] | None:
        """Find one stamp per queue, that of the new message among them."""
        slop = self.slop.nanoseconds
        candidates = []
        for index, queue in enumerate(self.queues):
            if index == new_index:  # absent when the new message was the one evicted
                near = [stamp] if stamp in queue else []
            else:
                near = [other for other in queue if abs(other - stamp) < slop]
                near.sort(key=lambda other: abs(other - stamp))
            candidates.append(near)
        matches = (m for m in itertools.product(*candidates) if max(m) - min(m) < slop)
        return next(matches, None)


def _nanoseconds(stamp: Any) -> int:
    """Return a builtin_interfaces/Time in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
