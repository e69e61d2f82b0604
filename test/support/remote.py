"""Call functions in another process, by lines of JSON; it may send events in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from support.processes import module_process, say
from support.transcript import PATIENCE, Transcript


class Remote:
    """The parent's side. `events` holds what the process told unasked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events = Transcript()
        self._answers = Transcript()
        self._calls = 0
        threading.Thread(target=self._read, daemon=True).start()

    def order(self, name: str, /, **arguments: Any) -> int:
        """Have a function called and wait for nothing; return the number of the call."""
        self._calls += 1
        say(self.process, json.dumps({'id': self._calls, 'call': name, 'arguments': arguments}))
        return self._calls

    def call(self, name: str, /, patience: float = PATIENCE, **arguments: Any) -> Any:
        """Return what the function in the other process returned."""
        number = self.order(name, **arguments)
        reply = self._answers.wait(
            lambda a: a['answer'] == number, f'answer to {name}', patience=patience
        )
        assert 'error' not in reply, reply['error']
        return reply['value']

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            if 'answer' in message:
                self._answers.append(message)
            else:
                self.events.append(message)
        self._answers.end()
        self.events.end()


@contextmanager
def remote(module: str, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Remote]:
    """Run a module that calls `serve`."""
    with module_process(module, *arguments, env=env) as process:
        served = Remote(process)
        served.call('ready')
        yield served


def tell(message: Mapping[str, Any]) -> None:
    """Send an event to the parent. One write, so that threads do not mix their lines."""
    os.write(sys.stdout.fileno(), (json.dumps(message) + '\n').encode())


def serve(node: Any, target: Any) -> None:
    """The child's side: run the public methods of `target` in the executor, until asked to stop.

    A method may return a future of rclpy: its result is the answer then.
    """
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def read() -> None:
        for line in sys.stdin:
            executor.create_task(_answering(json.loads(line), target))

    threading.Thread(target=read, daemon=True).start()
    try:
        # Not without end: rclpy then loses one SIGTERM in ten.
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.2)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _answering(request: Mapping[str, Any], target: Any) -> Callable[[], None]:
    def answer(value: Any) -> None:
        tell({'answer': request['id'], 'value': value})

    def run() -> None:
        try:
            name = request['call']
            value = None if name == 'ready' else getattr(target, name)(**request['arguments'])
            if isinstance(value, rclpy.task.Future):
                value.add_done_callback(lambda future: answer(future.result()))
            else:
                answer(value)
        except Exception as error:
            tell({'answer': request['id'], 'error': repr(error)})

    return run
