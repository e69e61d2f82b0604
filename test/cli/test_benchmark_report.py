"""`s2m2 benchmark --report`: the whole flow on a processor, failures, and being cut off."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest
import torch

from s2m2_ros.cli.main import main
from s2m2_ros.inference.report import Report, ReportError, Step, run_group
from support.report_steps import crash, fail, hang, succeed

MACHINE = {'gpu': 'G'}


def test_the_whole_flow_on_a_processor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The node has a test of its own; here it would only take time.
    monkeypatch.setattr('s2m2_ros.cli.benchmark_report._node', lambda *_: [])
    path = tmp_path / 'results' / 'cpu.json'
    command = ['benchmark', '--report', str(path), '--device', 'cpu', '--calls', '2']
    command += ['--checkpoints', 'random:XS', '--sizes', '32x64', '--precisions', 'fp32']
    command += ['--backends', 'torch']
    assert main(command) == 0
    results = json.loads(path.read_text())['results']
    compared = 'outputs beside the processor'
    matched = 'match XS 64x32 float32 torch'
    assert list(results) == ['verify torch', compared, matched, 'train XS float32']
    assert all(check['agrees'] for check in results[compared]['outputs'])
    assert results['verify torch']['verdicts'][0]['problem'] == ''
    assert results[matched]['fps'] > 0
    assert results['train XS float32']['crops_per_s'] > 0
    assert f'| {matched} |' in path.with_suffix('.md').read_text()
    # Nothing is left to do: the second run only shows the table.
    before = path.read_bytes()
    capsys.readouterr()
    assert main(command) == 0
    assert path.read_bytes() == before
    assert '| train XS float32 |' in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
def test_without_a_gpu_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['benchmark', '--report', str(tmp_path)]) == 2
    assert capsys.readouterr().err.count('\n') == 1
    assert not list(tmp_path.iterdir())


def test_failures_and_crashes_are_results_and_the_rest_goes_on() -> None:
    steps = [
        Step('raises', fail),
        Step('dies', crash),
        Step('works', partial(succeed, 3)),
    ]
    results = dict(run_group(steps, seconds=120))
    assert results == {
        'raises': {'error': 'ValueError: no kernel'},
        'dies': {'error': 'the process ended with status -9'},
        'works': {'value': 3},
    }


def test_a_step_that_hangs_is_ended() -> None:
    results = dict(run_group([Step('hangs', hang), Step('later', fail)], seconds=4))
    assert list(results) == ['hangs']
    assert 'time' in results['hangs']['error']


def test_what_is_there_is_kept_and_failures_are_tried_again(tmp_path: Path) -> None:
    path = tmp_path / 'report.json'
    report = Report(path, MACHINE)
    report.add('works', {'value': 1})
    report.add('failed', {'error': 'x'})
    continued = Report(path, MACHINE)
    steps = [Step(key, fail) for key in ('works', 'failed', 'new')]
    assert [step.key for step in continued.missing(steps)] == ['failed', 'new']


def test_being_cut_off_while_writing_keeps_the_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'report.json'
    report = Report(path, MACHINE)
    report.add('first', {'value': 1})

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'fsync', interrupted)
    with pytest.raises(KeyboardInterrupt):
        report.add('second', {'value': 2})
    assert Report(path, MACHINE).results == {'first': {'value': 1}}


@pytest.mark.parametrize('content', ['{', '[]', '{"format": "other"}', '{"a": 1}'])
def test_another_file_is_never_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / 'report.json'
    path.write_text(content)
    with pytest.raises(ReportError):
        Report(path, MACHINE)


def test_another_machine_has_its_own_report(tmp_path: Path) -> None:
    path = tmp_path / 'report.json'
    Report(path, MACHINE).add('a', {})
    with pytest.raises(ReportError, match='another machine'):
        Report(path, {'gpu': 'H'})
