"""Which inputs there are, and what their results are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from s2m2_ros.io.recordings.storage.file_names import NAMES, is_recording
from s2m2_ros.io.sources.stereo_frame import PlaybackError


def find_inputs(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Return the inputs with a name for each, which no other has.

    A folder that is no recording but holds some stands for those. Raises PlaybackError for what
    is not there.
    """
    found = list(dict.fromkeys(path for given in paths for path in _expanded(given)))
    names = [input_name(path) for path in found]
    if _are_repeated(names):
        names = [f'{path.resolve().parent.name}_{n}' for path, n in zip(found, names, strict=True)]
    counted: Counter[str] = Counter()
    result = []
    for name, path in zip(names, found, strict=True):
        counted[name] += 1
        result.append((name if counted[name] == 1 else f'{name}_{counted[name]}', path))
    return result


def input_name(path: Path) -> str:
    """Return what the result of an input is called: its name without what says its format."""
    name = path.resolve().name
    if path.is_dir():
        return name or 'result'
    lowered = name.lower()
    suffix = next((s for s in sorted(NAMES, key=len, reverse=True) if lowered.endswith(s)), '')
    return (name[: -len(suffix)] if suffix else path.stem) or 'result'


def _expanded(path: Path) -> list[Path]:
    if not path.exists():
        raise PlaybackError(f"there is no '{path}'")
    if not path.is_dir() or is_recording(path):
        return [path]
    return [child for child in sorted(path.iterdir()) if is_recording(child)] or [path]


def _are_repeated(names: Sequence[str]) -> bool:
    return len(set(names)) < len(names)
