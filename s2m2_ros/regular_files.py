"""The bytes of a file, bounded: a regular file of a size that fits what it should be."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MAX_BYTES = 1 << 29


def read_regular_file(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a file.

    Raises OSError, in words for the user, for what cannot be read, is no regular file (a FIFO
    would wait forever, a device never ends) or is larger than `max_bytes`.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(None, f'{error}') from error
    with os.fdopen(handle, 'rb') as file:
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise OSError(None, 'it is a folder')
        if not stat.S_ISREG(status.st_mode):
            raise OSError(None, 'it is not a regular file')
        if status.st_size > max_bytes:
            raise OSError(None, f'its {status.st_size} bytes are more than {max_bytes}')
        return file.read(max_bytes)
