"""Which inputs there are, and what their results are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from s2m2_ros.io.recordings.storage.file_names import METADATA, NAMES, is_recording
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.offline.processing.storage import WILDCARDS, RemoteFolder, is_url


def find_inputs(sources: Sequence[Path | str]) -> list[tuple[str, Path | str]]:
    """Return the inputs, paths and URLs, each once, with a name for each, which no other has.

    Where several have one name, that of the folder that they are in comes before it; where they
    are in folders of one name, too, a number comes after it. A folder that is no recording but
    holds some stands for those. Raises PlaybackError for what is not there.
    """
    found = {_location(s): s for given in sources for s in _expanded(given)}
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


def input_name(source: Path | str) -> str:
    """Return what the result of an input is called: its name without what says its format."""
    path = _location(source)
    if isinstance(path, Path) and path.is_dir():
        return path.name or 'result'
    lowered = path.name.lower()
    suffix = next((s for s in sorted(NAMES, key=len, reverse=True) if lowered.endswith(s)), '')
    return (path.name[: -len(suffix)] if suffix else path.stem) or 'result'


def _location(source: Path | str) -> Path | PurePosixPath:
    return PurePosixPath(str(source).rstrip('/')) if is_url(source) else Path(source).resolve()


def _parent_name(source: Path | str) -> str:
    return _location(source).parent.name


def _expanded(source: Path | str) -> Sequence[Path | str]:
    if is_url(source):
        return _expanded_url(str(source))
    path = Path(source)
    if not path.exists():
        raise PlaybackError(f"there is no '{path}'")
    if not path.is_dir() or is_recording(path):
        return [path]
    return [child for child in sorted(path.iterdir()) if is_recording(child)] or [path]


def _expanded_url(url: str) -> Sequence[str]:
    remote = RemoteFolder(url)
    if WILDCARDS & set(url):
        found = remote.matches()
        if not found:
            raise PlaybackError(f"nothing is at '{url}'")
        return found
    if not remote.exists():
        raise PlaybackError(f"there is no '{url}'")
    if not remote.is_folder() or _is_recording(remote):
        return [remote.url]
    children = [RemoteFolder(f'{remote.url}/{name}') for name in remote.names()]
    return [c.url for c in children if c.is_folder() and _is_recording(c)] or [remote.url]


def _is_recording(folder: RemoteFolder) -> bool:
    """Return whether the names in a folder are those of a recording."""
    return any(name == METADATA or name.lower().endswith(NAMES) for name in folder.names())


def _free_name(name: str, taken: Collection[str], others: Collection[str]) -> str:
    """Return a name, with a number after it if it is taken."""
    number, free = 1, name
    while free in taken or (number > 1 and free in others):
        number += 1
        free = f'{name}_{number}'
    return free
