"""Where checkpoints and other cached files live."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from s2m2_ros.weights.added import added_folder, find_record
from s2m2_ros.weights.errors import WeightsError
from s2m2_ros.weights.other_networks import ready_made
from s2m2_ros.weights.private_folders import check_private
from s2m2_ros.weights.registry import CHECKPOINTS, Checkpoint

CACHE_VARIABLE = 'S2M2_ROS_CACHE'
PACKAGE_FOLDER = Path(__file__).parent


def cache_folder() -> Path:
    """Return the folder for files that can be fetched or built again.

    ``$S2M2_ROS_CACHE`` if set, else ``$XDG_CACHE_HOME/s2m2_ros``, else ``~/.cache/s2m2_ros``. A
    user without a home, or with one that cannot be written to, gets a folder of their own among
    the temporary files. It need not exist yet: `private_folder` makes it.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    folder = _expanded(Path(chosen)) if chosen else _default_folder()
    return folder or Path(tempfile.gettempdir()) / f's2m2_ros-{os.getuid()}'


def _default_folder() -> Path | None:
    """Return the user's cache folder of this package; None if there can be none."""
    base = os.environ.get('XDG_CACHE_HOME')
    # The XDG specification says to ignore relative paths.
    root = Path(base) if base and Path(base).is_absolute() else _expanded(Path('~/.cache'))
    if root is None:
        return None
    folder = root / 's2m2_ros'
    nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    # A cache that is there can be read even where nothing can be added to it.
    usable = nearest == folder or os.access(nearest, os.W_OK | os.X_OK)
    return folder if usable else None


def _expanded(path: Path) -> Path | None:
    """Return a path with ``~`` replaced; None for a user without a home."""
    try:
        return path.expanduser()
    except RuntimeError:
        return None


def checkpoint_path(checkpoint: Checkpoint, *, folder: Path | None = None) -> Path:
    """Return where a checkpoint's file belongs, whether it is there or not.

    `folder` replaces the cache folder.
    """
    if checkpoint.address is None:
        return PACKAGE_FOLDER / checkpoint.filename
    return (folder or cache_folder()) / 'weights' / checkpoint.filename


def find_checkpoint(name: str | Path, *, folder: Path | None = None) -> Path:
    """Return the file of a checkpoint given by its registered or added name, or its own path.

    A name goes first where a file in the working directory has it too.

    Raises WeightsError if there is no such file, saying how to get it, or if others can change
    what the cache folder holds.
    """
    checkpoint = CHECKPOINTS.get(str(name))
    if checkpoint is None:
        root = folder or cache_folder()
        added = find_record(str(name), root)
        if added is not None:
            return _existing_file(added_folder(root) / added.filename)
        return _existing_file(_expanded(Path(name)) or Path(name))
    path = checkpoint_path(checkpoint, folder=folder)
    if is_present(path):
        if checkpoint.address is not None:
            check_private(path.parent.parent, path.parent)
        return path
    if checkpoint.address is None:
        raise WeightsError(f"this installation lacks '{path}': reinstall s2m2_ros")
    raise WeightsError(
        f"checkpoint '{name}' is not on this machine: run `s2m2 weights download {name}`, or "
        f'fetch {checkpoint.address} by hand and save it as {path}'
    )


def is_present(path: Path) -> bool:
    """Return whether a file can be seen; False also in folders that cannot be read."""
    try:
        return path.is_file()
    except OSError:
        return False


def _existing_file(path: Path) -> Path:
    if is_present(path):
        return path
    published = ready_made(path.name) if path.name == str(path) else None
    names = ', '.join(CHECKPOINTS)
    how = f': {published.how}, then `s2m2 weights add FILE`' if published else ''
    raise WeightsError(f"no file '{path}', and no checkpoint of that name among {names}{how}")
