"""Where checkpoints and other cached files live."""

from __future__ import annotations

import os
from pathlib import Path

from s2m2_ros.weights.errors import WeightsError
from s2m2_ros.weights.registry import CHECKPOINTS, Checkpoint

CACHE_VARIABLE = 'S2M2_ROS_CACHE'
PACKAGE_FOLDER = Path(__file__).parent


def cache_folder() -> Path:
    """Return the folder for files that can be fetched or built again.

    ``$S2M2_ROS_CACHE`` if set, else ``$XDG_CACHE_HOME/s2m2_ros``, else ``~/.cache/s2m2_ros``. It
    need not exist yet.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get('XDG_CACHE_HOME')
    # The XDG specification says to ignore relative paths.
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / '.cache'
    return root / 's2m2_ros'


def checkpoint_path(checkpoint: Checkpoint, *, folder: Path | None = None) -> Path:
    """Return where a checkpoint's file belongs, whether it is there or not.

    `folder` replaces the cache folder.
    """
    if checkpoint.address is None:
        return PACKAGE_FOLDER / checkpoint.filename
    return (folder or cache_folder()) / 'weights' / checkpoint.filename


def find_checkpoint(name: str | Path, *, folder: Path | None = None) -> Path:
    """Return the file of a checkpoint given by its registered name or its own path.

    Raises WeightsError if there is no such file, saying how to get it.
    """
    checkpoint = CHECKPOINTS.get(str(name))
    if checkpoint is None:
        return _existing_file(Path(name).expanduser())
    path = checkpoint_path(checkpoint, folder=folder)
    if path.is_file():
        return path
    if checkpoint.address is None:
        raise WeightsError(f"this installation lacks '{path}': reinstall s2m2_ros")
    raise WeightsError(
        f"checkpoint '{name}' is not on this machine: run `s2m2 weights download {name}`, or "
        f'fetch {checkpoint.address} by hand and save it as {path}'
    )


def _existing_file(path: Path) -> Path:
    if path.is_file():
        return path
    names = ', '.join(CHECKPOINTS)
    raise WeightsError(f"no file '{path}', and no checkpoint of that name among {names}")
