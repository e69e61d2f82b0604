"""A report that grows step by step, each step in a process that may hang, crash or be killed."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from s2m2_ros.atomic_files import write_atomically
from s2m2_ros.errors import S2M2Error

Result = dict[str, Any]
FORMAT = 's2m2 benchmark report 1'


class ReportError(S2M2Error):
    """A report cannot be continued: says which and why."""


@dataclass(frozen=True)
class Step:
    """One thing to find out.

    Attributes:
        key: its name in the report.
        function: returns what JSON can hold; a function of a module, or a `partial` of one.

    """

    key: str
    function: Callable[[], Result]


class Report:
    """Results of steps by key, in a file that is replaced as a whole after each."""

    def __init__(self, path: Path, machine: Mapping[str, str]) -> None:
        """Start, or continue what is in the file.

        Raises:
            ReportError: the file is something else, or was made on another machine.

        """
        self.path = path
        self.machine = dict(machine)
        self.results: dict[str, Result] = self._kept()

    def missing(self, steps: Sequence[Step]) -> list[Step]:
        """Return the steps that have no result yet; those that failed count as missing."""
        return [s for s in steps if self.results.get(s.key, {'error': ''}).keys() >= {'error'}]

    def add(self, key: str, result: Result) -> None:
        """Record a result and write the file. Raises OSError."""
        self.results[key] = result
        content = {'format': FORMAT, 'machine': self.machine, 'results': self.results}
        write_atomically(self.path, json.dumps(content, indent=2).encode())

    def _kept(self) -> dict[str, Result]:
        if not self.path.exists():
            return {}
        try:
            content = json.loads(self.path.read_bytes())
            if content['format'] != FORMAT:
                raise ReportError(f"'{self.path}' is not a report of this version; name another")
            machine, results = content['machine'], content['results']
            kept = {str(key): dict(result) for key, result in results.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReportError(f"'{self.path}' is not a report: name another file") from error
        if machine != self.machine:
            raise ReportError(
                f"'{self.path}' was made on another machine or with other versions: "
                'name another file, or delete it'
            )
        return kept


def run_group(steps: Sequence[Step], *, seconds: float) -> Iterator[tuple[str, Result]]:
    """Run steps one after the other in one process of its own; yield each result as it comes.

    An exception, a crash of the process, and a step that is not done in time each give a result
    with the single entry 'error'. After a crash the rest goes on in a new process. Steps that
    were not begun within the time give none.

    Args:
        steps: what to run.
        seconds: for all of them, from now on.
    """
    end = time.monotonic() + seconds
    left = list(steps)
    while left and time.monotonic() < end:
        for key, result in _run_until_crash(left, end):
            left = left[1:]
            yield key, result


def _run_until_crash(steps: Sequence[Step], end: float) -> Iterator[tuple[str, Result]]:
    # Not `fork`: CUDA does not work in the child of a process that used it.
    context = multiprocessing.get_context('spawn')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(list(steps), sender), daemon=True)
    process.start()
    sender.close()
    try:
        for step in steps:
            if not receiver.poll(max(0.0, end - time.monotonic())):
                yield step.key, {'error': 'not done within the time; see --minutes'}
                return
            try:
                yield step.key, receiver.recv()
            except EOFError:
                process.join(10)
                yield step.key, {'error': f'the process ended with status {process.exitcode}'}
                return
    finally:
        process.kill()
        process.join()
        receiver.close()


def _serve(steps: list[Step], sender: Connection) -> None:
    """Run steps and send each result."""
    for step in steps:
        try:
            result = step.function()
        except Exception as error:
            # One backend that fails must not hide what the others do.
            lines = str(error).splitlines() or ['']
            result = {'error': f'{type(error).__name__}: {lines[0]}'}
        with suppress(BrokenPipeError):
            sender.send(result)
