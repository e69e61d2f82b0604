"""However often and whenever a node is asked to stop, it ends with status 0 and no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.context import Context

from support.processes import SHARED_MEMORY, SOURCE, left_behind, shared_memory

SHORTLY_S = 0.002
LIMIT_S = 60


@contextmanager
def executable(module: str, *parameters: str) -> Iterator[subprocess.Popen[str]]:
    """Run a node as its executable does; what it writes is kept."""
    arguments = [part for parameter in parameters for part in ('-p', parameter)]
    code = f'import sys; from s2m2_ros.{module} import main; sys.exit(main())'
    process = subprocess.Popen(
        [sys.executable, '-c', code, '--ros-args', *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=SOURCE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """One small pair and its calibration, which the player repeats."""
    image = np.random.default_rng(0).integers(0, 256, (64, 96), dtype=np.uint8)
    for side in ('left', 'right'):
        cv2.imwrite(str(tmp_path / f'a_{side}.png'), image)
    camera = '[100 0 48; 0 100 32; 0 0 1]'
    (tmp_path / 'calib.txt').write_text(f'cam0={camera}\ncam1={camera}\nbaseline=75\n')
    return tmp_path


def wait_for_topic(name: str) -> None:
    """Wait until somebody publishes it."""
    context = Context()
    context.init()
    node = rclpy.create_node('awaiting', context=context)
    try:
        deadline = time.monotonic() + LIMIT_S
        while not node.count_publishers(name):
            assert time.monotonic() < deadline, f'nobody publishes {name}'
            time.sleep(0.01)
    finally:
        node.destroy_node()
        context.shutdown()


def ask(process: subprocess.Popen[str], signals: list[signal.Signals], pause: float) -> None:
    """Send the signals one after another, and more until the process ends."""
    for number in signals:
        process.send_signal(number)
        time.sleep(pause)
    deadline = time.monotonic() + LIMIT_S
    while process.poll() is None and time.monotonic() < deadline:
        process.send_signal(signals[-1])
        time.sleep(SHORTLY_S)
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, output
    assert 'Traceback' not in output
    assert 'KeyboardInterrupt' not in output


CASES = [
    pytest.param([signal.SIGINT, signal.SIGINT], 0.0, id='both at once'),
    pytest.param([signal.SIGINT, signal.SIGINT], 0.05, id='a second one shortly after'),
    pytest.param([signal.SIGINT, signal.SIGTERM], 0.02, id='launch loses its patience'),
    pytest.param([signal.SIGTERM, signal.SIGINT], 0.0, id='the other way round'),
]


@pytest.mark.parametrize(('signals', 'pause'), CASES)
def test_the_node(signals: list[signal.Signals], pause: float) -> None:
    # Those of killed processes of other tests may still be mapped.
    others = set(SHARED_MEMORY.iterdir())
    with executable('node.main', 'backend:=sgbm') as process:
        wait_for_topic('/diagnostics')
        # The topic may be that of a node which another test has killed.
        deadline = time.monotonic() + LIMIT_S
        while not (memory := shared_memory(process) - others):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        ask(process, signals, pause)
    assert not left_behind(memory)


@pytest.mark.parametrize(('signals', 'pause'), CASES)
def test_the_player(signals: list[signal.Signals], pause: float, pairs: Path) -> None:
    calibration = f'calibration:={pairs / "calib.txt"}'
    with executable('player.stereo_player', f'source:={pairs}', calibration) as process:
        wait_for_topic('/left/image_rect')
        ask(process, signals, pause)


ASKED_IN_THE_START = """
import os, signal, sys
from s2m2_ros.node import main as node

def loaded(name, path=None, target=None):
    if name == 's2m2_ros.node.stereo_node':  # before torch is imported
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)

class Finder:
    find_spec = staticmethod(loaded)

sys.meta_path.insert(0, Finder())
sys.exit(node.main())
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-c', code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=SOURCE,
        timeout=LIMIT_S,
    )


def test_the_node_that_is_still_starting() -> None:
    done = run(ASKED_IN_THE_START)
    assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.parametrize('module', ['node.main', 'player.stereo_player'])
@pytest.mark.parametrize('flag', ['-h', '--help'])
def test_help_starts_nothing(module: str, flag: str) -> None:
    code = f'import sys; from s2m2_ros.{module} import main; sys.exit(main())'
    done = run(code, flag)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith('usage: stereo_')
    assert '--params-file' in done.stdout


def test_too_little_memory_to_load_the_libraries() -> None:
    code = (
        'import resource, sys\n'
        'from s2m2_ros.node.main import main\n'
        'resource.setrlimit(resource.RLIMIT_AS, (350 << 20, 350 << 20))\n'
        'sys.exit(main())\n'
    )
    done = run(code)
    assert (done.returncode, done.stderr) == (2, 'cannot start: there is not enough memory\n')


def test_a_crash_in_a_library_leaves_its_place_in_the_log() -> None:
    code = """
import os, signal, sys
from s2m2_ros.executable import run_executable
sys.exit(run_executable(lambda *_: os.kill(os.getpid(), signal.SIGSEGV) or 0, [], usage=''))
"""
    ended = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=SOURCE, check=False
    )
    assert ended.returncode == -signal.SIGSEGV
    assert 'Segmentation fault' in ended.stderr
    assert 'executable.py' in ended.stderr
