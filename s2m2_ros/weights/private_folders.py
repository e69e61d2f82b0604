"""Folders whose content only their owner can change: what is loaded from them is trusted."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from s2m2_ros.weights.errors import WeightsError

PRIVATE = 0o700


def private_folder(root: Path, *names: str) -> Path:
    """Return the folder ``root / names``, made for its owner alone where it is missing.

    Args:
        root: what must be private; the folders above it are made where they are missing.
        names: folders below it, which must be private too.

    Raises:
        WeightsError: a folder cannot be made, or others can change what is in it.

    """
    folders = [root]
    for name in names:
        folders.append(folders[-1] / name)
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        for folder in folders:
            folder.mkdir(mode=PRIVATE, exist_ok=True)
            check_private(folder)
    except OSError as error:
        raise WeightsError(
            f"the folder '{folders[-1]}' cannot be made ({error.strerror}); set S2M2_ROS_CACHE to "
            'a folder that you can write to'
        ) from error
    return folders[-1]


def check_private(*folders: Path) -> None:
    """Raise WeightsError if others than this user and root can change what is in the folders."""
    for folder in folders:
        try:
            # Whoever owns a link decides where it leads.
            owners = {folder.lstat().st_uid, folder.stat().st_uid}
            mode = folder.stat().st_mode
        except OSError as error:
            raise WeightsError(
                f"the folder '{folder}' cannot be read ({error.strerror})"
            ) from error
        if not owners <= {0, os.geteuid()}:
            raise WeightsError(
                f"the folder '{folder}' belongs to another user (uid {max(owners)}), who could "
                'change what is loaded from it: delete it, or set S2M2_ROS_CACHE to a folder of '
                'your own'
            )
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise WeightsError(
                f"the folder '{folder}' can be written to by others, who could change what is "
                f"loaded from it: make sure that its files are yours, then chmod 700 '{folder}'"
            )
