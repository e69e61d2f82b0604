"""Which files a recording consists of."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2m2_ros.io.calibration.structured_text import parse
from s2m2_ros.io.sources.stereo_frame import PlaybackError, seconds_text

_logger = logging.getLogger(__name__)

SUFFIXES = ('.mcap', '.db3', '.bag', '.bag.active')
COMPRESSED_SUFFIXES = ('', '.zstd', '.zst', '.lz4', '.gz', '.bz2', '.xz')
NAMES = tuple(f'{name}{packed}' for name in SUFFIXES for packed in COMPRESSED_SUFFIXES)
METADATA = 'metadata.yaml'
METADATA_KEY = b'rosbag2_bagfile_information'
LARGEST_METADATA = 1 << 20


@dataclass(frozen=True)
class Stated:
    """What metadata.yaml says of a file: how many messages of which times, in nanoseconds."""

    count: int
    start_ns: int
    end_ns: int

    def __str__(self) -> str:
        times = f'{seconds_text(self.start_ns)} to {seconds_text(self.end_ns)} s'
        return f'{self.count} messages of {times}'


@dataclass(frozen=True)
class FoundFiles:
    """The storage files of a recording.

    Attributes:
        files: those that are there.
        missing_names: files that metadata.yaml names and that are not there.
        missing: what is said of each of these.
        are_named: whether metadata.yaml names the files, so that they are of one recording.
        others: files beside these that it does not name.
        stated: what it says of the files that are there, if it does.

    """

    files: Sequence[Path]
    missing_names: Sequence[str] = ()
    missing: Sequence[str] = ()
    are_named: bool = False
    others: Sequence[Path] = ()
    stated: Mapping[Path, Stated] = field(default_factory=dict)


def is_recording(path: Path) -> bool:
    """Return whether a file or folder is a recording, by its name or what is in the folder."""
    if not path.is_dir():
        return path.name.lower().endswith(NAMES)
    try:
        return bool(_present(_candidates(path))) or METADATA_KEY in _metadata(path)
    except (OSError, PlaybackError):
        return False


def storage_stem(name: str) -> str:
    """Return the name of a storage file without what says its kind."""
    suffixes = (s for s in NAMES if name.lower().endswith(s))
    return name[: len(name) - len(max(suffixes, key=len, default=''))]


def recording_files(path: Path) -> FoundFiles:
    """Return the storage files of a recording, a file or a folder; raises PlaybackError."""
    if path.is_file():
        return FoundFiles([path])
    if path.exists() and not path.is_dir():
        raise PlaybackError(f"'{path}' is neither a regular file nor a folder")
    candidates = _candidates(path)
    present = _present(candidates)
    named = _named_in_metadata(path)
    files = [file for file in present if named.keys() & _names_of(file)]
    if not (files or present):
        raise PlaybackError(
            f"'{path}' holds no storage file (.mcap, .db3 or .bag)"
            + (f": metadata.yaml names '{min(named)}'" if named else '')
        )
    there = set[str]().union(*map(_names_of, files))
    others = [file for file in present if file not in files] if files else []
    # Where none of its files is there, metadata.yaml describes another recording.
    missing = [name for name in named if files and name not in there]
    texts = [
        f"'{path / name}' is missing, which metadata.yaml names"
        + (f' with {named[name]}' if named[name] else '')
        + ': the others are read'
        for name in missing
    ]
    broken = [link for link in candidates if not link.exists() and link.name not in missing]
    missing += [link.name for link in broken]
    texts += [f"'{link}' is a link to what is not there: the others are read" for link in broken]
    stated = {f: s for f in files for n in _names_of(f) if (s := named.get(n)) is not None}
    return FoundFiles(files or present, missing, texts, bool(files), others, stated)


def _names_of(file: Path) -> set[str]:
    """Return the names under which metadata.yaml may have a file, compressed or not."""
    plain = file.stem if file.suffix in COMPRESSED_SUFFIXES else file.name
    return {f'{plain}{packed}' for packed in COMPRESSED_SUFFIXES}


def _candidates(folder: Path) -> list[Path]:
    """Return what is named as storage files are; hidden ones are of file managers."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise PlaybackError(f"cannot read the folder '{folder}': {error.strerror}") from error
    return [p for p in paths if p.name.lower().endswith(NAMES) and not p.name.startswith('.')]


def _present(candidates: Sequence[Path]) -> list[Path]:
    """Return the files among candidates, of a file and its compressed copy only the file."""
    names = {path.name for path in candidates}
    return [
        path
        for path in candidates
        if path.is_file() and (path.stem not in names or path.suffix == '.active')
    ]


def _named_in_metadata(folder: Path) -> dict[str, Stated | None]:
    """Return the names of files in metadata.yaml, in order, and what it says of each.

    Return nothing where it is missing, empty or damaged.
    """
    try:
        (content, *_), _ = parse(_metadata(folder).decode('utf-8-sig'))
        information = content[METADATA_KEY.decode()]
        names = [Path(name).name for name in information['relative_file_paths']]
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    try:
        known = {Path(item['path']).name: _stated(item) for item in information['files']}
    except (ValueError, TypeError, KeyError):
        # Early versions do not say what is in each file.
        known = {}
    return {name: known.get(name) for name in names}


def _stated(item: Mapping[str, Any]) -> Stated:
    """Return what metadata.yaml says a file to hold."""
    start = int(item['starting_time']['nanoseconds_since_epoch'])
    end = start + int(item['duration']['nanoseconds'])
    return Stated(int(item['message_count']), start, end)


def _metadata(folder: Path) -> bytes:
    """Return the content of metadata.yaml, nothing where it is missing or far too large."""
    path = folder / METADATA
    if not path.is_file() or path.stat().st_size > LARGEST_METADATA:
        return b''
    return path.read_bytes()
