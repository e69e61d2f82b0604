"""Python's `logging` in the node's own log, where backends report what they do."""

from __future__ import annotations

import logging
from typing import Protocol

from s2m2_ros.text_safety import utf8_text

PACKAGE = 's2m2_ros'


class RosLogger(Protocol):
    """What is used of rclpy's loggers."""

    def debug(self, message: str) -> object:
        """Log at DEBUG."""

    def info(self, message: str) -> object:
        """Log at INFO."""

    def warning(self, message: str) -> object:
        """Log at WARN."""

    def error(self, message: str) -> object:
        """Log at ERROR."""

    def fatal(self, message: str) -> object:
        """Log at FATAL."""


class RosLogHandler(logging.Handler):
    """Passes records on to a logger of rclpy, whose level decides what is shown."""

    def __init__(self, logger: RosLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record; what cannot be formatted is reported by `logging` itself."""
        try:
            text = utf8_text(self.format(record))
            # rclpy ties a line of code to one severity, so each severity has a line.
            if record.levelno >= logging.CRITICAL:
                self._logger.fatal(text)
            elif record.levelno >= logging.ERROR:
                self._logger.error(text)
            elif record.levelno >= logging.WARNING:
                self._logger.warning(text)
            elif record.levelno >= logging.INFO:
                self._logger.info(text)
            else:
                self._logger.debug(text)
        except Exception:
            self.handleError(record)


def send_logging_to(logger: RosLogger) -> None:
    """Send the records of this package, and the warnings of others, to a logger of rclpy.

    Calling it again replaces the logger.
    """
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, RosLogHandler)]:
        root.removeHandler(old)
    root.addHandler(RosLogHandler(logger))
    # The root logger keeps its level, WARNING, for what others log.
    logging.getLogger(PACKAGE).setLevel(logging.DEBUG)
