"""Building messages does no harm to processes that use the ones from before."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from support.scripts import load_script


@pytest.fixture(scope='module')
def message_package() -> ModuleType:
    return load_script('underlay/message_package.py')


def test_who_has_loaded_a_library_keeps_it(tmp_path: Path, message_package: ModuleType) -> None:
    source, target = tmp_path / 'new.so', tmp_path / 'lib.so'
    source.write_bytes(b'new')
    target.write_bytes(b'old')
    with target.open('rb') as loaded:
        message_package.replace_library(source, target)
        assert loaded.read() == b'old'
    assert target.read_bytes() == b'new'
    assert sorted(tmp_path.iterdir()) == [target, source]


def test_what_has_not_changed_is_not_touched(tmp_path: Path, message_package: ModuleType) -> None:
    source, target = tmp_path / 'new.so', tmp_path / 'lib.so'
    source.write_bytes(b'same')
    target.write_bytes(b'same')
    before = target.stat()
    message_package.replace_library(source, target)
    assert target.stat().st_ino == before.st_ino
    assert target.stat().st_mtime_ns == before.st_mtime_ns
