"""Stages that work at the same time, with a bounded amount of data between them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar('T')

# Data that may wait between two stages; one item always may.
CAPACITY_BYTES = 256 << 20
# Items that may wait, and how often a waiting stage looks whether it was interrupted.
CAPACITY_ITEMS = 2000
INTERRUPT_PERIOD_S = 0.2


class _Closed(Exception):  # noqa: N818  # no error: the other side has ended
    """The channel is closed."""


class Channel(Generic[T]):
    """A queue between two threads that is bounded by the size of what is in it."""

    def __init__(self, size_of: Callable[[T], int]) -> None:
        """Take how many bytes an item holds."""
        self._size_of = size_of
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._condition = threading.Condition()
        self._ended = False
        self._cancelled = False
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        """Add an item, waiting for room; raises what the other side failed with."""
        size = self._size_of(item)
        with self._condition:
            while self._is_full(size) and not self._cancelled:
                self._condition.wait(INTERRUPT_PERIOD_S)
            if self._cancelled:
                raise self._error or _Closed
            self._items.append((item, size))
            self._bytes += size
            self._condition.notify_all()

    def get(self) -> T:
        """Return the next item, waiting for it; raises the error of the other side, or _Closed."""
        with self._condition:
            while not (self._items or self._ended or self._cancelled):
                self._condition.wait(INTERRUPT_PERIOD_S)
            if self._items and not self._cancelled:
                item, size = self._items.popleft()
                self._bytes -= size
                self._condition.notify_all()
                return item
            raise self._error or _Closed

    def end(self, error: BaseException | None = None) -> None:
        """Say that no more items come, for what reason if it is an error."""
        with self._condition:
            self._ended = True
            self._error = self._error or error
            self._condition.notify_all()

    def cancel(self, error: BaseException | None = None) -> None:
        """Say that no more items are taken; those that wait are dropped."""
        with self._condition:
            self._cancelled = True
            self._error = self._error or error
            self._items.clear()
            self._condition.notify_all()

    def _is_full(self, size: int) -> bool:
        if not self._items:
            return False
        return self._bytes + size > CAPACITY_BYTES or len(self._items) >= CAPACITY_ITEMS


class ReadAhead(Generic[T]):
    """Iterates in a thread of its own; a context manager that ends the thread."""

    def __init__(self, source: Iterable[T], size_of: Callable[[T], int]) -> None:
        """Take what is iterated over."""
        self._source = source
        self._channel: Channel[T] = Channel(size_of)
        self._thread = threading.Thread(target=self._run, name='reader', daemon=True)

    def __enter__(self) -> Iterator[T]:
        self._thread.start()
        return self._items()

    def __exit__(self, *_: object) -> None:
        self._channel.cancel()
        self._thread.join()

    def _items(self) -> Iterator[T]:
        while True:
            try:
                item = self._channel.get()
            except _Closed:
                return
            yield item

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._source:
                self._channel.put(item)
        except _Closed:
            pass
        except BaseException as failure:  # raised again in the other thread
            error = failure
        self._channel.end(error)


class WriteBehind(Generic[T]):
    """Consumes in a thread of its own; a context manager that waits for the last item.

    An error of the consumer is raised by the next `put`, or at the end.
    """

    def __init__(self, consume: Callable[[T], None], size_of: Callable[[T], int]) -> None:
        """Take what is done with each item."""
        self._consume = consume
        self._channel: Channel[T] = Channel(size_of)
        self._thread = threading.Thread(target=self._run, name='writer', daemon=True)
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        """Have an item consumed."""
        self._channel.put(item)

    def __enter__(self) -> WriteBehind[T]:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._channel.end()
        else:
            self._channel.cancel()
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while True:
                self._consume(self._channel.get())
        except _Closed:
            pass
        except BaseException as failure:  # raised again in the other thread
            self._error = failure
            self._channel.cancel(failure)
