"""A stereo node, a watcher and flexible cameras, each in a process of its own."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from support.remote import Remote, remote
from support.robot import StereoNodeProcess, stereo_node
from support.transcript import PATIENCE

LEFT, RIGHT = 'left/image_rect', 'right/image_rect'
IMAGES = [LEFT, RIGHT]
INFOS = ['left/camera_info', 'right/camera_info']
QUICK: dict[str, Any] = {'max_width': 160, 'sync_timeout': 1.0, 'calibration_check_period': 0.0}


@contextmanager
def default_middleware() -> Iterator[None]:
    """Let processes that start meanwhile run without any setting of the middleware."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(('FASTDDS_', 'FASTRTPS_')):
                patch.delenv(name)
        yield


class CameraBench:
    """The watcher is there from the start; the node and the cameras come when a test says so."""

    def __init__(self, parts: ExitStack) -> None:
        self.namespace = f'/bench_{uuid.uuid4().hex[:8]}'
        self._parts = parts
        self._names = itertools.count(1)
        self.watcher = parts.enter_context(remote('support.watcher'))
        self.node: StereoNodeProcess

    def start_node(self, **parameters: Any) -> None:
        """Start the stereo node."""
        settings = {**QUICK, **parameters}
        self.node = self._parts.enter_context(stereo_node(self.namespace, settings))

    def start_camera(self, name: str = '') -> Remote:
        """Start a process with a camera that offers nothing yet."""
        name = name or f'camera_{next(self._names)}'
        return self._parts.enter_context(remote('support.flexible_camera', self.namespace, name))

    def listen(self, topic: str = 'points') -> None:
        """Subscribe to an output."""
        self.watcher.call('listen', namespace=self.namespace, topics=[topic])

    def unlisten(self, topic: str = 'points') -> None:
        """Unsubscribe from an output."""
        self.watcher.call('unlisten', namespace=self.namespace, topics=[topic])

    def mark(self) -> int:
        """Return the place in the watcher's transcript, to wait for what comes later."""
        return len(self.watcher.events.items)

    def wait_output(
        self, *, since: int, frame: str | None = None, topic: str = 'points', count: int = 1
    ) -> Any:
        """Return the `count`-th output from `since` on."""
        name, found = f'{self.namespace}/{topic}', itertools.count(1)
        return self.watcher.events.wait(
            lambda e: (
                e['topic'] == name
                and (frame is None or e['frame'] == frame)
                and next(found) == count
            ),
            f'{count} of {topic} from {frame}',
            since=since,
        )

    def wait_reported(
        self, *words: str, since: int, without: str = '\0', patience: float = PATIENCE
    ) -> str:
        """Return the text of the inputs' status when it is no OK and has all these words.

        `without` is a word that it must not have.
        """
        name = f'{self.namespace}/stereo_node'

        def suits(event: Any) -> bool:
            if event['topic'] != '/diagnostics' or event['node'] != name:
                return False
            status = event['statuses']['inputs']
            text = status['message']
            return bool(
                status['level'] and all(word in text for word in words) and without not in text
            )

        event = self.watcher.events.wait(suits, f'{words}', since=since, patience=patience)
        return str(event['statuses']['inputs']['message'])

    def wait_healthy(self, *, since: int) -> None:
        """Wait until the inputs' status is OK."""
        name = f'{self.namespace}/stereo_node'
        self.watcher.events.wait(
            lambda e: (
                e['topic'] == '/diagnostics'
                and e['node'] == name
                and not e['statuses']['inputs']['level']
            ),
            'healthy inputs',
            since=since,
        )


@contextmanager
def camera_bench() -> Iterator[CameraBench]:
    """Run the watcher; everything ends with the block, and the node must be alive then."""
    with ExitStack() as parts:
        made = CameraBench(parts)
        yield made
        assert made.node.process.poll() is None, '\n'.join(made.node.log.items[-30:])
