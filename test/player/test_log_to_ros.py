"""What modules without ROS log appears in the log of the node, once and printable."""

from __future__ import annotations

import logging

from s2m2_ros.player.log_to_ros import logging_to, printable


class Recorder:
    """Takes the place of rclpy's logger, which offers no way to read what it logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def info(self, text: str) -> None:
        self.lines.append(('info', text))

    def warning(self, text: str) -> None:
        self.lines.append(('warning', text))

    def error(self, text: str) -> None:
        self.lines.append(('error', text))


def test_records_keep_their_severity() -> None:
    recorder, ours = Recorder(), logging.getLogger('s2m2_ros.io.anything')
    with logging_to(recorder):
        ours.debug('unseen')
        ours.info('took %s', 'calib.txt')
        ours.warning('cut short')
        ours.error('gone')
        logging.getLogger('another').warning('not ours')
    ours.warning('after the end')
    assert recorder.lines == [
        ('info', 'took calib.txt'),
        ('warning', 'cut short'),
        ('error', 'gone'),
    ]


def test_names_that_are_no_utf_8_are_printed_with_their_bytes() -> None:
    name = b'caf\xe9'.decode('utf-8', 'surrogateescape')
    recorder = Recorder()
    with logging_to(recorder):
        logging.getLogger('s2m2_ros').warning('%s', name)
    assert recorder.lines == [('warning', 'caf\\udce9')]
    assert printable(OSError('é')) == 'é'
