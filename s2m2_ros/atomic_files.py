"""Atomic writing of files: readers never see a partial one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from s2m2_ros.errors import S2M2Error


class FileWriteError(S2M2Error):
    """A file cannot be written; names it and says why."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file at once: readers see the old content or the new. Raises OSError."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix='.s2m2-')
    temporary = Path(name)
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(content)
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
