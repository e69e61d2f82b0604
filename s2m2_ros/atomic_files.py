"""Atomic writing of files: readers never see a partial one."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from s2m2_ros.errors import S2M2Error

# What is left of a process that was killed begins like this.
TEMPORARY_PREFIX = '.s2m2-'


# What to do about the reasons that are common.
ADVICE = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT), 'free some of it, or write to another disk or folder'
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        'write to a folder that you may write to, or change its permissions',
    ),
    errno.EFBIG: 'write to a file system, or with a limit, that allows files of this size',
    errno.ENAMETOOLONG: 'give it a shorter name',
}


class FileWriteError(S2M2Error):
    """A file cannot be written; names it and says why."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file at once: readers see the old content or the new. Raises OSError."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that takes the place of ``path`` at the end, unless an error is raised.

    Raises OSError.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY_PREFIX)
    temporary = Path(name)
    try:
        with os.fdopen(handle, 'wb') as file:
            yield file
            # Without it, a power failure after the renaming could leave an empty file.
            file.flush()
            os.fsync(file.fileno())
        # Temporary files are private; what is kept follows the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Raise FileWriteError, which names the path, for an OSError in the block."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        advice = f': {ADVICE[error.errno]}' if error.errno in ADVICE else ''
        raise FileWriteError(f"cannot write '{path}': {reason}{advice}") from error
