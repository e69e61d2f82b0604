"""Run Python in a process of its own and talk to it by lines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2]


@contextmanager
def python_process(
    code: str, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run `python -c code arguments` with pipes for lines in and out.

    At the end it is asked to stop, and killed if it does not: a killed DDS participant haunts its
    domain until its lease runs out.
    """
    process = subprocess.Popen(
        [sys.executable, '-c', code, *arguments],
        cwd=cwd or SOURCE,
        env={**os.environ, **(env or {})},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
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
