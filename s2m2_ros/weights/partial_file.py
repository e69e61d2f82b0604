"""The partial file of a download, on the disk."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s2m2_ros.weights.errors import WeightsError
from s2m2_ros.weights.registry import Checkpoint


class PartialFile:
    """The file that a download is written to, locked against other processes."""

    def __init__(self, path: Path, checkpoint: Checkpoint) -> None:
        """Open or create it. Raises WeightsError if it is in use, or a link to another file."""
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self._handle = os.open(path, flags, 0o600)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise WeightsError(f"'{path}' is a link, not a partial file: delete it") from None
            raise
        try:
            status = os.fstat(self._handle)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise WeightsError(f"'{path}' is not a partial file of a download: delete it")
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise WeightsError(
                f"another process is downloading '{checkpoint.name}': wait for it"
            ) from None
        except BaseException:
            os.close(self._handle)
            raise

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return os.fstat(self._handle).st_size

    def cut(self, size: int) -> None:
        """Keep only the first bytes."""
        with self._errors():
            os.truncate(self._handle, size)

    def append(self, content: bytes) -> None:
        """Write at the end. Raises WeightsError, as all methods do where the disk fails."""
        with self._errors():
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(self._handle, rest) :]

    def finish(self, target: Path) -> None:
        """Move the file, once its content is on the disk."""
        with self._errors():
            os.fsync(self._handle)
            self.path.replace(target)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors of the disk, unlike those of the network, into WeightsError."""
        try:
            yield
        except OSError as error:
            raise WeightsError(f"'{self.path}' cannot be written ({error.strerror})") from error
