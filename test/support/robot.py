"""A stereo node with a camera and a listener, each in its own process, over real DDS."""

from __future__ import annotations

import itertools
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support.processes import module_process
from support.remote import Remote, remote
from support.transcript import PATIENCE, Transcript

RATE = 20.0
QUICK = {'backend': 'sgbm', 'diagnostics_period': 0.2, 'sync_timeout': 0.5}
# As lifecycle_msgs/Transition numbers them.
TRANSITIONS = {'configure': 1, 'cleanup': 2, 'activate': 3, 'deactivate': 4}


class StereoNodeProcess:
    """The node under test; `log` holds the lines that it wrote."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log = Transcript()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line.rstrip('\n'))
        self.log.end()

    def memory(self) -> int:
        """Return the bytes that are resident."""
        return int(self._status('VmRSS')) * 1024

    def shared_memory(self) -> int:
        """Return the bytes among them that lie in segments shared with other processes."""
        return int(self._status('RssShmem')) * 1024

    def largest_segment(self) -> int:
        """Return the bytes of the largest segment, used or not."""
        lines = Path(f'/proc/{self.process.pid}/maps').read_text(encoding='ascii').splitlines()
        ranges = (line.split()[0].split('-') for line in lines if '/fastdds_' in line)
        return max(int(end, 16) - int(begin, 16) for begin, end in ranges)

    def pause(self, seconds: float) -> None:
        """Stop the process for a while, as a computer does that has more urgent work."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def threads(self) -> int:
        """Return how many threads there are."""
        return int(self._status('Threads'))

    def descriptors(self) -> int:
        """Return how many files are open."""
        return len(list(Path(f'/proc/{self.process.pid}/fd').iterdir()))

    def _status(self, key: str) -> str:
        lines = Path(f'/proc/{self.process.pid}/status').read_text(encoding='ascii').splitlines()
        return next(line.split()[1] for line in lines if line.startswith(f'{key}:'))


@contextmanager
def stereo_node(
    namespace: str, parameters: Mapping[str, Any], *, env: Mapping[str, str] | None = None
) -> Iterator[StereoNodeProcess]:
    """Run the stereo node with `QUICK` and these parameters."""
    settings = {**QUICK, **parameters}
    options = [
        word for name, value in settings.items() for word in ('-p', f'{name}:={_yaml(value)}')
    ]
    arguments = ['--ros-args', '-r', f'__ns:={namespace}', *options]
    with module_process('s2m2_ros.node.main', *arguments, env=env, merge_errors=True) as process:
        yield StereoNodeProcess(process)


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Robot:
    """Drives the three and keeps book of what went in and out.

    Every scene has a frame of its own, which tells whose outputs are whose. `parts` ends the
    processes; `parameters` and `env` are the node's.
    """

    def __init__(
        self,
        parts: ExitStack,
        parameters: Mapping[str, Any],
        env: Mapping[str, str] | None,
    ) -> None:
        self.namespace = f'/robot_{uuid.uuid4().hex[:8]}'
        self._parts = parts
        self._parameters = parameters
        self._env = env
        self.start_node()
        self.camera = self.start_camera()
        self.watcher = parts.enter_context(remote('support.watcher'))
        self.sent: set[tuple[int, str]] = set()
        self._scenes = 0

    def start_node(self) -> None:
        """Start the node, again after it was killed."""
        self.node = self._parts.enter_context(
            stereo_node(self.namespace, self._parameters, env=self._env)
        )

    def start_camera(self) -> Remote:
        """Start another camera on the same topics."""
        return self._parts.enter_context(remote('support.scripted_camera', self.namespace))

    @property
    def name(self) -> str:
        """Full name of the node."""
        return f'{self.namespace}/stereo_node'

    def listen(self, *topics: str, depth: int = 10) -> None:
        """Subscribe to outputs."""
        self.watcher.call('listen', namespace=self.namespace, topics=topics, depth=depth)

    def unlisten(self, *topics: str) -> None:
        """Unsubscribe from outputs."""
        self.watcher.call('unlisten', namespace=self.namespace, topics=topics)

    def show(self, **changes: Any) -> str:
        """Let the camera send another scene; return its frame."""
        self._scenes += 1
        frame = f'camera_{self._scenes}'
        self.camera.call('show', frame=frame, **changes)
        return frame

    def set_parameter(self, name: str, value: Any) -> str:
        """Set one of the node's parameters; return why it was refused, or an empty string."""
        reason = self.watcher.call('set_parameter', node=self.name, name=name, value=value)
        return str(reason)

    def change_state(self, transition: str) -> bool:
        """Make a lifecycle transition; return whether it succeeded."""
        number = TRANSITIONS[transition]
        answer = self.watcher.call('change_state', patience=120, node=self.name, transition=number)
        return bool(answer)

    def mark(self) -> int:
        """Return the place in the watcher's transcript, to wait for what comes later."""
        return len(self.watcher.events.items)

    def wait_output(
        self, topic: str, frame: str, *, since: int = 0, patience: float = PATIENCE
    ) -> Any:
        """Return the first output of this topic from this scene."""
        name = f'{self.namespace}/{topic}'
        return self.watcher.events.wait(
            lambda e: e['topic'] == name and e['frame'] == frame,
            f'{topic} from {frame}',
            since=since,
            patience=patience,
        )

    def wait_count(self, topic: str, frame: str, count: int) -> None:
        """Wait until so many outputs of this topic came from this scene."""
        name = f'{self.namespace}/{topic}'
        found = itertools.count(1)
        self.watcher.events.wait(
            lambda e: e['topic'] == name and e['frame'] == frame and next(found) == count,
            f'{count} of {topic} from {frame}',
            patience=2 * PATIENCE,
        )

    def wait_diagnostics(
        self, suits: Callable[[Any], bool], what: str, *, since: int, patience: float = PATIENCE
    ) -> Any:
        """Return the first diagnostics from `since` on that suit."""
        return self.watcher.events.wait(
            lambda e: e['topic'] == '/diagnostics' and e['node'] == self.name and suits(e),
            what,
            since=since,
            patience=patience,
        )['statuses']

    def wait_told(self, *words: str, since: int) -> str:
        """Return the text of a warning or error in the diagnostics that has these words."""
        statuses = self.wait_diagnostics(
            lambda e: bool(_told(e['statuses'], words)), f'a word of {words}', since=since
        )
        return _told(statuses, words)[0]

    def wait_untold(self, *words: str) -> None:
        """Wait for diagnostics that do not say these words any more."""
        self.wait_diagnostics(
            lambda e: not _told(e['statuses'], words), f'silence about {words}', since=self.mark()
        )

    def outputs(self, frame: str = '', topic: str = '') -> list[Any]:
        """Return the outputs so far, of this scene or topic only."""
        prefix = f'{self.namespace}/'
        return [
            event
            for event in self.watcher.events.items
            if event['topic'].startswith(prefix)
            and (not frame or event['frame'] == frame)
            and (not topic or event['topic'] == prefix + topic)
        ]

    def require_sound(self) -> None:
        """The node lives, and every output has stamp and frame of a left image that was sent."""
        assert self.node.process.poll() is None, '\n'.join(self.node.log.items[-30:])
        outputs = {(event['stamp'], event['frame']) for event in self.outputs()}
        self.sent |= {(stamp, frame) for stamp, frame in self.camera.call('take_sent')}
        assert outputs <= self.sent, sorted(outputs - self.sent)[:5]


def _told(statuses: Mapping[str, Any], words: Sequence[str]) -> list[str]:
    return [
        status['message']
        for status in statuses.values()
        if status['level'] and all(word in status['message'] for word in words)
    ]


@contextmanager
def robot(
    *,
    topics: Sequence[str] = ('disparity',),
    rate: float = RATE,
    env: Mapping[str, str] | None = None,
    **parameters: Any,
) -> Iterator[Robot]:
    """Run all three in a namespace of their own; the camera streams, the watcher listens."""
    with ExitStack() as parts:
        made = Robot(parts, parameters, env)
        if topics:
            made.listen(*topics)
        if rate:
            made.camera.call('stream', rate=rate)
        yield made
        made.require_sound()
