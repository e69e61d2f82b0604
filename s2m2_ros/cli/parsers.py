"""Parsers of the command line whose errors say what to write instead."""

from __future__ import annotations

import argparse
from typing import NoReturn

from s2m2_ros.cli.calibration_option import OPTION


class MainParser(argparse.ArgumentParser):
    """The parser of the whole line, which finds what no command takes."""

    def error(self, message: str) -> NoReturn:
        """End with the message of argparse and, for a list of images, what to write."""
        start, _, rest = message.partition('unrecognized arguments: ')
        if not start and rest and not rest.startswith('-'):
            message += (
                ' (a command takes two images, or two folders for all that is in them: where a '
                'pattern such as left/*.png stands, the shell writes every file)'
            )
        super().error(message)


class CommandParser(argparse.ArgumentParser):
    """A parser of a command that says what to write where an option took the images."""

    def error(self, message: str) -> NoReturn:
        """End with the message of argparse and, where it helps, what to write."""
        takes_calibrations = any(OPTION in action.option_strings for action in self._actions)
        if takes_calibrations and 'required: left' in message:
            message += (
                f' (the images; write them before {OPTION}, which takes all that follows it, or '
                f'write -- between: {OPTION} FILE -- LEFT RIGHT)'
            )
        if 'required: INPUT' in message:
            message += ' (write it first: options of several values take all that follows them)'
        super().error(message)
