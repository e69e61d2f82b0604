"""Where checkpoints are looked for."""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from s2m2_ros.weights import (
    CHECKPOINTS,
    WeightsError,
    cache_folder,
    check_private,
    file_sha256,
    find_checkpoint,
    is_intact,
    private_folder,
)


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


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user without a home, as a number that no name belongs to in a container."""

    def unknown(_: int) -> NoReturn:
        raise KeyError('uid not found')

    for name in ('HOME', 'S2M2_ROS_CACHE', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, 'getpwuid', unknown)


@pytest.mark.usefixtures('homeless')
def test_a_user_without_a_home_has_a_temporary_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    folder = tmp_path / f's2m2_ros-{os.getuid()}'
    assert cache_folder() == folder
    monkeypatch.setenv('S2M2_ROS_CACHE', '~/cache')
    assert cache_folder() == folder
    assert private_folder(folder, 'weights') == folder / 'weights'
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.usefixtures('homeless')
def test_a_name_with_a_tilde_needs_no_home() -> None:
    with pytest.raises(WeightsError, match=r"no file '~/w\.pth'"):
        find_checkpoint('~/w.pth')


def test_a_home_that_is_not_there_or_not_writable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv('S2M2_ROS_CACHE', raising=False)
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'tmp'))
    monkeypatch.setattr(os, 'access', lambda path, mode: False)  # root may write everywhere
    monkeypatch.setenv('HOME', '/nonexistent')
    temporary = tmp_path / 'tmp' / f's2m2_ros-{os.getuid()}'
    assert cache_folder() == temporary
    monkeypatch.setenv('HOME', str(tmp_path))
    assert cache_folder() == temporary
    # What was put there for a container that cannot write is still used.
    (tmp_path / '.cache' / 's2m2_ros').mkdir(parents=True)
    assert cache_folder() == tmp_path / '.cache' / 's2m2_ros'


class TestPrivateFolders:
    def test_made_for_the_owner_alone(self, tmp_path: Path) -> None:
        folder = private_folder(tmp_path / 'above' / 'root', 'a', 'b')
        for path in (folder, folder.parent, folder.parent.parent):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700

    @pytest.mark.parametrize('mode', [0o770, 0o777, 0o1777, 0o702])
    def test_writable_by_others(self, tmp_path: Path, mode: int) -> None:
        (tmp_path / 'root').mkdir()
        (tmp_path / 'root').chmod(mode)
        with pytest.raises(WeightsError, match='written to by others'):
            private_folder(tmp_path / 'root', 'a')
        assert not (tmp_path / 'root' / 'a').exists()

    def test_readable_by_others(self, tmp_path: Path) -> None:
        (tmp_path / 'root').mkdir()
        (tmp_path / 'root').chmod(0o755)
        check_private(private_folder(tmp_path / 'root'))

    def test_of_another_user(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / 'root').mkdir()
        owner = tmp_path.stat().st_uid
        if owner == 0:
            os.chown(tmp_path / 'root', 12345, -1)
        else:
            monkeypatch.setattr(os, 'geteuid', lambda: owner + 1)
        with pytest.raises(WeightsError, match=r'belongs to another user \(uid \d+\)'):
            check_private(tmp_path / 'root')

    def test_weights_in_a_folder_of_others_are_not_loaded(self, tmp_path: Path) -> None:
        path = tmp_path / 'weights' / 'CH128NTR1.pth'
        path.parent.mkdir()
        path.write_bytes(b'')
        path.parent.chmod(0o777)
        with pytest.raises(WeightsError, match='written to by others'):
            find_checkpoint('S', folder=tmp_path)

    def test_missing_or_impossible(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match='cannot be read'):
            check_private(tmp_path / 'missing')
        (tmp_path / 'file').write_bytes(b'')
        with pytest.raises(WeightsError, match=r'cannot be made.*S2M2_ROS_CACHE'):
            private_folder(tmp_path / 'file' / 'root')


def test_whole_checksums_are_known_as_such() -> None:
    assert CHECKPOINTS['starter'].sha256_is_whole
    assert is_intact(CHECKPOINTS['starter'], find_checkpoint('starter'))
    assert not CHECKPOINTS['S'].sha256_is_whole


def test_a_file_that_cannot_be_read_is_an_error_of_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match='cannot be read'):
        file_sha256(tmp_path)
