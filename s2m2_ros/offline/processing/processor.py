"""Processing of inputs one after the other: plan, segments, result, record."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import s2m2_ros
from s2m2_ros.atomic_files import write_atomically, write_errors
from s2m2_ros.io.recordings.storage.file_names import is_recording
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.offline.processing.inputs import input_name
from s2m2_ros.offline.processing.options import (
    MatcherOptions,
    OutputFormat,
    ProcessOptions,
    as_json,
)
from s2m2_ros.offline.processing.report import report_page
from s2m2_ros.offline.processing.rosbag2_metadata import METADATA, metadata_text
from s2m2_ros.offline.processing.segment_worker import SegmentWorker
from s2m2_ros.offline.processing.sinks import (
    FolderSink,
    RecordingSink,
    Sink,
    recorded_channels,
)
from s2m2_ros.offline.processing.streams import Stream
from s2m2_ros.offline.processing.summary import Summary, summarized, why_nothing
from s2m2_ros.offline.processing.work_folder import WorkFolder
from s2m2_ros.pipeline import PipelineOptions, output_options
from s2m2_ros.weights import file_sha256, find_checkpoint

_logger = logging.getLogger(__name__)

# Packages whose version may change a byte of the result.
VERSIONED = ('numpy', 'torch', 'opencv-python-headless', 'mcap', 'rosbags', 'zstandard')
METADATA_NAME = 's2m2_ros'


@dataclass(frozen=True)
class Processed:
    """What became of one input.

    Attributes:
        output: the recording, or the folder of files.
        report: the page to look at.
        pairs: how many were processed.
        lost: how many could not be.
        losses: what was damaged or failed, each once.
        was_done: whether the result was there already, made from the same input in the same way.

    """

    output: Path
    report: Path
    pairs: int
    lost: int
    losses: Sequence[str] = ()
    was_done: bool = False

    @property
    def is_whole(self) -> bool:
        """Return whether nothing of the input was lost."""
        return not self.lost and not self.losses


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
        self._matcher = self.matching.open()
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
        result = _Result(output, name, self.options)
        recipe = self._recipe(stream)
        found = None if again else result.found(recipe)
        folder = output / f'.{name}.s2m2'
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
            work.resume(recipe, channels)
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
        matcher = self._matcher
        checkpoint = find_checkpoint(matcher.checkpoint) if matcher.checkpoint else None
        recipe = {
            'software': f's2m2_ros {s2m2_ros.__version__}',
            'versions': _versions(),
            'matcher': {
                **as_json(self.matching),
                'checkpoint': matcher.checkpoint,
                'checkpoint_sha256': file_sha256(checkpoint) if checkpoint else '',
                'backend': matcher.backend,
                'precision': matcher.precision,
                'device': str(matcher.device),
            },
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


class _Result:
    """The files that one input becomes."""

    def __init__(self, folder: Path, name: str, options: ProcessOptions) -> None:
        self._folder, self._name, self._options = folder, name, options
        is_mcap = options.formats == (OutputFormat.MCAP,)
        self.output = folder / (f'{name}.mcap' if is_mcap else name)
        self.record = folder / f'{name}.json'
        self.report = folder / f'{name}.html'

    def found(self, recipe: Mapping[str, Any]) -> Processed | None:
        """Return the result if it is there and was made by this recipe."""
        try:
            content = json.loads(self.record.read_text(encoding='utf-8'))
            same = content['recipe'] == recipe
            pairs, lost, losses = (content[key] for key in ('pairs', 'lost', 'losses'))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not (same and self.output.exists() and self.report.exists()):
            return None
        return Processed(self.output, self.report, pairs, lost, losses, was_done=True)

    def finish(
        self, work: WorkFolder, stream: Stream, recipe: Mapping[str, Any], summary: Summary
    ) -> Processed:
        """Give everything its final name, the record last. Raises FileWriteError."""
        page = report_page(self._name, stream, recipe, summary)
        facts = {'pairs': summary.pairs, 'lost': summary.lost, 'losses': list(summary.losses)}
        record = json.dumps({'recipe': recipe, **facts}, indent=2, sort_keys=True)
        made = self._made(work, stream, recipe)
        with write_errors(self.record):
            self.record.unlink(missing_ok=True)
        work.place(made, self.output)
        work.place_text(page, self.report)
        # The record last: with it, the result counts as done.
        work.place_text(f'{record}\n', self.record)
        return Processed(self.output, self.report, summary.pairs, summary.lost, summary.losses)

    def _made(self, work: WorkFolder, stream: Stream, recipe: Mapping[str, Any]) -> Path:
        if not self._options.writes_recording:
            return work.files
        joined = work.finish_joined({METADATA_NAME: _metadata(recipe)})
        if self._options.formats == (OutputFormat.MCAP,):
            return joined
        bag = work.path / 'bag'
        with write_errors(bag):
            shutil.rmtree(bag, ignore_errors=True)
            bag.mkdir()
            target = bag / f'{self._name}_0.mcap'
            channels = recorded_channels(stream, self._options.outputs)
            text = metadata_text(target.name, channels, work.parts())
            write_atomically(bag / METADATA, text.encode())
            try:
                # Not moved: if this run is killed, the next finds the joined file where it was.
                target.hardlink_to(joined)
            except OSError:
                joined.rename(target)
        return bag


def _metadata(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the recipe as the metadata record of an MCAP file, whose values are texts."""
    matcher = recipe['matcher']
    return {
        'software': recipe['software'],
        'checkpoint': matcher['checkpoint'],
        'checkpoint_sha256': matcher['checkpoint_sha256'],
        'backend': matcher['backend'],
        'precision': matcher['precision'],
        'device': matcher['device'],
        **{
            key: json.dumps(recipe[key], sort_keys=True)
            for key in ('matcher', 'options', 'pipeline', 'versions', 'input')
        },
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
