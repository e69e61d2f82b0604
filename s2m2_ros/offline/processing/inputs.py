"""Which inputs there are, and what their results are called."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from s2m2_ros.io.recordings.storage.file_groups import SeveralRecordingsError, family
from s2m2_ros.io.recordings.storage.file_names import (
    METADATA,
    NAMES,
    is_recording,
    recording_files,
    storage_stem,
)
from s2m2_ros.io.recordings.storage.recording_files import RecordingFiles
from s2m2_ros.io.sources.side_words import natural_key
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.io.sources.stereo_sources import find_images, image_pairs
from s2m2_ros.offline.processing.results import is_record, is_result
from s2m2_ros.offline.processing.storage import WILDCARDS, RemoteFolder, is_url

Location = Path | PurePosixPath
_logger = logging.getLogger(__name__)


def find_inputs(
    sources: Sequence[Path | str], output: Path | str | None = None
) -> list[tuple[str, Path | str]]:
    """Return the inputs, paths and URLs, each once, with a name for each, which no other has.

    A folder stands for the recordings in it and in its subfolders, but for hidden ones, results of
    earlier runs, and what is in ``output``, the folder of results. A folder is one recording if
    metadata.yaml says so, or if its files are named and timed as parts of one; without any
    recording, it is a folder of pairs.

    Where several have one name, that of the folder that they are in comes before it; where they
    are in folders of one name, too, a number comes after it. Raises PlaybackError for what is not
    there, and for a folder of nothing but results.
    """
    skipped = None if output is None else _location(output)
    found = {_location(s): s for given in sources for s in _expanded(given, skipped)}
    given = [input_name(source) for source in found.values()]
    counted = Counter(given)
    names = [
        name if counted[name] == 1 else f'{_parent_name(source)}_{name}'
        for name, source in zip(given, found.values(), strict=True)
    ]
    taken: set[str] = set()
    result = []
    for name, source in zip(names, found.values(), strict=True):
        free = _free_name(name, taken, names)
        taken.add(free)
        result.append((free, source))
    return result


def named_inputs(
    inputs: Sequence[Path | str | tuple[str, Path | str]], output: Path | str | None = None
) -> list[tuple[str, Path | str]]:
    """Return the inputs that have a name already, then what `find_inputs` finds of the others."""
    sources = [item for item in inputs if not isinstance(item, tuple)]
    named = [item for item in inputs if isinstance(item, tuple)]
    return [*named, *find_inputs(sources, output)]


def input_name(source: Path | str) -> str:
    """Return what the result of an input is called: its name without what says its format."""
    path = _location(source)
    if isinstance(path, Path) and path.is_dir():
        return path.name or 'result'
    stem = storage_stem(path.name)
    return (stem if stem != path.name else path.stem) or 'result'


def _location(source: Path | str) -> Location:
    return PurePosixPath(str(source).rstrip('/')) if is_url(source) else Path(source).resolve()


def _parent_name(source: Path | str) -> str:
    return _location(source).parent.name


def _expanded(source: Path | str, skipped: Location | None) -> Sequence[Path | str]:
    if is_url(source):
        return _expanded_url(str(source), skipped)
    path = Path(source)
    if not path.exists():
        raise PlaybackError(f"there is no '{path}'")
    if not path.is_dir():
        return [path]
    recordings = list(_recordings_below(path, skipped, set()))
    if not recordings:
        if is_recording(path) and not _is_result(path):
            raise _only_results(path)
        return [path]
    _warn_of_pairs(path)
    return recordings


def _recordings_below(
    folder: Path, skipped: Location | None, visited: set[Path]
) -> Iterator[Path]:
    """Yield the recordings in a folder and its subfolders, each folder once."""
    location = folder.resolve()
    if location in visited or (location == skipped and visited):
        return
    visited.add(location)
    if is_recording(folder):
        yield from _recordings_in(folder)
    try:
        children = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
        folders = [path for path in children if path.is_dir() and not path.name.startswith('.')]
    except OSError as error:
        _logger.warning("cannot read the folder '%s': %s", folder, error.strerror)
        return
    for child in folders:
        yield from _recordings_below(child, skipped, visited)


def _recordings_in(folder: Path) -> Sequence[Path]:
    """Return the folder if it is one recording, otherwise its files, but no earlier results."""
    try:
        found = recording_files(folder)
        if found.are_named:
            return _without_results([folder, *found.others])
        inputs = _without_results(found.files)
        if len(inputs) < len(found.files):
            # Of an earlier run; what lies beside them is no part of one recording.
            return inputs
        if len(found.files) > 1:
            RecordingFiles(folder, is_reporting=False).close()
    except SeveralRecordingsError as error:
        _logger.info('%s; each is processed for itself', error.reason)
        return error.paths
    except PlaybackError as error:
        # It is said when the folder is opened for its pairs.
        _logger.debug('%s', error)
    return _without_results([folder])


def _without_results(paths: Sequence[Path]) -> Sequence[Path]:
    return [path for path in paths if not _is_result(path)]


def _is_result(path: Path) -> bool:
    return is_result(path, input_name(path))


def _only_results(folder: Path | str) -> PlaybackError:
    return PlaybackError(
        f"'{folder}' holds no recordings but results of earlier runs, which are no inputs: name "
        'the file of one if it is wanted'
    )


def _warn_of_pairs(folder: Path) -> None:
    """Warn of pairs of image files that are not processed."""
    pairs = image_pairs(folder, find_images(folder)[0])
    if not pairs:
        return
    _logger.warning(
        "'%s' holds recordings, which are processed; the %d pairs of image files there are not, "
        "e.g. '%s': name their own folder",
        folder,
        len(pairs),
        pairs[0].left,
    )


def _expanded_url(url: str, skipped: Location | None) -> Sequence[str]:
    remote = RemoteFolder(url)
    if WILDCARDS & set(url):
        found = remote.matches()
        if not found:
            raise PlaybackError(f"nothing is at '{url}'")
        return found
    if not remote.exists():
        raise PlaybackError(f"there is no '{url}'")
    if not remote.is_folder():
        return [remote.url]
    found = list(_urls_below(remote, skipped, is_top=True))
    if not found and any(name.lower().endswith(NAMES) for name in remote.names()):
        raise _only_results(remote.url)
    return found or [remote.url]


def _urls_below(
    folder: RemoteFolder, skipped: Location | None, *, is_top: bool = False
) -> Iterator[str]:
    """Yield the recordings in a folder and its subfolders; names show what is one."""
    if _location(folder.url) == skipped and not is_top:
        return
    names = folder.names()
    found = [name for name in names if name.lower().endswith(NAMES)]
    files = [name for name in found if not _is_result_at(folder, name, names)]
    # What lies beside results is no part of one recording.
    is_one = len(files) == len(found) and len({family(name) for name in files}) == 1
    if METADATA in names or is_one:
        yield folder.url
    else:
        yield from (f'{folder.url}/{name}' for name in files)
    for name in names:
        child = RemoteFolder(f'{folder.url}/{name}')
        if name in found or name.startswith('.') or _is_result_at(folder, name, names):
            continue
        if child.is_folder():
            yield from _urls_below(child, skipped)


def _is_result_at(folder: RemoteFolder, name: str, names: Collection[str]) -> bool:
    """Return whether what has a name in a folder, of these ``names``, is an earlier result."""
    record = f'{storage_stem(name)}.json'
    return record in names and is_record(folder.read(record))


def _free_name(name: str, taken: Collection[str], others: Collection[str]) -> str:
    """Return a name, with a number after it if it is taken."""
    number, free = 1, name
    while free in taken or (number > 1 and free in others):
        number += 1
        free = f'{name}_{number}'
    return free
