"""What can go wrong in the node: faults that last, and why a pair is dropped. One table each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

REPEAT_AFTER = 30.0
# A fault whose wording changes all the time (a count, a size) is not logged faster than this.
SHORTEST_INTERVAL = 5.0
# A transient fault is over when it has not been reported for this long.
TRANSIENT_LASTS = 10.0


class Level(IntEnum):
    """How bad it is; the values are those of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


class Part(Enum):
    """The statuses of the diagnostics."""

    INPUTS = 'inputs'
    MATCHING = 'matching'
    OUTPUTS = 'outputs'
    CALIBRATION = 'calibration'


class Fault(Enum):
    """Each thing that can be wrong: its name, where diagnostics report it, its level.

    A transient fault need not be cleared: it is over when not reported for ten seconds.
    """

    SYNCHRONIZATION = 'synchronization', Part.INPUTS
    RATES = 'rates', Part.INPUTS
    TIMESTAMPS = 'timestamps', Part.INPUTS, Level.WARN, True
    ZERO_TIMESTAMPS = 'zero timestamps', Part.INPUTS, Level.WARN, True
    FRAME_ID = 'frame_id', Part.INPUTS
    QOS = 'QoS', Part.INPUTS
    PUBLISHERS = 'several publishers', Part.INPUTS
    REMAPPING = 'remapping', Part.INPUTS
    INPUT = 'input', Part.INPUTS, Level.ERROR
    VIDEO = 'video', Part.INPUTS, Level.ERROR, True
    COLOR_PUBLISHERS = 'publishers of the color camera', Part.INPUTS
    DISPATCH = 'dispatch', Part.INPUTS, Level.ERROR, True
    CONFIGURATION = 'configuration', Part.MATCHING, Level.ERROR
    MATCHING = 'matching', Part.MATCHING, Level.ERROR
    BACKEND = 'backend', Part.MATCHING, Level.ERROR
    OUTPUT = 'output', Part.OUTPUTS, Level.ERROR, True
    SHARED_OUTPUTS = 'several publishers of an output', Part.OUTPUTS
    TRANSFORM = 'transform', Part.OUTPUTS, Level.WARN, True
    TEMPORAL_FILTER = 'temporal filter', Part.OUTPUTS, Level.WARN, True
    COLOR_CAMERA = 'color camera', Part.OUTPUTS, Level.WARN, True
    MERGED_CLOUD = 'merged cloud', Part.OUTPUTS, Level.WARN, True
    INTERNAL = 'internal error', Part.OUTPUTS, Level.ERROR, True
    CALIBRATION = 'calibration', Part.CALIBRATION
    MISALIGNMENT = 'misalignment', Part.CALIBRATION
    SWAPPED = 'swapped cameras', Part.CALIBRATION
    ROTATED = 'rotated camera', Part.CALIBRATION
    UNRELATED = 'unrelated images', Part.CALIBRATION
    BLANK = 'blank images', Part.CALIBRATION
    IDENTICAL = 'identical images', Part.CALIBRATION
    EXAMINATION = 'examination', Part.CALIBRATION, Level.WARN, True

    def __init__(
        self, label: str, part: Part, level: Level = Level.WARN, transient: bool = False
    ) -> None:
        self.label = label
        self.part = part
        self.level = level
        self.transient = transient


class DropCause(Enum):
    """Why a received left image never became an output; the values are what users read."""

    UNMATCHED = 'unmatched'
    NO_CALIBRATION = 'no camera_info'
    OTHER_PUBLISHER = 'other publisher'
    UNDECODED = 'video not decoded'
    SUPERSEDED = 'superseded'
    RATE_LIMIT = 'above max_rate'
    SAME_TIMESTAMP = 'same timestamp'
    INVALID_INPUT = 'invalid input'
    MATCHING_FAILED = 'matching failed'
    NO_SUBSCRIBERS = 'no subscribers'
    NO_TRANSFORM = 'no transform'
    NO_COLOR_CAMERA = 'no color camera'
    POINTS_RATE = 'points_rate'
    TRANSPORT_CHANGED = 'transport changed'
    PAUSED = 'paused'
    DEACTIVATED = 'deactivated'
    FAILED = 'failed'


class DropError(Exception):
    """This pair is dropped for a cause."""

    def __init__(self, cause: DropCause) -> None:
        super().__init__(cause.value)
        self.cause = cause


@dataclass
class _Lasting:
    """A fault that lasts: when it was reported and logged last, and how often since."""

    level: Level
    text: str
    reported_at: float
    logged_at: float
    unlogged: int = 0


class FaultLog:
    """The present faults; may be used from several threads.

    `log(level, text)` logs for the user: once for a new fault, seldom while
    it lasts, once when it is over.
    """

    def __init__(
        self, log: Callable[[Level, str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._current: dict[Fault, _Lasting] = {}

    def report(self, fault: Fault, text: str, *, level: Level | None = None) -> None:
        """Note that a fault is there, in these words; log it if it is new or due again."""
        level = fault.level if level is None else level
        now = self._clock()
        with self._lock:
            known = self._current.get(fault)
            if known is None:
                self._current[fault] = _Lasting(level, text, now, now)
            else:
                waited = now - known.logged_at
                due = waited >= (REPEAT_AFTER if text == known.text else SHORTEST_INTERVAL)
                known.level, known.text, known.reported_at = level, text, now
                known.unlogged += 1
                if not due:
                    return
                if known.unlogged > 1:
                    text = f'{text} ({known.unlogged} times in {waited:.0f} s)'
                known.logged_at, known.unlogged = now, 0
        self._log(level, text)

    def follow(self, fault: Fault, text: str | None) -> None:
        """Report a fault, or clear it where there is no text."""
        if text is None:
            self.clear(fault)
        else:
            self.report(fault, text)

    def clear(self, *faults: Fault) -> None:
        """Note that these faults are over; log the recovery of those that were there."""
        if not self._current:
            return
        with self._lock:
            gone = [fault for fault in faults if self._current.pop(fault, None)]
        for fault in gone:
            self._log(Level.OK, f'{fault.label}: recovered')

    def reset(self, *faults: Fault) -> None:
        """Forget these faults (all of them if none is named) without logging a recovery."""
        with self._lock:
            for fault in faults or tuple(self._current):
                self._current.pop(fault, None)

    def current(self) -> dict[Fault, tuple[Level, str]]:
        """Return level and text of every fault that lasts."""
        limit = self._clock() - TRANSIENT_LASTS
        with self._lock:
            return {
                fault: (lasting.level, lasting.text)
                for fault, lasting in self._current.items()
                if not fault.transient or lasting.reported_at > limit
            }


def log_to(logger: Any, context: Any) -> Callable[[Level, str], None]:
    """Return the function that logs a fault to a logger of rclpy, in the severity of its level.

    Once the context is shut down, nothing is logged: what fails then fails for that.
    """

    def log(level: Level, text: str) -> None:
        if not context.ok():
            return
        # One line each: rclpy ties the severity to the place of the call.
        if level is Level.ERROR:
            logger.error(text)
        elif level is Level.WARN:
            logger.warning(text)
        else:
            logger.info(text)

    return log
