"""What is wrong just now: said once for each cause, repeated seldom, taken back when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

REPEAT_AFTER = 30.0
# A cause whose wording changes all the time (a count, a size) is not logged faster than this.
SHORTEST_INTERVAL = 5.0
# A passing cause is over when it has not come up for this long.
PASSES_AFTER = 10.0


class Level(IntEnum):
    """How bad it is; the values are those of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass
class Complaint:
    """One cause that lasts: when it was told and logged last, and how often it came up since."""

    level: Level
    text: str
    passing: bool
    told_at: float
    logged_at: float
    unlogged: int = 0


class Complaints:
    """Keeps what is wrong, by cause; may be used from several threads.

    `log(level, text)` is called for what a person should read.
    """

    def __init__(
        self, log: Callable[[Level, str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._current: dict[str, Complaint] = {}

    def tell(
        self, cause: str, text: str, *, level: Level = Level.WARN, passing: bool = False
    ) -> None:
        """Note that `cause` is there, in these words; log it if it is new or due again.

        A `passing` one need not be settled: it is over after ten seconds in which nobody told it.
        """
        now = self._clock()
        with self._lock:
            known = self._current.get(cause)
            if known is None:
                self._current[cause] = Complaint(level, text, passing, now, now)
            else:
                waited = now - known.logged_at
                due = waited >= (REPEAT_AFTER if text == known.text else SHORTEST_INTERVAL)
                known.level, known.text, known.told_at = level, text, now
                known.unlogged += 1
                if not due:
                    return
                if known.unlogged > 1:
                    text = f'{text} ({known.unlogged} times in {waited:.0f} s)'
                known.logged_at, known.unlogged = now, 0
        self._log(level, text)

    def settle(self, *causes: str) -> None:
        """Note that these causes have gone; log the recovery of those that were there."""
        if not self._current:
            return
        with self._lock:
            gone = [cause for cause in causes if self._current.pop(cause, None)]
        for cause in gone:
            self._log(Level.OK, f'{cause}: recovered')

    def forget(self, *causes: str) -> None:
        """Stop telling these causes, without a word: nothing is known of them any more."""
        with self._lock:
            for cause in causes:
                self._current.pop(cause, None)

    def clear(self) -> None:
        """Forget everything, without a word."""
        with self._lock:
            self._current.clear()

    def current(self) -> dict[str, tuple[Level, str]]:
        """Return level and text of every cause that lasts."""
        limit = self._clock() - PASSES_AFTER
        with self._lock:
            return {
                cause: (c.level, c.text)
                for cause, c in self._current.items()
                if not c.passing or c.told_at > limit
            }
