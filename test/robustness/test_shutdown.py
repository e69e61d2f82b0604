"""Asked to stop in the middle of matching, while other nodes come and go: no crash, in time.

Ten times in the suite; `make soak` sets SHUTDOWN_RUNS for more.
"""

from __future__ import annotations

import os
import random
import signal
import time
import uuid

import pytest

from support.processes import module_process
from support.remote import Remote, remote
from support.robot import StereoNodeProcess

RUNS = int(os.environ.get('SHUTDOWN_RUNS', '10'))
# The suite does not wait for more runs on a busy computer.
SECONDS = float('inf') if 'SHUTDOWN_RUNS' in os.environ else 60.0
SLOW_MATCH = 1.0
# Of which half a second is for the inference; launch sends SIGTERM after five.
LONGEST_END = 5.0
# Seconds for starting and finding each other.
DISCOVERY = 30.0
PARAMETERS = ('backend:=sgbm', 'calibration_check_period:=0.0')


@pytest.mark.timeout(300 + 60 * RUNS)
def test_interrupts_in_the_middle_of_matching() -> None:
    namespace = f'/shutdown_{uuid.uuid4().hex[:8]}'
    moments = random.Random(0)  # noqa: S311 (no secret)
    with (
        remote('support.watcher') as watcher,
        module_process('support.churn', f'{namespace}/disparity'),
    ):
        watcher.call('listen', namespace=namespace, topics=['disparity', 'points'])
        deadline = time.monotonic() + SECONDS
        at_work = 0
        for run in range(RUNS):
            at_work += interrupt_one(namespace, watcher, moments.uniform(0.0, SLOW_MATCH), run)
            if time.monotonic() > deadline:
                break
        assert at_work


def interrupt_one(namespace: str, watcher: Remote, pause: float, run: int) -> bool:
    """Require a clean end; return whether it was at work, which it is not without discovery."""
    options = [word for parameter in PARAMETERS for word in ('-p', parameter)]
    with (
        module_process(
            'support.slow_node',
            '--ros-args',
            '-r',
            f'__ns:={namespace}',
            *options,
            env={'SLOW_MATCH': str(SLOW_MATCH), 'PYTHONFAULTHANDLER': '1'},
            merge_errors=True,
        ) as process,
        remote('support.scripted_camera', namespace) as camera,
    ):
        node = StereoNodeProcess(process)
        camera.call('show', frame='camera', width=1920, height=1080)
        camera.call('stream', rate=5.0)
        at_work = has_output(namespace, watcher)
        # Not for an event: any moment of a match must do.
        time.sleep(pause)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        status = process.wait(timeout=60)
        assert status == 0, f'run {run}: {status}\n' + '\n'.join(node.log.items[-60:])
        assert time.monotonic() - started < LONGEST_END
        return at_work


def has_output(namespace: str, watcher: Remote) -> bool:
    """Wait for an output; churn like this sometimes keeps Fast DDS from finding an endpoint."""
    try:
        watcher.events.wait(
            lambda e: e['topic'].startswith(namespace),
            'an output',
            since=len(watcher.events.items),
            patience=DISCOVERY,
        )
    except AssertionError:
        return False
    return True
