"""Entry point of the `s2m2` command.

Every subcommand is a module of this package with ``SUMMARY``, ``add_arguments(parser)`` and
``run(arguments) -> int``. Its heavy imports (torch, OpenCV) stand inside functions, so that
``s2m2 --help`` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence

import s2m2_ros
from s2m2_ros.errors import S2M2Error

COMMANDS: tuple[str, ...] = (
    'match',
    'demo',
    'evaluate',
    'benchmark',
    'export',
    'train',
    'weights',
    'calibrate-check',
    'doctor',
)

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(prog='s2m2', description='Stereo matching with S2M2.')
    parser.add_argument('--version', action='version', version=f's2m2_ros {s2m2_ros.__version__}')
    parser.add_argument('-v', '--verbose', action='store_true', help='log what happens inside')
    subparsers = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name in COMMANDS:
        module = importlib.import_module(f's2m2_ros.cli.{name.replace("-", "_")}')
        subparser = subparsers.add_parser(
            name,
            help=module.SUMMARY,
            description=module.SUMMARY,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status (2 for a user's error)."""
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO, format='%(message)s'
    )
    try:
        return int(arguments.run(arguments))
    except S2M2Error as error:
        print(f's2m2 {arguments.command}: {error}', file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == '__main__':
    sys.exit(main())
