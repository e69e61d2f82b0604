"""The files of pairs: written segment by segment, then joined under the names of their pairs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from s2m2_ros.atomic_files import write_atomically, write_errors

NAMES = 'names.json'

NamedPair = tuple[str, str]
"""Namespace and name of a pair."""


def segment_name(number: int) -> str:
    """Return the name of the folder of a segment."""
    return f'{number:06d}'


def write_names(folder: Path, pairs: Sequence[NamedPair]) -> None:
    """Say in the folder of a segment which pairs its numbered files are of."""
    with write_errors(folder):
        write_atomically(folder / NAMES, json.dumps(pairs).encode())


def join_segments(folder: Path, target: Path) -> int:
    """Move the files of all segments in a folder into one folder; return how many were renamed.

    OUTPUT/NUMBER.png of a segment becomes NAMESPACE/OUTPUT/NAME.png. Of several pairs of one
    name, as cameras with a wrong clock have them, the later ones get a number: NAME_2.png. Goes
    on where an earlier call was interrupted. Raises FileWriteError.
    """
    seen: Counter[NamedPair] = Counter()
    with write_errors(target):
        target.mkdir(exist_ok=True)
        for segment in sorted(path for path in folder.iterdir() if path.is_dir()):
            names = []
            for namespace, name in json.loads((segment / NAMES).read_bytes()):
                seen[namespace, name] += 1
                count = seen[namespace, name]
                names.append((namespace, name if count == 1 else f'{name}_{count}'))
            _move(segment, names, target)
    return sum(count - 1 for count in seen.values())


def _move(segment: Path, names: Sequence[NamedPair], target: Path) -> None:
    for output in sorted(path for path in segment.iterdir() if path.is_dir()):
        for file in sorted(output.iterdir()):
            namespace, name = names[int(file.stem)]
            place = target / namespace / output.name / f'{name}{file.suffix}'
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
