"""A home for users that have none."""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from pathlib import Path

import pytest

from s2m2_ros.home_folder import provide_home


@pytest.fixture
def nameless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, 'getpwuid', nobody)
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    return tmp_path / f's2m2_ros-{os.getuid()}'


def test_what_is_there_stays() -> None:
    environment = {'HOME': '/somewhere', 'USER': 'me'}
    provide_home(environment)
    assert environment == {'HOME': '/somewhere', 'USER': 'me'}


def test_a_known_user_gets_the_own_home() -> None:
    environment: dict[str, str] = {}
    provide_home(environment)
    assert environment == {'HOME': pwd.getpwuid(os.getuid()).pw_dir}


def test_a_user_without_name_gets_a_private_folder_each_time_the_same(nameless: Path) -> None:
    for _ in range(2):
        environment = {'HOME': ''}
        provide_home(environment)
        assert environment == {'HOME': str(nameless), 'USER': f'uid{os.getuid()}'}
    assert stat.S_IMODE(nameless.stat().st_mode) == 0o700


@pytest.mark.parametrize('planted', ['link', 'open', 'file'])
def test_a_folder_that_others_planted_is_not_used(nameless: Path, planted: str) -> None:
    other = nameless.parent / 'other'
    other.mkdir(mode=0o700)
    if planted == 'link':
        nameless.symlink_to(other)
    elif planted == 'open':
        nameless.mkdir()
        nameless.chmod(0o777)
    else:
        nameless.touch()
    environment: dict[str, str] = {}
    provide_home(environment)
    found = Path(environment['HOME'])
    assert found.is_dir()
    assert found not in (nameless, other)
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
