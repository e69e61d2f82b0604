"""What modules without ROS log, in the log of a node."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PACKAGE = 's2m2_ros'


class _RosHandler(logging.Handler):
    """Passes records to a logger of rclpy."""

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        text = printable(record.getMessage())
        # rclpy allows one severity for each place of a call.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)


@contextmanager
def logging_to(logger: Any) -> Iterator[None]:
    """Send what this package logs (info and above) to a logger of rclpy."""
    ours, handler = logging.getLogger(PACKAGE), _RosHandler(logger)
    level, propagate = ours.level, ours.propagate
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(level)
        ours.propagate = propagate


def printable(text: object) -> str:
    """Return text that UTF-8 can hold: file names may consist of other bytes."""
    return str(text).encode('utf-8', 'backslashreplace').decode()
