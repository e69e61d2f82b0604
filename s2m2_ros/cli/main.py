"""Entry point of the `s2m2` command.

Every subcommand is a module of this package with ``SUMMARY``, ``add_arguments(parser)`` and
``run(arguments) -> int``. Imports stand inside functions: heavy ones (torch, OpenCV) so
that ``s2m2 --help`` answers at once, all others so that Ctrl-C is handled from the first on.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from s2m2_ros.cli.command_process import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    complain,
    output_is_written,
    run_as_process,
)
from s2m2_ros.errors import S2M2Error, reason_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

COMMANDS: tuple[str, ...] = (
    'match',
    'process',
    'view',
    'demo',
    'evaluate',
    'benchmark',
    'export',
    'train',
    'weights',
    'calibrate-check',
    'doctor',
)
# Those whose --calibration takes several files beside images.
WITH_CALIBRATION = ('match', 'process', 'calibrate-check')

EXIT_USER_ERROR = 2


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a command line, with the arguments of the commands that are in it.

    Those of some commands follow from tables whose import takes seconds.
    """
    import argparse
    import importlib

    import s2m2_ros
    from s2m2_ros.cli.parsers import CommandParser, MainParser

    parser = MainParser(prog='s2m2', description='Stereo matching with S2M2.')
    parser.add_argument('--version', action='version', version=f's2m2_ros {s2m2_ros.__version__}')
    parser.add_argument(
        '-v', '--verbose', action='store_true', help='log details, and the traceback of errors'
    )
    subparsers = parser.add_subparsers(
        dest='command', metavar='COMMAND', required=True, parser_class=CommandParser
    )
    for name in COMMANDS:
        module = importlib.import_module(f's2m2_ros.cli.{name.replace("-", "_")}')
        subparser = subparsers.add_parser(
            name,
            help=module.SUMMARY,
            description=module.SUMMARY,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        if name in argv:
            module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0: done. 1: what was checked is not sound (`doctor`, `weights verify`), some of several inputs
    or parts of one were lost (`match`, `process`), or what was printed could not be written. 2: an
    error that the user can fix, said in one message. 130: interrupted.
    Without `argv` it takes the arguments, signals and streams of the process.
    """
    if argv is None:
        return run_as_process(lambda: _run(sys.argv[1:]))
    return _run(argv)


def _run(argv: Sequence[str]) -> int:
    import logging

    from s2m2_ros.cli.calibration_option import images_first

    takes_images = any(word in argv for word in WITH_CALIBRATION)
    command = next((word for word in argv if word in COMMANDS), '')
    try:
        arguments = build_parser(argv).parse_args(images_first(argv) if takes_images else argv)
        logging.basicConfig(
            level=logging.DEBUG if arguments.verbose else logging.INFO, format='%(message)s'
        )
        return int(arguments.run(arguments))
    except BrokenPipeError:
        return EXIT_FAILED  # the reader closed the pipe
    except (S2M2Error, OSError, MemoryError) as error:
        if not output_is_written():
            return EXIT_FAILED
        logging.getLogger(__name__).debug('where it happened:', exc_info=True)
        complain(f's2m2 {command}: {reason_of(error)}')
        return EXIT_USER_ERROR
    except ImportError as error:
        logging.getLogger(__name__).debug('where it happened:', exc_info=True)
        complain(f's2m2 {command}: {reason_of(error)}')
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == '__main__':
    sys.exit(main())
