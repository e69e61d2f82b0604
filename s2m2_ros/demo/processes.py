"""The nodes of the demo, each in a process of its own, as on a robot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from s2m2_ros.errors import S2M2Error

INPUTS = ('left/image_rect', 'left/camera_info', 'right/image_rect', 'right/camera_info')
CAMERA = '/camera'
MODULES = {
    'stereo_node': 's2m2_ros.node.main',
    'stereo_player': 's2m2_ros.player.stereo_player',
}
TERMINATION_TIMEOUT_S = 10.0
LAST_LINES = 5


class NodeEndedError(S2M2Error):
    """A node of the demo ended by itself; the message has the end of its log."""


class NodeProcess:
    """One node of this package; a context manager that stops it at the end."""

    def __init__(self, name: str, arguments: Sequence[str], *, log: Path) -> None:
        """Start the node of this name, a key of ``MODULES``; what it prints goes into ``log``."""
        self._name = name
        self._log = log
        command = [sys.executable, '-m', MODULES[name], '--ros-args', *arguments]
        with log.open('w') as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )

    def check(self) -> None:
        """Raise :class:`NodeEndedError` if the node is not running any more."""
        status = self._process.poll()
        if status is not None:
            raise NodeEndedError(f'{self._name} ended with status {status}: {self.log_tail()}')

    def log_tail(self) -> str:
        """Return the end of the log."""
        lines = self._log.read_text(errors='replace').splitlines()
        return '\n'.join(lines[-LAST_LINES:]) or 'its log is empty'

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(TERMINATION_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def player(source: Path, calibration: Path | None, *, rate: float, log: Path) -> NodeProcess:
    """Start a player that publishes the source over and over, in the namespace of the camera."""
    parameters = {'source': source, 'calibration': calibration or '', 'rate': float(rate)}
    return NodeProcess('stereo_player', ['-r', f'__ns:={CAMERA}', *_assign(parameters)], log=log)


def stereo_node(name: str, parameters: Mapping[str, Any], *, log: Path) -> NodeProcess:
    """Start a stereo node in the namespace ``/<name>`` that subscribes to the camera."""
    arguments = ['-r', f'__ns:=/{name}']
    for topic in INPUTS:
        arguments += ['-r', f'{topic}:={CAMERA}/{topic}']
    return NodeProcess('stereo_node', [*arguments, *_assign(parameters)], log=log)


def _assign(parameters: Mapping[str, Any]) -> list[str]:
    """Return ROS arguments; text is quoted, so that YAML never takes it for something else."""
    arguments = []
    for name, value in parameters.items():
        text = f'"{value}"' if isinstance(value, str | Path) else str(value).lower()
        arguments += ['-p', f'{name}:={text}']
    return arguments


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, for child processes and DDS, and restore them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
