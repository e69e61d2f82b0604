"""Which inputs there are, and what their results are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from s2m2_ros.io.recordings.storage.file_names import METADATA, NAMES, is_recording
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.offline.processing.storage import WILDCARDS, RemoteFolder, is_url


def find_inputs(sources: Sequence[Path | str]) -> list[tuple[str, Path | str]]:
    """Return the inputs, paths and URLs, with a name for each, which no other has.

    A folder that is no recording but holds some stands for those. Raises PlaybackError for what
    is not there.
    """
    found = list(dict.fromkeys(source for given in sources for source in _expanded(given)))
    names = [input_name(source) for source in found]
    if _are_repeated(names):
        names = [f'{_parent_name(s)}_{n}' for s, n in zip(found, names, strict=True)]
    counted: Counter[str] = Counter()
    result = []
    for name, source in zip(names, found, strict=True):
        counted[name] += 1
        result.append((name if counted[name] == 1 else f'{name}_{counted[name]}', source))
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


def _are_repeated(names: Sequence[str]) -> bool:
    return len(set(names)) < len(names)
