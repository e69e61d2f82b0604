"""What a worker does in its own process on any machine; it knows nothing of Ray."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2m2_ros.atomic_files import FileWriteError, write_errors
from s2m2_ros.errors import S2M2Error
from s2m2_ros.freed_memory import keep_freed_memory
from s2m2_ros.inference.matcher_options import MatcherOptions
from s2m2_ros.offline.processing.engine import Job, matcher_facts, open_stream
from s2m2_ros.offline.processing.segment_worker import Finished, SegmentWorker
from s2m2_ros.offline.processing.sinks import FILES, make_sink
from s2m2_ros.offline.processing.storage import RemoteFolder, local_copy
from s2m2_ros.offline.processing.streams import Segment, Stream


@dataclass(frozen=True)
class Opened:
    """A worker that is ready: its machine, and what results depend on."""

    node: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Failed:
    """What is wrong, for people; ``is_write`` if it is with the output."""

    text: str
    is_write: bool = False


@dataclass(frozen=True)
class Attempt:
    """Where one attempt at a segment is written.

    Attributes:
        folder: of this attempt alone: a path that all machines see, or a URL.
        is_remote: whether it is a URL.
        witness: a file that every machine must see, and its content; without one for a URL.

    """

    folder: str
    is_remote: bool
    witness: tuple[str, str] = ('', '')


class RemoteWorker:
    """Holds a matcher, and the input that was worked on last."""

    def __init__(self, matching: MatcherOptions, threads: int) -> None:
        """Take how pairs are matched, and how many cores that may use."""
        self._matching, self._threads = matching, threads
        self._opened = ExitStack()
        self._stream: tuple[str, Stream] | None = None

    def open(self) -> Opened | Failed:
        """Open the matcher."""
        import cv2
        import torch

        keep_freed_memory()
        torch.set_num_threads(self._threads)
        cv2.setNumThreads(self._threads)
        try:
            # As this machine resolves it.
            self._matching = self._matching.resolved()
            self._matcher = self._matching.open()
        except S2M2Error as error:
            return Failed(f'on {node_name()}: {error}')
        return Opened(node_name(), matcher_facts(self._matcher, self._matching))

    def work(self, job: Job, segment: Segment, attempt: Attempt) -> Finished | Failed:
        """Write one segment into the folder of the attempt."""
        try:
            return self._work(job, segment, attempt)
        except S2M2Error as error:
            return Failed(f'on {node_name()}: {error}', isinstance(error, FileWriteError))

    def _work(self, job: Job, segment: Segment, attempt: Attempt) -> Finished:
        stream = self._stream_of(job)
        if attempt.is_remote:
            with tempfile.TemporaryDirectory(prefix='s2m2_ros_') as name:
                finished = self._written(job, stream, segment, Path(name))
                RemoteFolder(attempt.folder).put(Path(name), '')
            return finished
        _check_witness(*attempt.witness)
        folder = Path(attempt.folder)
        with write_errors(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        return self._written(job, stream, segment, folder)

    def _written(self, job: Job, stream: Stream, segment: Segment, folder: Path) -> Finished:
        with write_errors(folder):
            (folder / FILES).mkdir()
        sink = make_sink(stream, job.options, folder)
        worker = SegmentWorker(stream, self._matcher, job.pipeline, sink, job.options.batch)
        done: list[Finished] = []
        worker.run([segment], finished=done.append)
        return done[0]

    def _stream_of(self, job: Job) -> Stream:
        """Return the input, opened once for segments that follow each other."""
        key = json.dumps([job.source, dict(job.fingerprint)], sort_keys=True) + repr(job.options)
        if self._stream is not None and self._stream[0] == key:
            return self._stream[1]
        self._opened.close()
        self._stream = None
        path = self._opened.enter_context(local_copy(job.source))
        stream = open_stream(path, job.options)
        self._opened.callback(stream.close)
        if json.loads(json.dumps(stream.fingerprint())) != job.fingerprint:
            raise S2M2Error(f"'{job.source}' is another file than on the machine that asks for it")
        self._stream = (key, stream)
        return stream


def node_name() -> str:
    """Return the name of this machine and the number of the process."""
    return f'{socket.gethostname()} (process {os.getpid()})'


def _check_witness(path: str, content: str) -> None:
    try:
        found = Path(path).read_text(encoding='utf-8')
    except OSError:
        found = ''
    if found != content:
        raise FileWriteError(
            f"'{Path(path).parent.parent}' is not the folder that the other machines see under "
            'this name: take a folder that all of them share, or a URL such as s3://BUCKET/FOLDER'
        )
