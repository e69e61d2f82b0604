"""The state of an unfinished result: which segments are done, and where their parts are.

A segment is done when the file of its facts is there, which is written after its part. Parts are
joined in order, and each is removed once the joined file holds it, so the disk needs little more
room than the result takes.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from s2m2_ros.atomic_files import TEMPORARY_PREFIX, FileWriteError, write_atomically, write_errors
from s2m2_ros.io.recordings.storage.stored_messages import StoredRecord
from s2m2_ros.offline.processing.mcap_parts import JoinedFile, RecordedChannel
from s2m2_ros.offline.processing.pair_files import join_segments
from s2m2_ros.offline.processing.part_index import PartIndex
from s2m2_ros.offline.processing.segment_facts import SegmentFacts
from s2m2_ros.offline.processing.segment_worker import Finished
from s2m2_ros.offline.processing.sinks import FILES, part_name
from s2m2_ros.offline.processing.streams import Segment

PLAN = 'plan.json'
LOCK = 'lock'
JOINED = 'joined.mcap'
JOINED_FILES = 'joined'
ATTEMPTS = 'attempts'
OLD = 'old'


class WorkFolder:
    """A folder beside the result that is for one process at a time; a context manager."""

    def __init__(
        self, folder: Path, finished: Callable[[SegmentFacts], None] = lambda _: None
    ) -> None:
        """Take the folder; it is made when entered. ``finished`` is called for each segment."""
        self.path = folder
        self._finished = finished
        self._facts: dict[int, SegmentFacts] = {}
        self._parts: dict[int, PartIndex] = {}
        self._joined: JoinedFile | None = None
        self._appended = 0

    def __enter__(self) -> WorkFolder:
        self._is_parent_new = not self.path.parent.exists()
        with write_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / LOCK).open('w')
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise FileWriteError(
                f"another process is at work on '{self.path}': wait for it, or take another "
                'folder for the output'
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def resume(
        self,
        recipe: Mapping[str, Any],
        channels: Sequence[RecordedChannel] | None,
        source: str = '',
    ) -> int:
        """Keep what was done by this recipe, remove what was not; return how many segments are.

        ``channels``: those of the joined file; None if there is none. ``source`` says where the
        input is. Raises FileWriteError.
        """
        with write_errors(self.path):
            if plan_in(self.path).get('recipe') != recipe:
                self._clear()
                text = json.dumps({'recipe': recipe, 'source': source}, sort_keys=True)
                write_atomically(self.path / PLAN, text.encode())
            for left_over in self.path.glob(f'{TEMPORARY_PREFIX}*'):
                left_over.unlink()
            shutil.rmtree(self.attempts, ignore_errors=True)
            if channels is not None:
                self._joined = JoinedFile(self.path / JOINED, channels)
            self._load()
            if channels is None and not (self._files.is_dir() or self._is_joined):
                # New, or killed after the files had got their final name.
                self._forget(list(self._facts))
                self._files.mkdir()
            self._restart_joined()
        return len(self._facts)

    def waiting(self, segments: Sequence[Segment]) -> list[Segment]:
        """Return the segments that are not done."""
        return [segment for segment in segments if segment.number not in self._facts]

    @property
    def attempts(self) -> Path:
        """Return the folder in which others write segments, each in a folder of its own."""
        return self.path / ATTEMPTS

    def adopt(self, attempt: Path, finished: Finished) -> None:
        """Take a segment that was written into a folder like this one; raises FileWriteError."""
        with write_errors(self.path):
            for file in sorted(path for path in attempt.rglob('*') if path.is_file()):
                target = self.path / file.relative_to(attempt)
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)
            shutil.rmtree(attempt, ignore_errors=True)
        self.finish_segment(finished)

    def finish_files(self) -> tuple[Path, int]:
        """Join the files of all segments; return the folder, and how many files were renamed.

        See `join_segments`. Raises FileWriteError.
        """
        target, renamed = self.path / JOINED_FILES, 0
        if self._files.is_dir():
            renamed = join_segments(self._files, target)
            with write_errors(self.path):
                shutil.rmtree(self.path / OLD, ignore_errors=True)
                # At once: without it, the joined files are whole.
                self._files.rename(self.path / OLD)
        return target, renamed

    @property
    def _files(self) -> Path:
        """Return the folder for the files of pairs, segment by segment."""
        return self.path / FILES

    def finish_segment(self, finished: Finished) -> None:
        """Take note that a segment is written; raises FileWriteError."""
        number = finished.segment.number
        content = {
            'facts': finished.facts.to_json(),
            'part': None if finished.part is None else vars(finished.part),
        }
        path = self._facts_path(number)
        with write_errors(path):
            write_atomically(path, json.dumps(content).encode())
        self._facts[number] = finished.facts
        self._finished(finished.facts)
        if finished.part is not None:
            self._parts[number] = finished.part
            self._append_ready()

    def facts(self) -> list[SegmentFacts]:
        """Return the facts of all segments that are done, in order."""
        return [self._facts[number] for number in sorted(self._facts)]

    def parts(self) -> list[PartIndex]:
        """Return the indexes of all parts, in order."""
        return [self._parts[number] for number in sorted(self._parts)]

    @property
    def _is_joined(self) -> bool:
        return (self.path / JOINED_FILES).is_dir()

    def finish_joined(self, records: Sequence[StoredRecord]) -> Path:
        """Complete the joined file with these records and return it. Raises FileWriteError."""
        path = self.path / JOINED
        with write_errors(path):
            self._joining.start(self.parts())
            self._joining.finish(self.parts(), records)
        return path

    def place(self, result: Path, target: Path) -> None:
        """Give a file or folder in here its final name, in place of what has it.

        What is interrupted in between leaves something in here only. Raises FileWriteError.
        """
        with write_errors(target):
            if target.is_dir() or (result.is_dir() and target.exists()):
                old = self.path / OLD
                shutil.rmtree(old, ignore_errors=True)
                target.rename(old)
            result.replace(target)

    def place_text(self, text: str, target: Path) -> None:
        """Write a text file under its final name, in place of what has it; see `place`."""
        made = self.path / f'{TEMPORARY_PREFIX}{target.name}'
        with write_errors(target):
            # Names of files may hold what is no text.
            write_atomically(made, text.encode(errors='backslashreplace'))
        self.place(made, target)

    def remove(self) -> None:
        """Remove the folder: the result is in its place."""
        shutil.rmtree(self.path, ignore_errors=True)

    def discard(self) -> None:
        """Remove the folder, and the one around it if that was made for it: nothing is left."""
        self.remove()
        if self._is_parent_new:
            with suppress(OSError):
                self.path.parent.rmdir()

    @property
    def _joining(self) -> JoinedFile:
        if self._joined is None:
            raise ValueError('nothing is joined here')
        return self._joined

    def _clear(self) -> None:
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()

    def _load(self) -> None:
        """Read which segments are done; what is not whole is removed."""
        for path in sorted(self.path.glob('segment-*.json')):
            content = _read_json(path)
            if content is None:
                path.unlink()
                continue
            number = int(path.stem.partition('-')[2])
            self._facts[number] = SegmentFacts.from_json(content['facts'])
            if content['part']:
                self._parts[number] = PartIndex(**content['part'])

    def _restart_joined(self) -> None:
        """Cut the joined file after the last part that is only there, and forget lost parts."""
        if self._joined is None:
            return
        size, needed = self._joined.size(), len(self._joined.head)
        self._appended = 0
        while (part := self._parts.get(self._appended)) is not None:
            needed += part.length
            if self._is_there(self._appended) or needed > size:
                break
            self._appended += 1
        self._forget(n for n in [*self._parts] if n >= self._appended and not self._is_there(n))
        self._joined.start([self._parts[n] for n in range(self._appended)])
        self._append_ready()

    def _forget(self, numbers: Iterable[int]) -> None:
        """Have segments done again."""
        for number in numbers:
            del self._facts[number]
            self._parts.pop(number, None)
            self._facts_path(number).unlink()

    def _append_ready(self) -> None:
        """Join the parts that are next in order, and remove them."""
        joined = self._joining
        while (part := self._parts.get(self._appended)) is not None:
            path = self._part(self._appended)
            with write_errors(self.path / JOINED):
                joined.append(path, part)
                path.unlink()
            self._appended += 1

    def _is_there(self, number: int) -> bool:
        path = self._part(number)
        return path.is_file() and path.stat().st_size == self._parts[number].size

    def _part(self, number: int) -> Path:
        return self.path / part_name(number)

    def _facts_path(self, number: int) -> Path:
        return self.path / f'segment-{number:06d}.json'


def plan_in(folder: Path) -> dict[str, Any]:
    """Return recipe and source of the unfinished result in a folder; empty if there is none."""
    content = _read_json(folder / PLAN)
    return content if isinstance(content, dict) else {}


def _read_json(path: Path) -> Any:
    """Return the content of a file; None if it is not there or not whole."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
