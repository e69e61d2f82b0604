"""The `s2m2 weights` command."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s2m2_ros.cli.main import main
from s2m2_ros.weights import CHECKPOINTS

CONTENT = b'weights' * 1000


def test_list_names_every_checkpoint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(['weights', 'list', '--cache-folder', str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == ['starter', 'S', 'M', 'L', 'XL']
    assert 'CC BY-NC 4.0' in lines[2]
    assert '106 MB' in lines[2]


def test_list_names_networks_that_need_no_description(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(['weights', 'list', '--cache-folder', str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()[7:]
    assert 'other networks' in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ['LAS2-S', 'LAS2-M', 'LAS2-L', 'LAS2-H']
    assert all('MIT' in line and 's2m2 weights add FILE' in line for line in lines[1:])


def test_alone_it_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['weights']) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith('starter')


def test_download_wants_the_licence_accepted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(['weights', 'download', 'S', '--cache-folder', str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert 'CC BY-NC 4.0. Not for commercial use' in captured.out
    assert '--accept-license' in captured.err
    assert list(tmp_path.iterdir()) == []


def test_download_path_and_verify(
    serving: Callable[..., AbstractContextManager[Any]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = ['--cache-folder', str(tmp_path)]
    with serving({'content': CONTENT}) as script:
        prefix = hashlib.sha256(CONTENT).hexdigest()[:12]
        entry = replace(CHECKPOINTS['S'], address=script.address, sha256_prefix=prefix)
        monkeypatch.setitem(CHECKPOINTS, 'S', entry)
        assert main(['weights', 'download', 'S', '--accept-license', *folder]) == 0
    whole = hashlib.sha256(CONTENT).hexdigest()
    assert f'the first 12 of 64 digits of its SHA-256 are right; its whole SHA-256 is {whole}' in (
        capsys.readouterr().out
    )
    assert main(['weights', 'path', 'S', *folder]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.read_bytes() == CONTENT
    assert main(['weights', 'verify', *folder]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == 'starter  intact'
    assert shown[1].startswith('S        intact as far as known: the first 12 of 64 digits')
    path.write_bytes(b'damaged')
    assert main(['weights', 'verify', *folder]) == 1
    assert f'DAMAGED: {path}: delete it' in capsys.readouterr().out


def test_path_of_an_absent_checkpoint_is_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(['weights', 'path', 'M', '--cache-folder', str(tmp_path)]) == 2
    assert 's2m2 weights download M' in capsys.readouterr().err


def test_cut_weights_under_the_final_name_are_damaged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / 'weights').mkdir()
    (tmp_path / 'weights' / 'CH128NTR1.pth').write_bytes(b'')
    assert main(['weights', 'verify', '--cache-folder', str(tmp_path)]) == 1
    assert 'S        DAMAGED' in capsys.readouterr().out
