"""Whether files that no metadata.yaml names belong to one recording.

They do if they follow one another as the parts of a split recording, or hold different topics of
one time, as where each camera is recorded into a file of its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from s2m2_ros.io.recordings.storage.file_names import storage_stem
from s2m2_ros.io.recordings.storage.stored_messages import StorageFile
from s2m2_ros.io.sources.stereo_frame import NANOSECONDS, PlaybackError, seconds_text

# A recorder goes on in the next file at once; what it still held may reach into both.
LONGEST_GAP_NS, LONGEST_OVERLAP_NS = 2 * NANOSECONDS, NANOSECONDS
# Recorded once, perhaps long before the images.
LATCHED_TOPICS = frozenset({'/robot_description', '/tf_static'})
# What every recorder of a robot may record, whatever else it was started for.
COMMON_TOPICS = frozenset({
    '/clock', '/diagnostics', '/events/write_split', '/parameter_events', '/rosout', '/rosout_agg'
})  # fmt: skip


class SeveralRecordingsError(PlaybackError):
    """A folder holds several recordings; says which and why they are not one.

    Attributes:
        paths: their files.
        reason: the first part of the text, without what to do.

    """

    def __init__(self, folder: Path, paths: Sequence[Path], reason: str) -> None:
        listed = ', '.join(f"'{path.name}'" for path in paths)
        self.reason = f"'{folder}' holds {len(paths)} files that are not one recording: {reason}"
        super().__init__(f'{self.reason}; name one of {listed}')
        self.paths = paths


@dataclass(frozen=True, order=True)
class _Span:
    start_ns: int
    end_ns: int
    path: Path
    is_latched: bool = False

    def reaches_into(self, after: _Span) -> bool:
        """Return whether a later part cannot begin where that one does."""
        shorter = min(self.end_ns - self.start_ns, after.end_ns - after.start_ns)
        allowed = min(LONGEST_OVERLAP_NS, shorter // 2)
        return after.start_ns == self.start_ns or self.end_ns - after.start_ns > allowed


def family(path: Path | str) -> str:
    """Return what the names of the parts of a recording share: all but suffixes and numbers."""
    return re.sub(r'\d+', '', storage_stem(Path(path).name.lower()))


def require_one_recording(
    folder: Path, paths: Sequence[Path], opened: Sequence[tuple[Path, StorageFile]]
) -> None:
    """Raise SeveralRecordingsError if files do not belong to one recording.

    ``opened`` are those that can be read; those without a message count for none.
    """
    spans, by_topic = _spans(opened)
    reason = next(
        (r for topic in sorted(by_topic) if (r := _conflict(topic, by_topic[topic]))), ''
    )
    if not reason and not _is_rosbag2(folder, paths):
        reason = _gap(spans)
    if reason:
        raise SeveralRecordingsError(folder, paths, reason)


def _spans(
    opened: Sequence[tuple[Path, StorageFile]],
) -> tuple[list[_Span], dict[str, list[_Span]]]:
    """Return when the files were recorded, sorted: all, and those that hold a topic."""
    spans: list[_Span] = []
    by_topic: dict[str, list[_Span]] = defaultdict(list)
    for path, file in opened:
        times = file.spans()
        if not times:
            continue
        names = {topic.topic for topic in file.topics if topic.count} - COMMON_TOPICS
        start, end = min(first for first, _ in times), max(last for _, last in times)
        span = _Span(start, end, path, names <= LATCHED_TOPICS)
        spans.append(span)
        for name in names - LATCHED_TOPICS:
            by_topic[name].append(span)
    return sorted(spans), {name: sorted(found) for name, found in by_topic.items()}


def _conflict(topic: str, spans: Sequence[_Span]) -> str:
    """Return why the files that hold one topic are not parts of one recording; empty if none."""
    for before, after in pairwise(spans):
        names = f"'{before.path.name}' and '{after.path.name}'"
        if before.reaches_into(after):
            start, end = after.start_ns, min(before.end_ns, after.end_ns)
            return f'{names} both hold {topic} from {seconds_text(start)} to {seconds_text(end)} s'
        if family(before.path) != family(after.path):
            return f'{names} both hold {topic}, and their names differ in more than numbers'
    return ''


def _gap(spans: Sequence[_Span]) -> str:
    """Return where nothing was recorded for a while between two files; empty if nowhere."""
    last: _Span | None = None
    for span in (span for span in spans if not span.is_latched):
        if last is not None and span.start_ns - last.end_ns > LONGEST_GAP_NS:
            length = seconds_text(span.start_ns - last.end_ns)
            return f"'{span.path.name}' begins {length} s after the end of '{last.path.name}'"
        if last is None or span.end_ns > last.end_ns:
            last = span
    return ''


def _is_rosbag2(folder: Path, paths: Sequence[Path]) -> bool:
    """Return whether the files are named as rosbag2 names those of a folder."""
    prefix = f'{folder.resolve().name}_'
    stems = [storage_stem(path.name) for path in paths]
    return all(stem.startswith(prefix) and stem[len(prefix) :].isdecimal() for stem in stems)
