"""Whether the files of a finished result are still as they were written, without reading all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2m2_ros.offline.processing.fingerprints import file_fingerprint
from s2m2_ros.offline.processing.storage import RemoteFolder

# Of so many files the ends are read as well; folders of images have thousands.
MOST_READ = 8
ENDS = 'ends_sha256'


def local_facts(path: Path) -> dict[str, Any]:
    """Return what is checked of a file or folder. Raises OSError."""
    files = sorted(p for p in path.rglob('*') if p.is_file()) if path.is_dir() else [path]
    facts = _facts({file.relative_to(path).as_posix(): file.stat().st_size for file in files})
    if len(files) <= MOST_READ:
        facts[ENDS] = [file_fingerprint(file)[ENDS] for file in files]
    return facts


def remote_facts(folder: RemoteFolder, name: str) -> dict[str, Any]:
    """Return what is checked of a file or folder at a URL: no content. Raises StorageError."""
    return _facts(folder.sizes(name))


def is_unchanged(recorded: Any, found: Mapping[str, Any]) -> bool:
    """Return whether facts are those recorded; at a URL, less is known of a file."""
    if not isinstance(recorded, dict):
        return False
    return all(recorded.get(key) == value for key, value in found.items())


def _facts(sizes: Mapping[str, int]) -> dict[str, Any]:
    listing = json.dumps(sorted(sizes.items())).encode()
    return {
        'files': len(sizes),
        'bytes': sum(sizes.values()),
        'sizes_sha256': hashlib.sha256(listing).hexdigest(),
    }
