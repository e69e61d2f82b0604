"""Which files a recording consists of."""

from __future__ import annotations

import logging
from pathlib import Path

import yaml

from s2m2_ros.io.stereo_frame import PlaybackError

_logger = logging.getLogger(__name__)

SUFFIXES = ('.mcap', '.db3', '.bag', '.bag.active')
COMPRESSED_SUFFIXES = ('', '.zstd', '.zst', '.lz4', '.gz', '.bz2', '.xz')
NAMES = tuple(f'{name}{packed}' for name in SUFFIXES for packed in COMPRESSED_SUFFIXES)
METADATA = 'metadata.yaml'
LARGEST_METADATA = 16 << 20


def is_recording(path: Path) -> bool:
    """Tell whether a file or folder is a recording, by its name or what is in the folder."""
    if path.is_dir():
        return (path / METADATA).is_file() or bool(_storage_files(path))
    return path.name.lower().endswith(NAMES)


def recording_files(path: Path) -> list[Path]:
    """Return the storage files of a recording, a file or a folder; raises PlaybackError."""
    if path.is_file():
        return [path]
    present = _storage_files(path)
    named = _named_in_metadata(path)
    files = [file for file in present if file.name in named or file.stem in named]
    missing = named - {file.name for file in files} - {f'{file.stem}' for file in files}
    missing -= {f'{file.name}{packed}' for file in files for packed in COMPRESSED_SUFFIXES}
    if files and missing:
        _logger.warning(
            "'%s': %d of its files are missing, e.g. '%s': the others are played",
            path,
            len(missing),
            min(missing),
        )
    if not (files or present):
        raise PlaybackError(
            f"'{path}' holds no storage file (.mcap, .db3 or .bag)"
            + (f": metadata.yaml names '{min(named)}'" if named else '')
        )
    if not (path / METADATA).is_file():
        _logger.info("'%s' has no metadata.yaml (was the recorder killed?): not needed", path)
    return files or present


def _storage_files(folder: Path) -> list[Path]:
    """Return the storage files in a folder, of a file and its compressed copy only the file."""
    try:
        files = sorted(p for p in folder.iterdir() if p.name.lower().endswith(NAMES))
    except OSError as error:
        raise PlaybackError(f"cannot read the folder '{folder}': {error.strerror}") from error
    names = {file.name for file in files}
    return [f for f in files if f.is_file() and (f.stem not in names or f.suffix == '.active')]


def _named_in_metadata(folder: Path) -> set[str]:
    """Return the file names in metadata.yaml; none where it is missing, empty or damaged."""
    path = folder / METADATA
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_METADATA:
            return set()
        content = yaml.safe_load(path.read_bytes())
        paths = content['rosbag2_bagfile_information']['relative_file_paths']
        return {Path(name).name for name in paths}
    except (OSError, yaml.YAMLError, RecursionError, ValueError, TypeError, KeyError):
        return set()
