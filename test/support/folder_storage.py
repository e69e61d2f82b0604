"""A file system of fsspec, `shelf://`, whose files lie in the folder `$SHELF`.

It stands in for an object store or a file server, which tests cannot reach; renaming onto a file
fails, as on some servers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

ENTRY_POINT = '[fsspec.specs]\nshelf = support.folder_storage:ShelfFileSystem\n'


class ShelfFileSystem(DirFileSystem):  # type: ignore[misc]
    """The files of the folder."""

    protocol = 'shelf'
    # Another test has another folder.
    cachable = False

    def __init__(self, **options: Any) -> None:
        super().__init__(os.environ['SHELF'], LocalFileSystem(), **options)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix('shelf://').strip('/')

    def mv(self, path1: str, path2: str, **options: Any) -> None:
        if self.exists(path2):
            raise FileExistsError(path2)
        super().mv(path1, path2, **options)


def offer(folder: Path, shelf: Path) -> dict[str, str]:
    """Return the variables by which every process finds the file system; ``folder`` is for it."""
    metadata = folder / 'shelf-1.0.dist-info'
    metadata.mkdir(parents=True)
    (metadata / 'METADATA').write_text('Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n')
    (metadata / 'entry_points.txt').write_text(ENTRY_POINT)
    tests = str(Path(__file__).parents[1])
    known = os.environ.get('PYTHONPATH', '')
    return {
        'SHELF': str(shelf),
        'PYTHONPATH': os.pathsep.join(filter(None, [str(folder), tests, known])),
    }
