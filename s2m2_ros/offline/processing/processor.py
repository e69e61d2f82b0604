"""Processing of inputs one after the other: plan, segments, result, record."""

from __future__ import annotations

import importlib.metadata
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from s2m2_ros.inference.matcher_options import MatcherOptions
from s2m2_ros.io.recordings.storage.file_names import is_recording
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.offline.processing.inputs import input_name
from s2m2_ros.offline.processing.options import ProcessOptions, as_json
from s2m2_ros.offline.processing.results import Processed, Result
from s2m2_ros.offline.processing.segment_worker import SegmentWorker
from s2m2_ros.offline.processing.sinks import (
    FolderSink,
    RecordingSink,
    Sink,
    recorded_channels,
)
from s2m2_ros.offline.processing.streams import Stream
from s2m2_ros.offline.processing.summary import summarized, why_nothing
from s2m2_ros.offline.processing.work_folder import WorkFolder
from s2m2_ros.offline.result_record import Recipe
from s2m2_ros.pipeline import PipelineOptions, output_options

_logger = logging.getLogger(__name__)

# Packages whose version may change a byte of the result.
VERSIONED = ('numpy', 'torch', 'opencv-python-headless', 'mcap', 'rosbags', 'zstandard')


@dataclass(frozen=True)
class Progress:
    """How far an input is: pairs of about so many, and how many of them an earlier run did."""

    name: str
    done: int
    expected: int
    resumed: int = 0


@dataclass
class Processor:
    """Processes recordings, folders of pairs and videos with one matcher; a context manager.

    Attributes:
        matching: how pairs are matched.
        options: what is read and written.
        pipeline: everything that may change from pair to pair; by default as in the node.
        progress: called after each pair, in a thread of its own.

    """

    matching: MatcherOptions = field(default_factory=MatcherOptions)
    options: ProcessOptions = field(default_factory=ProcessOptions)
    pipeline: PipelineOptions = field(
        default_factory=lambda: PipelineOptions(outputs=output_options())
    )
    progress: Callable[[Progress], None] = lambda _: None

    def __enter__(self) -> Processor:
        self._matching = self.matching.resolved()
        self._matcher = self._matching.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._matcher.close()

    def process(
        self, path: Path, output: Path, name: str = '', *, again: bool = False
    ) -> Processed:
        """Process one input into a folder, and return what became of it.

        Goes on where an earlier call was interrupted. ``name`` is that of the result, by default
        the input's; ``again`` processes what is done already. Raises S2M2Error if nothing can be
        read of the input, or the result cannot be written.
        """
        name = name or input_name(path)
        stream = open_stream(path, self.options)
        try:
            return self._process(stream, path, output, name, again=again)
        finally:
            stream.close()

    def _process(
        self, stream: Stream, path: Path, output: Path, name: str, *, again: bool
    ) -> Processed:
        for remark in stream.remarks:
            _logger.info("'%s': %s", path, remark)
        result = Result(output, name, self.options)
        folder = output / f'.{name}.s2m2'
        result.check(path, is_begun=folder.exists())
        recipe = self._recipe(stream)
        found = None if again else result.found(recipe)
        if found is not None and not folder.exists():
            return found
        with WorkFolder(folder) as work:
            if found is not None:
                # Killed while the folder was removed.
                work.remove()
                return found
            channels = None
            if self.options.writes_recording:
                channels = recorded_channels(stream, self.options.outputs)
            done = work.resume(recipe, channels)
            if done:
                _logger.info("'%s': %d of %d segments are done", path, done, len(stream.segments))
            self._work(stream, work, name)
            summary = summarized(work.facts(), stream.losses)
            if not summary.pairs:
                raise PlaybackError(f"'{path}': {why_nothing(summary)}")
            finished = result.finish(work, stream, recipe, summary)
            work.remove()
        return finished

    def _work(self, stream: Stream, work: WorkFolder, name: str) -> None:
        done = resumed = sum(
            len(rig.pairs) + rig.failed for facts in work.facts() for rig in facts.rigs
        )

        def processed() -> None:
            nonlocal done
            done += 1
            self.progress(Progress(name, done, stream.expected_pairs, resumed))

        waiting = work.waiting(stream.segments)
        if waiting:
            sink = self._sink(stream, work)
            worker = SegmentWorker(stream, self._matcher, self.pipeline, sink)
            worker.run(waiting, finished=work.finish_segment, processed=processed)

    def _sink(self, stream: Stream, work: WorkFolder) -> Sink:
        if self.options.writes_recording:
            return RecordingSink(stream, self.options, work.part_path)
        return FolderSink(stream, self.options, work.files)

    def _recipe(self, stream: Stream) -> dict[str, Any]:
        """Return everything that the result depends on, as JSON values."""
        opened = Recipe.of_matcher(self._matcher, {}).to_json()
        recipe = {
            'software': opened['software'],
            'versions': _versions(),
            'matcher': {**as_json(self._matching), **as_json(opened['matcher'])},
            'options': as_json(self.options),
            'pipeline': as_json(self.pipeline),
            'input': stream.fingerprint(),
        }
        # As it is read back.
        return dict(json.loads(json.dumps(recipe)))


def open_stream(path: Path, options: ProcessOptions) -> Stream:
    """Return the pairs of an input; raises S2M2Error."""
    from s2m2_ros.offline.processing.file_stream import FileStream
    from s2m2_ros.offline.processing.recorded_stream import RecordedStream

    if not path.exists():
        raise PlaybackError(f"there is no '{path}'")
    if is_recording(path):
        return RecordedStream(path, options, options.outputs)
    return FileStream(path, options)


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
