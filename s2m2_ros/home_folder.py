"""A home folder for processes without one: containers run under numbers that no user has."""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from collections.abc import MutableMapping
from pathlib import Path


def provide_home(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set HOME and USER where they are missing.

    ROS (its log), torch, matplotlib and `~` fail without. HOME becomes the user's own if the
    system knows the user, else a private folder among the temporary files.
    """
    entry = _entry()
    if not environment.get('HOME'):
        known = entry is not None and Path(entry.pw_dir).is_dir()
        environment['HOME'] = entry.pw_dir if entry and known else str(_temporary_home())
    if entry is None and not environment.get('USER'):
        environment['USER'] = f'uid{os.getuid()}'


def _entry() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(os.getuid())
    except KeyError:
        return None


def _temporary_home() -> Path:
    folder = Path(tempfile.gettempdir()) / f's2m2_ros-{os.getuid()}'
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix='s2m2_ros-'))
    # Another user may have made it before, to read or replace what is kept there.
    private = found.st_uid == os.getuid() and not found.st_mode & 0o077
    if stat.S_ISDIR(found.st_mode) and private:
        return folder
    return Path(tempfile.mkdtemp(prefix='s2m2_ros-'))
