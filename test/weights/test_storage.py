"""Where checkpoints are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2m2_ros.weights import CHECKPOINTS, WeightsError, cache_folder, find_checkpoint


def test_cache_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv('S2M2_ROS_CACHE', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert cache_folder() == tmp_path / 's2m2_ros'


def test_relative_xdg_folder_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv('S2M2_ROS_CACHE', raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('XDG_CACHE_HOME', 'relative')
    assert cache_folder() == tmp_path / '.cache' / 's2m2_ros'


def test_own_variable_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setenv('S2M2_ROS_CACHE', str(tmp_path / 'mine'))
    assert cache_folder() == tmp_path / 'mine'


def test_registered_name_is_found_in_the_folder(tmp_path: Path) -> None:
    path = tmp_path / 'weights' / 'CH128NTR1.pth'
    path.parent.mkdir()
    path.write_bytes(b'')
    assert find_checkpoint('S', folder=tmp_path) == path


def test_missing_published_checkpoint_names_command_and_address(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        find_checkpoint('L', folder=tmp_path)
    assert 's2m2 weights download L' in str(caught.value)
    assert 'https://huggingface.co/minimok/s2m2/resolve/main/CH256NTR3.pth' in str(caught.value)


def test_own_file_is_found_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / 'mine.safetensors'
    path.write_bytes(b'')
    assert find_checkpoint(path) == path


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(WeightsError, match='starter, S, M, L, XL'):
        find_checkpoint('XXL')


def test_sizes_are_those_of_the_parameters() -> None:
    megabytes = {n: round(c.size_bytes / 1e6) for n, c in CHECKPOINTS.items() if c.address}
    assert megabytes == {'S': 106, 'M': 322, 'L': 723, 'XL': 1623}
