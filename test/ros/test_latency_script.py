"""`benchmark/latency.py` and `node.py`: from a pair's timestamp to its cloud, stage by stage."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from support.processes import SOURCE


@pytest.fixture
def latency(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SOURCE))
    return importlib.import_module('benchmark.latency')


def test_the_parts_add_up_to_the_whole(latency: ModuleType) -> None:
    stages = dict(zip(latency.OF_STATS, (1.0, 2.0, 30.0, 4.0, math.nan, 5.0), strict=True))
    parts = dict(zip(latency.STAGES, latency.split(60.0, 50.0, stages), strict=True))
    assert parts == {**stages, 'arrival': 8.0, 'download': 0.0, 'delivery': 10.0}
    assert sum(parts.values()) == 60.0


def test_a_cloud_that_is_there_before_the_node_looks_at_the_clock(latency: ModuleType) -> None:
    stages = dict.fromkeys(latency.OF_STATS, 5.0)
    parts = dict(zip(latency.STAGES, latency.split(40.0, 41.0, stages), strict=True))
    assert (parts['arrival'], parts['delivery']) == (10.0, 0.0)


def test_one_command_measures_draws_and_prints(tmp_path: Path) -> None:
    command = [sys.executable, '-m', 'benchmark.latency', '--matchers', 'sgbm']
    command += ['--sizes', '96x64', '--pairs', '2', '--output', str(tmp_path / 'out')]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '| timestamp to cloud, ms |' in done.stdout
    (case,) = json.loads((tmp_path / 'out' / 'latency.json').read_text())['cases']
    assert case['name'] == 'sgbm, 96x64'
    assert all(value >= 0.0 for value in case['stages'].values())
    assert case['stages']['inference'] > 0.0
    root = ElementTree.parse(tmp_path / 'out' / 'latency.svg').getroot()  # noqa: S314
    texts = ' '.join(filter(None, root.itertext()))
    assert 'sgbm, 96x64' in texts
    assert 'transport to the subscriber' in texts


def test_the_node_is_measured_beside_a_process_that_only_relays() -> None:
    command = [sys.executable, 'benchmark/node.py', '--outputs', 'points', '--pairs', '2']
    command += ['--width', '96', '--height', '64']
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(['.', *sys.path])}
    done = subprocess.run(
        command, cwd=SOURCE, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '96x64 rgb8, instant' in done.stdout
    assert re.search(r'points +inside .* of a relay .* lost', done.stdout)
