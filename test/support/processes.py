"""Run Python in a process of its own and talk to it by lines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2]
# Where the segments of Fast DDS lie.
SHARED_MEMORY = Path('/dev/shm')  # noqa: S108


def python_path(*folders: Path) -> str:
    """Return a PYTHONPATH with these folders first; what a sourced ROS 2 put there stays."""
    parts = [*(str(folder) for folder in folders), os.environ.get('PYTHONPATH')]
    return os.pathsep.join(filter(None, parts))


@contextmanager
def python_process(
    code: str, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run `python -c code arguments` with pipes for lines in and out; see `module_process`."""
    with _process(['-c', code, *arguments], cwd, env, None) as process:
        yield process


@contextmanager
def module_process(
    module: str, *arguments: str, env: Mapping[str, str] | None = None, merge_errors: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m module arguments`, of the source or of `test/`, with pipes for lines.

    `merge_errors` sends the lines of stderr the way of stdout. At the end the process is asked to
    stop, and killed if it does not: a killed DDS participant haunts its domain until its lease
    runs out.
    """
    errors = subprocess.STDOUT if merge_errors else None
    command = ['-m', module, *arguments]
    with _process(
        command, None, {'PYTHONPATH': python_path(SOURCE / 'test'), **(env or {})}, errors
    ) as process:
        yield process


@contextmanager
def _process(
    command: list[str], cwd: Path | None, env: Mapping[str, str] | None, errors: int | None
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=cwd or SOURCE,
        env={**os.environ, **(env or {})},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
    )
    with process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.terminate()
            # rclpy's handler does not interrupt what waits for a line.
            with suppress(OSError):
                process.stdin.close()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()


def say(process: subprocess.Popen[Any], line: str) -> None:
    """Send one line to the process."""
    assert process.stdin is not None
    process.stdin.write(line + '\n')
    process.stdin.flush()


def hear(process: subprocess.Popen[Any]) -> str:
    """Wait for one line of the process; empty if it has ended."""
    assert process.stdout is not None
    return str(process.stdout.readline()).rstrip('\n')


def shared_memory(process: subprocess.Popen[Any]) -> set[Path]:
    """Return the segments of DDS that a process uses: its own, and those of its peers."""
    return _segments(Path('/proc', str(process.pid)))


def left_behind(segments: Iterable[Path]) -> set[Path]:
    """Return those of the segments that still exist though no living process uses them."""
    used = set().union(*(_segments(process) for process in Path('/proc').glob('[0-9]*')))
    return {segment for segment in segments if segment.exists()} - used


def _segments(process: Path) -> set[Path]:
    try:
        lines = (process / 'maps').read_text().splitlines()
    except OSError:  # it ended, or is another user's
        return set()
    # Ports are shared by name, and stay.
    return {
        Path(line.split(maxsplit=5)[5])
        for line in lines
        if f'{SHARED_MEMORY}/fast' in line and '_port' not in line and '(deleted)' not in line
    }
