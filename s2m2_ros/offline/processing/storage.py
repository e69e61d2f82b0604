"""Inputs and results at URLs that fsspec opens: object stores and file servers."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from s2m2_ros.atomic_files import TEMPORARY_PREFIX, write_errors
from s2m2_ros.errors import S2M2Error
from s2m2_ros.optional_packages import require_packages
from s2m2_ros.text_safety import safe_text
from s2m2_ros.weights import cache_folder

# Where a file appears whole under its name; elsewhere it is renamed once it is.
OBJECT_STORES = frozenset({
    'abfs', 'abfss', 'adl', 'az', 'gcs', 'gs', 'hf', 'memory', 'oci', 'oss', 'r2', 's3', 's3a',
})  # fmt: skip
WILDCARDS = frozenset('*?[')


class StorageError(S2M2Error):
    """A URL cannot be read or written; names it and says why."""


def is_url(source: Path | str) -> bool:
    """Return whether an input or output is at a URL."""
    return isinstance(source, str) and '://' in source


class RemoteFolder:
    """A folder, or one file, at a URL. All methods raise StorageError."""

    def __init__(self, url: str) -> None:
        """Take the URL; nothing is read yet."""
        require_packages(f"'{url}'", 'fsspec')
        from fsspec.core import url_to_fs

        self.url = url.rstrip('/')
        with _errors(url):
            self._files, self._root = url_to_fs(self.url)
        protocol = self._files.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        self._is_atomic = bool(names & OBJECT_STORES)

    def exists(self, name: str = '') -> bool:
        """Return whether a file or folder is there."""
        with _errors(self._url(name)):
            self._files.invalidate_cache()
            return bool(self._files.exists(self._path(name)))

    def is_folder(self) -> bool:
        """Return whether it is a folder."""
        with _errors(self.url):
            return bool(self._files.isdir(self._root))

    def names(self) -> list[str]:
        """Return the names of what is in the folder, sorted."""
        with _errors(self.url):
            return sorted(
                PurePosixPath(path.rstrip('/')).name
                for path in self._files.ls(self._root, detail=False)
            )

    def matches(self) -> list[str]:
        """Return the URLs that a URL with wildcards means, sorted."""
        with _errors(self.url):
            return sorted(
                str(self._files.unstrip_protocol(p)) for p in self._files.glob(self._root)
            )

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file; None if it is not there."""
        with _errors(self._url(name)):
            self._files.invalidate_cache()
            try:
                return bytes(self._files.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def sizes(self, name: str) -> dict[str, int]:
        """Return the bytes of a file, or of each file in a folder, by their paths in it."""
        with _errors(self._url(name)):
            self._files.invalidate_cache()
            path = self._path(name)
            found = self._files.find(path, detail=True)
            return {
                PurePosixPath(file).relative_to(path).as_posix(): int(facts['size'])
                for file, facts in found.items()
            }

    def version(self) -> str:
        """Return what changes when a file, or what is in a folder, does."""
        with _errors(self.url):
            found = self._files.find(self._root, detail=True)
        facts = [
            (
                PurePosixPath(path).name,
                *(str(i.get(k, '')) for k in ('size', 'ETag', 'etag', 'mtime', 'LastModified',
                                              'last_modified', 'updated', 'modify')),
            )
            for path, i in sorted(found.items())
        ]  # fmt: skip
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def fetch(self, target: Path, name: str = '') -> None:
        """Copy a file, or a folder with everything in it, to a path that is not there."""
        with _errors(self._url(name)):
            path = self._path(name)
            if not self._files.isdir(path):
                self._files.get_file(path, str(target))
                return
            target.mkdir(parents=True)
            for file in self._files.find(path):
                copy = target / PurePosixPath(file).relative_to(path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                self._files.get_file(file, str(copy))

    def put(self, source: Path, name: str) -> None:
        """Copy a file, or a folder with everything in it; each file appears whole."""
        if source.is_dir():
            for file in sorted(path for path in source.rglob('*') if path.is_file()):
                self.put(file, f'{name}/{file.relative_to(source).as_posix()}')
            return
        with _errors(self._url(name)):
            path = self._path(name)
            self._files.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
            if self._is_atomic:
                self._files.put_file(str(source), path)
                return
            folder = PurePosixPath(path).parent
            temporary = str(folder / f'{TEMPORARY_PREFIX}{uuid.uuid4().hex}')
            self._files.put_file(str(source), temporary)
            if self._files.exists(path):
                # Not all servers rename onto a file.
                self._files.rm_file(path)
            self._files.mv(temporary, path)

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with everything in it, if it is there."""
        with _errors(self._url(name)):
            self._files.invalidate_cache()
            if self._files.exists(self._path(name)):
                self._files.rm(self._path(name), recursive=True)

    def _path(self, name: str) -> str:
        return f'{self._root}/{name}' if name else str(self._root)

    def _url(self, name: str) -> str:
        return f'{self.url}/{name}' if name else self.url


@contextmanager
def local_copy(source: Path | str) -> Iterator[Path]:
    """Yield the path of an input; what is at a URL is copied to this machine for as long.

    Processes of one machine share a copy. Its files have no time of their own, so that a copy
    elsewhere is equal. Raises StorageError.
    """
    if not is_url(source):
        yield Path(source)
        return
    remote = RemoteFolder(str(source))
    if not remote.exists():
        raise StorageError(f"there is no '{source}'")
    key = hashlib.sha256(f'{source} {remote.version()}'.encode()).hexdigest()[:24]
    folder = cache_folder() / 'inputs' / key
    path = folder / PurePosixPath(remote.url).name
    with write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_suffix('.lock').open('a')
    with lock:
        while True:
            # Whoever uses a copy holds the lock shared; without a copy, one makes it.
            fcntl.flock(lock, fcntl.LOCK_SH)
            if path.exists():
                break
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                _fetch(remote, path)
        try:
            yield path
        finally:
            # The last one removes it.
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def staging_folder(output: Path | str) -> Path:
    """Return the folder of this machine in which a result is made: its own, but for URLs."""
    if not is_url(output):
        return Path(output)
    key = hashlib.sha256(str(output).rstrip('/').encode()).hexdigest()[:24]
    return cache_folder() / 'results' / key


def _fetch(remote: RemoteFolder, path: Path) -> None:
    shutil.rmtree(path.parent, ignore_errors=True)
    with write_errors(path):
        path.parent.mkdir(parents=True)
    temporary = path.with_name(f'{TEMPORARY_PREFIX}{path.name}')
    remote.fetch(temporary)
    copies = [temporary, *temporary.rglob('*')] if temporary.is_dir() else [temporary]
    with write_errors(path):
        for copy in copies:
            os.utime(copy, (0, 0))
        temporary.rename(path)


@contextmanager
def _errors(url: str) -> Iterator[None]:
    """Raise StorageError, which names the URL, for whatever its file system raises."""
    try:
        yield
    except S2M2Error:
        raise
    except Exception as error:  # each file system raises those of its own library
        raise StorageError(f"'{url}': {_reason(error)}") from error


def _reason(error: Any) -> str:
    if isinstance(error, FileNotFoundError):
        return 'there is no such file or folder'
    return safe_text(str(error) or type(error).__name__)
