"""The command as a process: closed pipes, full disks, Ctrl-C at any moment, no home."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import pytest

from s2m2_ros.cli.command_process import EXIT_FAILED, EXIT_INTERRUPTED
from s2m2_ros.cli.main import EXIT_USER_ERROR, main
from s2m2_ros.training import checkpoints
from s2m2_ros.training.options import TrainingError
from support.processes import SOURCE

COMMAND = [sys.executable, '-m', 's2m2_ros.cli.main']
PATIENCE = 120
LISTING = ['weights', 'list']
TINY = ['--crops', '1:32x64x1', '--validation', '1x32x64', '--device', 'cpu']


@pytest.fixture(params=['buffered', 'unbuffered'])
def buffering(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PYTHONUNBUFFERED', '1' if request.param == 'unbuffered' else '')


def run_command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    options = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **options}
    return subprocess.run(
        [*COMMAND, *arguments], text=True, check=False, timeout=PATIENCE, cwd=SOURCE, **options
    )


def closing(*numbers: int) -> Callable[[], None]:
    """Return what closes these files in the child, as `>&-` does."""

    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


def full() -> IO[str]:
    return Path('/dev/full').open('w', encoding='ascii')


@pytest.mark.usefixtures('buffering')
@pytest.mark.parametrize('arguments', [LISTING, ['--help'], ['--version']])
def test_a_reader_that_has_seen_enough(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run_command(*arguments, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (EXIT_FAILED, '')


@pytest.mark.usefixtures('buffering')
@pytest.mark.parametrize('arguments', [LISTING, ['--help'], ['--version']])
def test_an_output_on_a_full_disk_is_named(arguments: list[str]) -> None:
    with full() as output:
        done = run_command(*arguments, stdout=output)
    assert done.returncode == EXIT_FAILED
    assert done.stderr == 's2m2: the output cannot be written: No space left on device\n'


@pytest.mark.parametrize('arguments', [LISTING, ['weights', 'path', 'nothing'], ['--help']])
def test_closed_streams(arguments: list[str]) -> None:
    usual = run_command(*arguments)
    for numbers in ((1,), (0, 1), (0, 1, 2), (2,)):
        done = run_command(*arguments, preexec_fn=closing(*numbers))
        assert done.returncode == usual.returncode
        assert done.stderr == ('' if 2 in numbers else usual.stderr)
        assert done.stdout == ('' if 1 in numbers else usual.stdout)


def test_nobody_can_read_the_error() -> None:
    with full() as errors:
        assert run_command('weights', 'path', 'nothing', stderr=errors).returncode == 2
    reading, writing = os.pipe()
    os.close(reading)
    done = run_command('weights', 'path', 'nothing', stderr=writing)
    os.close(writing)
    assert done.returncode == EXIT_USER_ERROR


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (64, 96), np.uint8)
    for side in ('left', 'right'):
        cv2.imwrite(f'{side}.png', image)
    return 'left.png', 'right.png'


@pytest.mark.parametrize(
    'output',
    ['left.png', 'left.png/x', '/dev/null/x', '/dev/full', '/proc/x', 'x' * 300, 'x/' * 5000],
)
def test_an_impossible_output_is_named(
    pair: tuple[str, str], output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['match', *pair, '--backend', 'sgbm', '--output', output]) == EXIT_USER_ERROR
    require_one_message(capsys.readouterr().err)


@pytest.mark.parametrize(
    'arguments',
    [
        ['train', '/dev/null/x', *TINY, '--steps', '1'],
        ['train', '/proc/x', *TINY, '--steps', '1'],
        ['train', 'run', '--preview', '/proc/x/sheet.png', *TINY],
        ['export', '--size', '32x64', '--output', '/proc/x/model.onnx'],
    ],
)
def test_other_impossible_outputs(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == EXIT_USER_ERROR
    require_one_message(capsys.readouterr().err)


def require_one_message(text: str) -> None:
    assert 'Traceback' not in text
    assert text.splitlines()[-1].startswith('s2m2 ')


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / checkpoints.LAST
    checkpoints.write(file, {'step': 1})
    good = file.read_bytes()
    # The limit of a file's size stands in for a full disk: either way a write ends in OSError.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        with pytest.raises(TrainingError, match=rf"'{file}' cannot be written"):
            checkpoints.write(file, {'large': bytes(1 << 20)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [good]


# Asks the process to stop when it looks for a module. `swallow`: as a package does that catches
# every error of an optional import; `native`: while native code calls Python, as in torch, which
# aborts the process for any exception (ctypes prints it).
ASKED_AT_AN_IMPORT = """
import ctypes, os, signal, sys
moment, how = sys.argv.pop(1), sys.argv.pop(1)

def ask():
    os.kill(os.getpid(), signal.SIGINT)
    sum(range(1000))  # the handler runs between two instructions

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != moment:
            return None
        try:
            ctypes.CFUNCTYPE(None)(ask)() if how == 'native' else ask()
        except BaseException:
            if how != 'swallow':
                raise
        return None

sys.meta_path.insert(0, Finder())
from s2m2_ros.cli.main import main
sys.exit(main())
"""


@pytest.mark.parametrize('how', ['swallow', 'raise', 'native'])
@pytest.mark.parametrize(
    'moment', ['argparse', 's2m2_ros.cli.train', 'torch', 'torch._C', 's2m2_ros.training.trainer']
)
def test_interrupted_while_importing(moment: str, how: str, tmp_path: Path) -> None:
    train = ['train', str(tmp_path / 'run'), *TINY, '--minutes', '30']
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, '-c', ASKED_AT_AN_IMPORT, moment, how, *train],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        cwd=SOURCE,
    )
    assert (done.returncode, done.stderr) == (EXIT_INTERRUPTED, '')
    assert time.monotonic() - started < PATIENCE / 2
    assert not (tmp_path / 'run' / checkpoints.LAST).exists()


def test_interrupted_at_work(tmp_path: Path) -> None:
    folder = tmp_path / 'run'
    options = ['train', str(folder), *TINY, '--minutes', '30', '--save-every', '0']
    with subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=SOURCE
    ) as process:
        deadline = time.monotonic() + PATIENCE
        while not (folder / checkpoints.LAST).exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == EXIT_INTERRUPTED
    assert 'Traceback' not in errors
    # What is there can be resumed.
    assert checkpoints.load_last(folder)['state']['step'] > 0


def test_an_ignored_interrupt_stays_ignored() -> None:
    # As in a background job of a script.
    code = (
        'import os, signal, sys\n'
        'signal.signal(signal.SIGINT, signal.SIG_IGN)\n'
        'from s2m2_ros.cli import main\n'
        'class Finder:\n'
        '    @staticmethod\n'
        '    def find_spec(name, path=None, target=None):\n'
        '        os.kill(os.getpid(), signal.SIGINT)\n'
        'sys.meta_path.insert(0, Finder())\n'
        'sys.exit(main.main())\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code, *LISTING],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        cwd=SOURCE,
    )
    assert (done.returncode, done.stderr) == (0, '')


# Takes the user's name away, as in a container that runs under a number of its own.
NAMELESS = """
import pwd, sys
def nobody(number):
    raise KeyError(number)
pwd.getpwuid = nobody
from s2m2_ros.{module} import main
sys.exit(main())
"""


def without_home(module: str, *arguments: str) -> subprocess.Popen[str]:
    gone = {'HOME', 'USER', 'LOGNAME', 'XDG_CACHE_HOME', 'S2M2_ROS_CACHE', 'ROS_LOG_DIR'}
    env = {name: value for name, value in os.environ.items() if name not in gone}
    return subprocess.Popen(
        [sys.executable, '-c', NAMELESS.format(module=module), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=SOURCE,
        env=env,
    )


@pytest.mark.parametrize('arguments', [LISTING, ['weights', 'path', 'starter'], ['doctor']])
def test_a_user_without_home_and_name(arguments: list[str]) -> None:
    with without_home('cli.main', *arguments) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    assert 'Traceback' not in output


@pytest.mark.parametrize('module', ['node.main', 'player.stereo_player'])
def test_the_nodes_of_a_user_without_home_and_name(module: str) -> None:
    # It gets as far as its parameters, and ends there.
    wrong = ['backend:=none', 'source:=/none']
    options = [word for parameter in wrong for word in ('-p', parameter)]
    with without_home(module, '--ros-args', *options) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == EXIT_USER_ERROR, output
    assert 'none' in output
    assert 'Traceback' not in output


def test_exit_statuses_are_those_that_are_documented() -> None:
    assert (EXIT_FAILED, EXIT_USER_ERROR, EXIT_INTERRUPTED) == (1, 2, 130)
    assert run_command('match').returncode == EXIT_USER_ERROR


def test_escape_sequences_in_names_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(tmp_path / 'a\x1b[31m.png'), str(tmp_path / 'b.png')]
    assert main(['match', *names, '--backend', 'sgbm']) == EXIT_USER_ERROR
    errors = capsys.readouterr().err
    assert r'a\x1b[31m.png' in errors
    assert '\x1b' not in errors


def test_too_little_memory_to_load_the_libraries() -> None:
    code = (
        'import resource, sys\n'
        'from s2m2_ros.cli.main import main\n'
        'resource.setrlimit(resource.RLIMIT_AS, (350 << 20, 350 << 20))\n'
        "sys.exit(main(['match', 'a.png', 'b.png', '--device', 'cpu', '--backend', 'torch']))\n"
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        cwd=SOURCE,
    )
    assert done.returncode == EXIT_USER_ERROR
    assert done.stderr.endswith('s2m2 match: there is not enough memory\n')


@pytest.mark.parametrize(
    ('option', 'name'),
    [
        ('--namespace', 'bad name!'),
        ('--points', '/1st'),
        ('--confidence', 'a//b'),
        ('--node', '/'),
    ],
)
def test_names_that_ros_does_not_take_are_not_viewed(
    capsys: pytest.CaptureFixture[str], option: str, name: str
) -> None:
    assert main(['view', option, name]) == 2
    assert f"{option} = '{name}' is not the name of" in capsys.readouterr().err


def test_a_negative_limit_of_pairs_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['evaluate', 'procedural', '--backend', 'sgbm', '--limit', '-1']) == 2
    assert '--limit must be 0 or more, not -1' in capsys.readouterr().err


def test_a_list_that_the_shell_wrote_is_met_with_what_to_write(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(['match', 'left/1.png', 'left/2.png', 'right/1.png', 'right/2.png'])
    message = capsys.readouterr().err
    assert 'unrecognized arguments: right/1.png right/2.png (' in message
    assert 'two folders' in message
    with pytest.raises(SystemExit):
        main(['match', 'left/1.png', 'right/1.png', '--right'])
    assert 'two folders' not in capsys.readouterr().err
