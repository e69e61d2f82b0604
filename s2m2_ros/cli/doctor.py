"""`s2m2 doctor`: check the installation, and report what to fix."""

from __future__ import annotations

import argparse
import itertools
from typing import TYPE_CHECKING

from s2m2_ros.cli.export import parse_size
from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference import registry

if TYPE_CHECKING:
    from s2m2_ros.inference.engines.verification import Verdict

SUMMARY = 'check ROS, DDS, torch, CUDA and the checkpoints, and report what to fix'

MARKS = ('ok', 'note', 'POOR', 'BROKEN')
NETWORK_BACKENDS = tuple(n for n, entry in registry.BACKENDS.items() if entry.needs_checkpoint)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the comparison of the backends."""
    parser.add_argument(
        '--verify',
        action='store_true',
        help='instead, compare every backend with torch in float32; compiling may take minutes',
    )
    parser.add_argument(
        '--checkpoint',
        default='starter',
        help='for --verify: name (see `s2m2 weights list`) or path',
    )
    parser.add_argument(
        '--device', default='auto', help='for --verify: auto, cpu, cuda, cuda:1, ...'
    )
    parser.add_argument(
        '--size', type=parse_size, default='128x192', metavar='HxW', help='for --verify'
    )
    parser.add_argument(
        '--backends', nargs='+', choices=NETWORK_BACKENDS, help='for --verify: only these'
    )


def run(arguments: argparse.Namespace) -> int:
    """Print every finding; 1 if something does not work at all."""
    if arguments.verify:
        return _verify(arguments)
    from s2m2_ros.doctor import Health, check_installation

    worst = Health.GOOD
    for finding in check_installation():
        worst = max(worst, finding.health)
        print(f'{MARKS[finding.health]:6}  {finding.subject}: {finding.fact}')
        if finding.remedy:
            print(f'        -> {finding.remedy}')
    return 1 if worst is Health.BROKEN else 0


def _verify(arguments: argparse.Namespace) -> int:
    """Print the table of the backends; 1 if one of them gives wrong results."""
    from s2m2_ros.inference.engines.verification import reference_of, verify
    from s2m2_ros.inference.export import ExportSize

    try:
        size = ExportSize(*arguments.size)
    except ValueError as error:
        raise S2M2Error(str(error)) from error
    verdicts = verify(
        arguments.checkpoint, size, device=arguments.device, backends=arguments.backends or ()
    )
    # What is wrong with the checkpoint or the device shows before a table is begun.
    first = list(itertools.islice(verdicts, 1))
    print(
        f'difference from {reference_of(arguments.checkpoint)}: {arguments.checkpoint}, '
        f'{size.width}x{size.height}, a synthetic pair'
    )
    print(
        f'{"":6}  {"backend":12} {"device":7} {"precision":9} {"median px":>9} {"99 % px":>9} '
        f'{"visibility":>10} {"confidence":>10}'
    )
    wrong = False
    for verdict in itertools.chain(first, verdicts):
        wrong |= verdict.proof is not None and bool(verdict.problem)
        print(_row(verdict), flush=True)
    return 1 if wrong else 0


def _row(verdict: Verdict) -> str:
    head = f'{verdict.backend:12} {verdict.device:7} {verdict.precision:9}'
    proof = verdict.proof
    if proof is None:
        return f'-       {head} unavailable: {verdict.problem}'
    mark = 'WRONG' if verdict.problem else 'ok'
    figures = (
        f'{proof.median_px:9.2g} {proof.p99_px:9.2g} {proof.median_visibility:10.2g} '
        f'{proof.median_confidence:10.2g}'
    )
    return f'{mark:6}  {head} {figures}' + (f'  {verdict.problem}' if verdict.problem else '')
