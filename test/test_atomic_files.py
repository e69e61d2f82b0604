"""A file appears under its name only when its content is on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from s2m2_ros.atomic_files import write_atomically


def test_the_content_is_on_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / 'result'
    sync, seen = os.fsync, []

    def watch(handle: int) -> None:
        (file,) = tmp_path.iterdir()
        seen.append((file.name == target.name, file.read_bytes()))
        sync(handle)

    monkeypatch.setattr(os, 'fsync', watch)
    write_atomically(target, b'content')
    assert seen == [(False, b'content')]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b'content']
