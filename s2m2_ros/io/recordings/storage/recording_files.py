"""The files of a recording, opened as what they are and read as one."""

from __future__ import annotations

import bz2
import gzip
import heapq
import logging
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

import lz4.frame
import zstandard

from s2m2_ros.io.recordings.storage import mcap_file, ros1_bag, sqlite_file
from s2m2_ros.io.recordings.storage.compression import (
    BZ2_MAGIC,
    LZ4_MAGIC,
    ZSTD_MAGIC,
    is_plausible,
)
from s2m2_ros.io.recordings.storage.file_names import recording_files
from s2m2_ros.io.recordings.storage.stored_messages import StorageFile, StoredMessage, StoredTopic
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.text_safety import safe_text

_logger = logging.getLogger(__name__)

READERS: dict[bytes, Callable[[Path, Path], StorageFile]] = {
    mcap_file.MAGIC: mcap_file.McapFile,
    sqlite_file.MAGIC: sqlite_file.SqliteFile,
    ros1_bag.MAGIC: ros1_bag.Ros1Bag,
}
DECOMPRESSORS: dict[bytes, Callable[[BinaryIO], Any]] = {
    ZSTD_MAGIC: lambda file: zstandard.ZstdDecompressor().stream_reader(
        file, read_across_frames=True
    ),
    LZ4_MAGIC: lz4.frame.open,
    b'\x1f\x8b': gzip.open,
    BZ2_MAGIC: bz2.open,
    b'\xfd7zXZ': lzma.open,
}
# What the decompressors raise.
DAMAGE = (
    zstandard.ZstdError, lzma.LZMAError, zlib.error, RuntimeError, EOFError, OSError, ValueError,
    MemoryError,
)  # fmt: skip
# What else lies under such names.
STRANGERS = {
    b'version https://git-lfs': 'a git-lfs pointer, not the recording itself: run `git lfs pull`',
    b'<': 'a web page: the download probably needed a login',
    b'PK\x03\x04': 'a zip archive: unpack it first',
}
LONGEST_MAGIC = 32
# What must stay free where a compressed recording is unpacked.
DISK_RESERVE = 256 << 20
COPY_BYTES = 4 << 20


class RecordingFiles:
    """The open files of one recording, as one: topics, and messages in the order of their time."""

    def __init__(self, path: Path) -> None:
        """Open every file; compressed ones are unpacked into a temporary folder for as long.

        Of several files, those that cannot be read are skipped with a warning in the log.
        Raises PlaybackError, which names the file, what is wrong and what to do, if none can.
        """
        self._path = path
        self._stack = ExitStack()
        self._files: list[StorageFile] = []
        self._unpacked: Path | None = None
        try:
            self._open_all(recording_files(path))
        except BaseException:
            self.close()
            raise

    def topics(self) -> list[StoredTopic]:
        """Return every topic once, with the number of messages in all files."""
        found: dict[tuple[str, str], StoredTopic] = {}
        for topic in (topic for file in self._files for topic in file.topics):
            before = found.get((topic.topic, topic.type_name))
            count = topic.count + (before.count if before else 0)
            found[topic.topic, topic.type_name] = StoredTopic(
                topic.topic, topic.type_name, topic.encoding, count
            )
        return list(found.values())

    def messages(self, topics: Collection[str]) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time."""
        streams = (_timed(file, topics) for file in self._files)
        try:
            for _, message in heapq.merge(*streams, key=itemgetter(0)):
                if message is not None:
                    yield message
        except OSError as error:
            reason = error.strerror or error
            raise PlaybackError(f"cannot read on in '{self._path}': {reason}") from error

    def close(self) -> None:
        """Close the files and remove what was unpacked."""
        self._stack.close()

    def __enter__(self) -> RecordingFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_all(self, paths: Sequence[Path]) -> None:
        errors = []
        for path in paths:
            try:
                file = self._open(path)
            except PlaybackError as error:
                errors.append(error)
            else:
                self._stack.callback(file.close)
                self._files.append(file)
        if not self._files:
            raise errors[0]
        for unreadable in errors:
            _logger.warning('%s; the other files are played', unreadable)

    def _open(self, name: Path) -> StorageFile:
        path = name
        try:
            start = _start(path)
            for magic, decompress in DECOMPRESSORS.items():
                if start.startswith(magic):
                    path = self._unpack(path, decompress)
                    start = _start(path)
            for magic, reader in READERS.items():
                if start.startswith(magic):
                    return reader(path, name)
        except OSError as error:
            raise PlaybackError(f"cannot read '{name}': {error.strerror or error}") from error
        raise _no_recording(name, start)

    def _unpack(self, path: Path, decompress: Callable[[BinaryIO], Any]) -> Path:
        """Return a temporary copy of a compressed file; raises PlaybackError."""
        if self._unpacked is None:
            name = self._stack.enter_context(tempfile.TemporaryDirectory(prefix='s2m2_ros_'))
            self._unpacked = Path(name)
            _logger.info("unpacking '%s' into '%s'", path, name)
        target = self._unpacked / f'{len(list(self._unpacked.iterdir()))}_{path.stem}'
        packed_size = path.stat().st_size
        try:
            with path.open('rb') as packed, decompress(packed) as plain, target.open('wb') as out:
                while part := plain.read(COPY_BYTES):
                    if not out.tell() and not part.startswith(tuple(READERS)):
                        raise _no_recording(path, part)
                    out.write(part)
                    if not is_plausible(out.tell(), packed_size):
                        raise PlaybackError(
                            f"'{path}' is implausible: unpacked it has more than {out.tell()} "
                            f'bytes, of {packed_size}'
                        )
                    if shutil.disk_usage(self._unpacked).free < DISK_RESERVE:
                        raise PlaybackError(
                            f"no room to unpack '{path}' in '{self._unpacked}': unpack it "
                            'yourself, or set TMPDIR to a larger disk'
                        )
        except DAMAGE as error:
            raise PlaybackError(
                f"'{path}' cannot be unpacked, it is damaged or cut short ({safe_text(error)})"
            ) from error
        return target


def _timed(
    file: StorageFile, topics: Collection[str]
) -> Iterator[tuple[int, StoredMessage | None]]:
    """Yield times and messages; first a time alone, so that no file is read before its time."""
    yield file.start_ns, None
    for message in file.messages(topics):
        yield message.log_ns, message


def _start(path: Path) -> bytes:
    with path.open('rb') as file:
        return file.read(LONGEST_MAGIC)


def _no_recording(path: Path, start: bytes) -> PlaybackError:
    return PlaybackError(f"'{path}' is no recording: {_description(start)}")


def _description(start: bytes) -> str:
    if not start:
        return 'the file is empty (the recorder was killed before it wrote, or the copy failed)'
    for beginning, name in STRANGERS.items():
        if start.lstrip().lower().startswith(beginning.lower()):
            return name
    return (
        f'it begins with {start[:8]!r}, neither MCAP, SQLite nor a ROS 1 bag; it is damaged or of '
        'another kind'
    )
