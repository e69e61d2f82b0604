"""`s2m2 benchmark` measures what it is told to and says on what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from s2m2_ros.cli.main import main


def test_table_and_json(
    narrow_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'figures.json'
    options = ['--checkpoints', str(narrow_checkpoint), '--sizes', '32x64', '64x64']
    options += ['--backends', 'torch', 'sgbm', '--refine-iterations', '0', '--device', 'cpu']
    assert main(['benchmark', *options, '--calls', '2', '--json', str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('processor ')
    assert len(lines) == 2 + 4
    figures = json.loads(path.read_text())
    assert figures['hardware']['cores']
    assert [
        (m['backend'], m['configuration']['height'], m['calls']) for m in figures['measurements']
    ] == [('torch', 32, 2), ('sgbm', 32, 2), ('torch', 64, 2), ('sgbm', 64, 2)]
    for m in figures['measurements']:
        assert 0 < m['lower_quartile_ms'] <= m['median_ms'] <= m['upper_quartile_ms']
        assert m['fps'] == pytest.approx(1000 / m['median_ms'])
        assert m['peak_bytes'] > 0
        assert m['first_call_s'] > 0


def test_against_prints_the_ratio(
    narrow_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ['--checkpoints', str(narrow_checkpoint), '--sizes', '32x64', '--calls', '2']
    options += ['--device', 'cpu', '--backends', 'sgbm', '--against', 'backend=torch']
    assert main(['benchmark', *options, 'refine_iterations=0']) == 0
    out = capsys.readouterr().out
    assert out.count('64x32') == 2
    assert 'the second takes' in out


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--calls', '1'], 'at least 2'),
        (['--against', 'size=3'], 'not KEY=VALUE'),
        (['--checkpoints', 'nothing'], 'nothing'),
        (['--checkpoints', 'random:XXS'], 'XXS'),
    ],
)
def test_what_is_wrong_is_said(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(['benchmark', '--sizes', '32x64', '--backends', 'torch', *options]) == 2
    assert message in capsys.readouterr().err
