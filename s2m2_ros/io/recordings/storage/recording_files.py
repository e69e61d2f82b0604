"""The files of a recording, opened as what they are and read as one."""

from __future__ import annotations

import heapq
import logging
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

from s2m2_ros.io.recordings.storage import mcap_file, mcap_summary, ros1_bag, sqlite_file
from s2m2_ros.io.recordings.storage.damage_log import DamageLog
from s2m2_ros.io.recordings.storage.file_groups import require_one_recording
from s2m2_ros.io.recordings.storage.file_names import METADATA, Stated, recording_files
from s2m2_ros.io.recordings.storage.stored_messages import (
    ALWAYS,
    StorageFile,
    StoredMessage,
    StoredRecord,
    StoredTopic,
    TimeWindow,
)
from s2m2_ros.io.recordings.storage.unpacking import DECOMPRESSORS, NotBegunError, Unpacked, unpack
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.text_safety import safe_text

_logger = logging.getLogger(__name__)

# Each takes a path, the name for people, what takes note of damage, and whether more of it could
# not be unpacked.
READERS: dict[bytes, Callable[[Path, Path, DamageLog, bool], StorageFile]] = {
    mcap_summary.MAGIC: mcap_file.McapFile,
    sqlite_file.MAGIC: sqlite_file.SqliteFile,
    ros1_bag.MAGIC: ros1_bag.Ros1Bag,
}
# What else lies under such names.
STRANGERS = {
    b'version https://git-lfs': 'a git-lfs pointer, not the recording itself: run `git lfs pull`',
    b'<': 'a web page: the download probably needed a login',
    b'PK\x03\x04': 'a zip archive: unpack it first',
}
# A tar archive says what it is behind its first name.
TAR, TAR_AT = b'ustar', 257
LONGEST_MAGIC = TAR_AT + len(TAR)


class RecordingFiles:
    """The open files of one recording, as one: topics, and messages in the order of their time."""

    def __init__(self, path: Path, *, is_reporting: bool = True) -> None:
        """Open every file; compressed ones are unpacked into a temporary folder for as long.

        Of several files, those that are missing or cannot be read are skipped; what is missing,
        damaged or lost is logged as a warning if ``is_reporting``, and given by `take_damage`.
        Raises PlaybackError, which names the file, what is wrong and what to do, if none can, and
        SeveralRecordingsError for a folder whose files are not parts of one recording.
        """
        self._log_level = logging.WARNING if is_reporting else logging.DEBUG
        self._path = path
        self._stack = ExitStack()
        self._files: list[StorageFile] = []
        self._unpacked: Path | None = None
        self._unreadable: list[str] = []
        self._noted: list[str] = []
        self._is_noted = False
        try:
            found = recording_files(path)
            opened = self._open_all(found.files, found.stated)
            if len(found.files) > 1 and not found.are_named:
                require_one_recording(path, found.files, opened)
            if is_reporting and path.is_dir() and not (path / METADATA).is_file():
                _logger.info("'%s' has no metadata.yaml (recorder killed?): not needed", path)
            if found.others:
                others = safe_text(', '.join(file.name for file in found.others))
                text = "'%s': metadata.yaml does not name %s: not read"
                _logger.log(self._log_level, text, path, others)
            for text in found.missing:
                self._report_file(text)
        except BaseException:
            self.close()
            raise

    def topics(self) -> list[StoredTopic]:
        """Return every topic once, with the number of messages in all files."""
        found: dict[tuple[str, str], StoredTopic] = {}
        for topic in (topic for file in self._files for topic in file.topics):
            before = found.get((topic.topic, topic.type_name))
            count = topic.count + (before.count if before else 0)
            found[topic.topic, topic.type_name] = replace(topic, count=count)
        return list(found.values())

    def channels(self) -> list[StoredTopic]:
        """Return every channel once, with the number of messages in all files.

        One topic has several if what is recorded of it besides the messages differs.
        """
        found: dict[StoredTopic, int] = {}
        for topic in (topic for file in self._files for topic in file.topics):
            found[topic.channel] = found.get(topic.channel, 0) + topic.count
        return [replace(channel, count=count) for channel, count in found.items()]

    def records(self) -> Iterator[StoredRecord]:
        """Yield the attachments and metadata records of all files."""
        for file in self._files:
            yield from file.records()

    def messages(
        self, topics: Collection[str], window: TimeWindow = ALWAYS
    ) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time."""
        streams = (_timed(file, topics, window) for file in self._files)
        try:
            for _, message in heapq.merge(*streams, key=itemgetter(0)):
                if message is not None:
                    yield message
        except OSError as error:
            reason = error.strerror or error
            raise PlaybackError(f"cannot read on in '{self._path}': {reason}") from error

    def spans(self) -> list[tuple[int, int]]:
        """Return first and last time of the parts that can be read for themselves, sorted."""
        return sorted(span for file in self._files for span in file.spans())

    def take_damage(self) -> list[str]:
        """Return what was found damaged since the last call, each text once."""
        found = {*self._unreadable, *self._noted}
        found.update(*(file.damage.take() for file in self._files))
        self._unreadable, self._noted = [], []
        return sorted(found)

    def note_damage(self, text: str) -> None:
        """Take note of damage that showed in the content of a message; the first is logged."""
        if not self._is_noted:
            self._is_noted = True
            _logger.log(
                self._log_level, "'%s': %s; damaged messages are skipped", self._path, text
            )
        self._noted.append(text)

    def close(self) -> None:
        """Close the files and remove what was unpacked."""
        self._stack.close()

    def __enter__(self) -> RecordingFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_all(
        self, paths: Sequence[Path], stated: Mapping[Path, Stated]
    ) -> list[tuple[Path, StorageFile]]:
        """Return the files that can be read; raises PlaybackError if none can."""
        errors: list[tuple[Path, PlaybackError]] = []
        opened = []
        for path in paths:
            reported = len(self._unreadable)
            try:
                file = self._open(path)
            except PlaybackError as error:
                errors.append((path, error))
            else:
                self._stack.callback(file.close)
                self._files.append(file)
                opened.append((path, file))
                # Where nothing is damaged, metadata.yaml may be that of what the file was made of.
                if file.damage.is_noted or len(self._unreadable) > reported:
                    self._check_count(path, file, stated.get(path))
        if not self._files:
            raise errors[0][1]
        for path, unreadable in errors:
            known = stated.get(path)
            lost = f'; metadata.yaml names it with {known}, which are lost' if known else ''
            self._report_file(f'{unreadable}{lost}; the other files are read')
        return opened

    def _check_count(self, path: Path, file: StorageFile, stated: Stated | None) -> None:
        """Report how many messages a file lacks of those that metadata.yaml says to be in it."""
        count = sum(topic.count for topic in file.topics)
        if stated is not None and count < stated.count:
            self._report_file(
                f"'{path}' holds {count} messages that can be read, metadata.yaml names it with "
                f'{stated}: {stated.count - count} are lost'
            )

    def _report_file(self, text: str) -> None:
        self._unreadable.append(text)
        _logger.log(self._log_level, '%s', text)

    def _open(self, name: Path) -> StorageFile:
        found = Unpacked(name)
        try:
            start = _start(name)
            if start.startswith(tuple(DECOMPRESSORS)):
                found = self._unpack(name)
                start = _start(found.path)
            for magic, reader in READERS.items():
                if start.startswith(magic):
                    damage = DamageLog(name, self._log_level)
                    file = reader(found.path, name, damage, bool(found.lost))
                    break
            else:
                raise _no_recording(name, start)
        except OSError as error:
            raise PlaybackError(f"cannot read '{name}': {error.strerror or error}") from error
        except NotBegunError as error:
            raise _no_recording(name, error.start) from error
        if found.lost:
            self._report_file(
                f"'{name}' is damaged or cut short ({found.lost}): what is readable of the first "
                f'{found.path.stat().st_size} bytes, as unpacked, is read'
            )
        return file

    def _unpack(self, path: Path) -> Unpacked:
        """Unpack a compressed file into a temporary folder; raises PlaybackError."""
        if self._unpacked is None:
            name = self._stack.enter_context(tempfile.TemporaryDirectory(prefix='s2m2_ros_'))
            self._unpacked = Path(name)
            _logger.info("unpacking '%s' into '%s'", path, name)
        target = self._unpacked / f'{len(list(self._unpacked.iterdir()))}_{path.stem}'
        return unpack(path, target, lambda start: start.startswith(tuple(READERS)))


def _timed(
    file: StorageFile, topics: Collection[str], window: TimeWindow
) -> Iterator[tuple[int, StoredMessage | None]]:
    """Yield times and messages; first a time alone, so that no file is read before its time."""
    yield file.start_ns, None
    for message in file.messages(topics, window):
        yield message.log_ns, message


def _start(path: Path) -> bytes:
    with path.open('rb') as file:
        return file.read(LONGEST_MAGIC)


def _no_recording(path: Path, start: bytes) -> PlaybackError:
    return PlaybackError(f"'{path}' is no recording: {_description(start)}")


def _description(start: bytes) -> str:
    if not start:
        return 'the file is empty (the recorder was killed before it wrote, or the copy failed)'
    if start.startswith(TAR, TAR_AT):
        return 'a tar archive: unpack it first'
    for beginning, name in STRANGERS.items():
        if start.lstrip().lower().startswith(beginning.lower()):
            return name
    return (
        f'it begins with {start[:8]!r}, neither MCAP, SQLite nor a ROS 1 bag; it is damaged or of '
        'another kind'
    )
