"""What other processes said, in order, and waiting for what they will say."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

# Many computers run tests while they do other things.
PATIENCE = 180.0
# Seconds after which the answer of a service counts as lost.
REPEAT_S = 15.0


class Transcript:
    """A list that one thread appends to and another waits on."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._grown = threading.Condition()
        self._ended = False

    def append(self, item: Any) -> None:
        """Add an item and wake whoever waits."""
        with self._grown:
            self.items.append(item)
            self._grown.notify_all()

    def end(self) -> None:
        """Nothing more will come."""
        with self._grown:
            self._ended = True
            self._grown.notify_all()

    def wait(
        self,
        suits: Callable[[Any], bool],
        what: str,
        *,
        since: int = 0,
        patience: float = PATIENCE,
    ) -> Any:
        """Return the first item from index `since` on that suits; fail after `patience` s."""
        deadline = time.monotonic() + patience
        position = since
        while True:
            with self._grown:
                while position == len(self.items):
                    left = deadline - time.monotonic()
                    if self._ended or left <= 0:
                        latest = '\n'.join(str(item)[:1500] for item in self.items[-6:])
                        raise AssertionError(f'never came: {what}; the last were\n{latest}')
                    self._grown.wait(left)
                fresh = self.items[position:]
            for item in fresh:
                if suits(item):
                    return item
            position += len(fresh)
