"""The suite itself: it runs where ROS 2 is sourced, whose pytest plugins and launch come along."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from support.processes import SOURCE, python_path


def test_names_of_test_files_are_unique() -> None:
    """Some runners (rootdir elsewhere, other import modes) refuse two modules of one name."""
    counts = Counter(path.name for path in (SOURCE / 'test').rglob('test_*.py'))
    assert [name for name, count in counts.items() if count > 1] == []


def test_plugins_of_launch_are_off(tmp_path: Path) -> None:
    """A made-up plugin under launch's name, which ends pytest as soon as it is loaded."""
    settings = configparser.ConfigParser()
    settings.read(SOURCE / 'setup.cfg')
    options = shlex.split(settings['tool:pytest']['addopts'])
    info = tmp_path / 'launch_testing-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: launch_testing\nVersion: 1.0\n')
    names = ('launch_testing', 'launch_ros', 'launch_pytest')
    lines = ''.join(f'{name} = plugin_of_launch\n' for name in names)
    (info / 'entry_points.txt').write_text(f'[pytest11]\n{lines}')
    (tmp_path / 'plugin_of_launch.py').write_text("raise SystemExit('loaded')\n")
    (tmp_path / 'test_nothing.py').write_text('def test_nothing():\n    pass\n')
    (tmp_path / 'pytest.ini').write_text('[pytest]\nmarkers =\n    slow\n')
    command = [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider']
    for chosen, status in (([], 1), (options, 0)):
        done = subprocess.run(
            [*command, *chosen], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr


LOGGERS = """
import logging

class LaunchLogger(logging.Logger):  # as importing launch makes every logger made later
    def __init__(self, name):
        super().__init__(name)
        self.propagate = False

def test_launch_is_imported():
    logging.setLoggerClass(LaunchLogger)

def test_next(caplog):
    logging.getLogger('s2m2_ros.made_after_launch').warning('heard')
    assert 'heard' in caplog.text
"""


@pytest.mark.parametrize('protected', [True, False])
def test_loggers_propagate_after_a_test_that_imports_launch(
    protected: bool, tmp_path: Path
) -> None:
    (tmp_path / 'test_loggers.py').write_text(LOGGERS)
    (tmp_path / 'pytest.ini').write_text('[pytest]\n')
    if protected:
        shutil.copy(SOURCE / 'test' / 'conftest.py', tmp_path)
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', '-p', 'no:xdist'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': python_path(SOURCE / 'test')},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is protected, done.stdout + done.stderr
