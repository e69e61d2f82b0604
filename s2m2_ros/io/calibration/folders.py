"""Which files of a folder are the calibration."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from s2m2_ros.geometry.camera_model import CalibrationError
from s2m2_ros.io.calibration.document import Document, load_document
from s2m2_ros.io.calibration.limited_file import LARGEST_TEXT

# What calibrations are called; images of a data set lie in the same folder.
SUFFIXES = ('.yaml', '.yml', '.txt', '.xml', '.json', '.npz', '.npy', '.gz', '.conf', '.ini')
# How names of the left camera's files become those of the right one's.
MARKERS = (
    ('left', 'right'),
    ('Left', 'Right'),
    ('LEFT', 'RIGHT'),
    ('cam0', 'cam1'),
    ('cam1', 'cam2'),
    ('camera0', 'camera1'),
    ('camera1', 'camera2'),
    ('infra1', 'infra2'),
    ('l', 'r'),
    ('L', 'R'),
    ('0', '1'),
    ('1', '2'),
)
# Longer markers may stand within a word.
WITHIN_WORDS = 4
MOST_FILES = 10_000
MOST_CANDIDATES = 40
# Characters; every reader goes over them.
MOST_TEXT = 2 * LARGEST_TEXT

Recognises = Callable[[Document], bool]


def files_of(
    folder: Path,
    *,
    is_pair: Recognises,
    is_camera: Recognises,
    is_raw: Recognises,
    is_beside: Recognises,
) -> list[Path]:
    """Return the file, or the left and the right file, that hold a folder's calibration.

    Args:
        folder: searched with the folders right below it.
        is_pair: whether a file describes both cameras.
        is_camera: whether a file describes one camera.
        is_raw: whether a file describes cameras before rectification, which is worth an error of
            its own where there is nothing else.
        is_beside: whether a file describes both raw cameras, which completes the file of the pair
            in the same folder.

    Raises:
        CalibrationError: there is none, or more than one.

    """
    documents = _documents(folder)
    cameras = [path for path, document in documents.items() if is_camera(document)]
    for pairs in (_pairs(folder, cameras), _pairs(folder, list(documents))):
        if len(pairs) == 1:
            return list(pairs[0])
        if len(pairs) > 1:
            raise _ambiguous(folder, [left for left, _ in pairs])
        single = [path for path, document in documents.items() if is_pair(document)]
        # Subfolders count only where the folder itself has nothing.
        single = [path for path in single if path.parent == folder] or single
        if len(single) == 1:
            beside = [
                path
                for path, document in documents.items()
                if path.parent == single[0].parent and is_beside(document)
            ]
            return [*single, *beside] if len(beside) == 1 else single
        if len(single) > 1:
            raise _ambiguous(folder, single)
    raw = [path for path, document in documents.items() if is_raw(document)]
    if raw or len(documents) == 1:
        return [*raw, *documents][:1]
    raise CalibrationError(
        f'{folder}: no calibration is in this folder: neither a file of both cameras nor one of '
        'the left and one of the right, such as left.yaml and right.yaml'
    )


def _ambiguous(folder: Path, paths: list[Path]) -> CalibrationError:
    names = ', '.join(str(path.relative_to(folder)) for path in sorted(paths)[:4])
    return CalibrationError(f'{folder}: several files are calibrations ({names}): name one')


def _candidates(folder: Path) -> Iterator[Path]:
    try:
        entries = [
            *islice(folder.iterdir(), MOST_FILES),
            *islice(folder.glob('*/*'), MOST_FILES),
        ]
    except OSError as error:
        raise CalibrationError(f'{folder}: cannot be read ({error.strerror})') from error
    found = sorted(path for path in entries if path.suffix.lower() in SUFFIXES)
    found.sort(key=lambda path: path.parent != folder)
    return islice(found, MOST_CANDIDATES)


def _documents(folder: Path) -> dict[Path, Document]:
    """Return what can be read; CalibrationError if it is too much to look through."""
    found: dict[Path, Document] = {}
    size = 0
    for path in _candidates(folder):
        document = _load(path)
        size += len(document.text) if document else _size(path)
        if size > MOST_TEXT:
            raise CalibrationError(
                f'{folder}: far too much text to look for a calibration in it: name the file'
            )
        if document:
            found[path] = document
    return found


def _size(path: Path) -> int:
    """Return how many bytes of a file were read in vain: none of a very large one."""
    try:
        status = path.stat()
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_TEXT else 0


def _load(path: Path) -> Document | None:
    try:
        return load_document(path)
    except CalibrationError:
        return None


def _pairs(folder: Path, paths: list[Path]) -> list[tuple[Path, Path]]:
    """Return left and right files by the first marker that makes a pair of any."""
    known = set(paths)
    for left, right in MARKERS:
        pairs = [
            (path, partner)
            for path in paths
            if (partner := _partner(folder, path, left, right)) != path and partner in known
        ]
        if pairs:
            return pairs
    return []


def _partner(folder: Path, path: Path, left: str, right: str) -> Path:
    pattern = re.escape(left)
    if left.isdigit():
        pattern = rf'(?<!\d){pattern}(?!\d)'
    elif len(left) < WITHIN_WORDS:
        pattern = rf'(?<![^\W_]){pattern}(?![^\W_])'
    parts = path.relative_to(folder).parts
    return folder.joinpath(*(re.sub(pattern, right, part) for part in parts))
