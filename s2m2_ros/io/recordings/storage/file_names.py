"""Which files a recording consists of."""

from __future__ import annotations

import logging
from pathlib import Path

from s2m2_ros.io.calibration.structured_text import parse
from s2m2_ros.io.sources.stereo_frame import PlaybackError

_logger = logging.getLogger(__name__)

SUFFIXES = ('.mcap', '.db3', '.bag', '.bag.active')
COMPRESSED_SUFFIXES = ('', '.zstd', '.zst', '.lz4', '.gz', '.bz2', '.xz')
NAMES = tuple(f'{name}{packed}' for name in SUFFIXES for packed in COMPRESSED_SUFFIXES)
METADATA = 'metadata.yaml'
METADATA_KEY = b'rosbag2_bagfile_information'
LARGEST_METADATA = 1 << 20


def is_recording(path: Path) -> bool:
    """Return whether a file or folder is a recording, by its name or what is in the folder."""
    if not path.is_dir():
        return path.name.lower().endswith(NAMES)
    try:
        return bool(_storage_files(path)) or METADATA_KEY in _metadata(path)
    except (OSError, PlaybackError):
        return False


def recording_files(path: Path) -> list[Path]:
    """Return the storage files of a recording, a file or a folder; raises PlaybackError."""
    if path.is_file():
        return [path]
    if path.exists() and not path.is_dir():
        raise PlaybackError(f"'{path}' is neither a regular file nor a folder")
    present = _storage_files(path)
    named = _named_in_metadata(path)
    files = [file for file in present if named & _names_of(file)]
    missing = named.difference(*map(_names_of, files))
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


def _names_of(file: Path) -> set[str]:
    """Return the names under which metadata.yaml may have a file, compressed or not."""
    plain = file.stem if file.suffix in COMPRESSED_SUFFIXES else file.name
    return {f'{plain}{packed}' for packed in COMPRESSED_SUFFIXES}


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
    try:
        (content, *_), _ = parse(_metadata(folder).decode('utf-8-sig'))
        paths = content[METADATA_KEY.decode()]['relative_file_paths']
        return {Path(name).name for name in paths}
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _metadata(folder: Path) -> bytes:
    """Return the content of metadata.yaml, nothing where it is missing or far too large."""
    path = folder / METADATA
    if not path.is_file() or path.stat().st_size > LARGEST_METADATA:
        return b''
    return path.read_bytes()
