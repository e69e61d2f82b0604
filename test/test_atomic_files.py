"""A file appears under its name only when its content is on the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from s2m2_ros.atomic_files import FileWriteError, write_atomically, write_errors


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


@pytest.mark.parametrize(
    ('number', 'said'),
    [
        (
            errno.ENOSPC,
            "cannot write 'a/b': No space left on device: free some of it, or write to",
        ),
        (errno.EROFS, "cannot write 'a/b': Read-only file system: write to a folder that you may"),
        (errno.EIO, "cannot write 'a/b': Input/output error"),
    ],
)
def test_an_error_says_what_to_do_where_that_is_known(number: int, said: str) -> None:
    with pytest.raises(FileWriteError) as caught, write_errors(Path('a/b')):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith(said)
    assert (str(caught.value) == said) == (number == errno.EIO)
