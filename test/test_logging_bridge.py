"""What the package logs in Python reaches the node's logger, at the same level."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from s2m2_ros.logging_bridge import PACKAGE, RosLogHandler, send_logging_to


class Recorder:
    """Stands in for a logger of rclpy."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def debug(self, message: str) -> None:
        self.heard.append(('debug', message))

    def info(self, message: str) -> None:
        self.heard.append(('info', message))

    def warning(self, message: str) -> None:
        self.heard.append(('warning', message))

    def error(self, message: str) -> None:
        self.heard.append(('error', message))

    def fatal(self, message: str) -> None:
        self.heard.append(('fatal', message))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder, root, package = Recorder(), logging.getLogger(), logging.getLogger(PACKAGE)
    level = package.level
    send_logging_to(recorder)
    yield recorder
    package.setLevel(level)
    for handler in [h for h in root.handlers if isinstance(h, RosLogHandler)]:
        root.removeHandler(handler)


def test_every_level_of_the_package_arrives_as_itself(recorder: Recorder) -> None:
    logger = logging.getLogger('s2m2_ros.inference.selection')
    for level in ('debug', 'info', 'warning', 'error', 'critical'):
        getattr(logger, level)('backend %s in %d s', 'compiled', 3)
    assert recorder.heard == [
        (level, 'backend compiled in 3 s') for level in ('debug', 'info', 'warning', 'error')
    ] + [('fatal', 'backend compiled in 3 s')]


def test_other_packages_report_warnings_only(recorder: Recorder) -> None:
    logging.getLogger('onnxscript').info('chatter')
    logging.getLogger('onnxscript').warning('no triton')
    assert recorder.heard == [('warning', 'no triton')]


def test_another_logger_replaces_the_first(recorder: Recorder) -> None:
    other = Recorder()
    send_logging_to(other)
    logging.getLogger('s2m2_ros.inference').info('preparing')
    assert (recorder.heard, other.heard) == ([], [('info', 'preparing')])


def test_loggers_of_rclpy_have_what_is_used() -> None:
    import rclpy.logging

    logger = rclpy.logging.get_logger('test')
    for name in ('debug', 'info', 'warning', 'error', 'fatal'):
        assert callable(getattr(logger, name))


def test_a_record_that_cannot_be_formatted_does_not_end_the_caller(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, 'raiseExceptions', False)
    logging.getLogger('s2m2_ros').info('%d', 'no number')
    assert recorder.heard == []
