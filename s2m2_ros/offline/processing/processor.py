"""Processing of inputs: plan, segments, result, record."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from s2m2_ros.atomic_files import FileWriteError
from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference.matcher_options import MatcherOptions
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.offline.processing.decoding_check import require_pairs
from s2m2_ros.offline.processing.engine import Engine, EngineError, Job, LocalEngine, open_stream
from s2m2_ros.offline.processing.inputs import input_name, named_inputs
from s2m2_ros.offline.processing.options import ProcessOptions, as_json
from s2m2_ros.offline.processing.result_channels import recorded_channels
from s2m2_ros.offline.processing.results import Processed, Result
from s2m2_ros.offline.processing.storage import RemoteFolder, is_url, local_copy, staging_folder
from s2m2_ros.offline.processing.streams import Stream
from s2m2_ros.offline.processing.summary import summarized, why_nothing
from s2m2_ros.offline.processing.work_folder import WorkFolder
from s2m2_ros.pipeline import PipelineOptions, output_options

if TYPE_CHECKING:
    from s2m2_ros.offline.distribution.options import ClusterOptions

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far an input is: pairs of about so many, and how many of them an earlier run did."""

    name: str
    done: int
    expected: int
    resumed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of one of several inputs: a result, or the error that prevented it."""

    source: Path | str
    result: Processed | None = None
    error: S2M2Error | None = None


@dataclass
class Processor:
    """Processes recordings, folders of pairs and videos; a context manager.

    Attributes:
        matching: how pairs are matched.
        options: what is read and written.
        pipeline: everything that may change from pair to pair; by default as in the node.
        progress: called as pairs are done, in other threads.
        cluster: work in a cluster of Ray; None: with one matcher in this process.

    """

    matching: MatcherOptions = field(default_factory=MatcherOptions)
    options: ProcessOptions = field(default_factory=ProcessOptions)
    pipeline: PipelineOptions = field(
        default_factory=lambda: PipelineOptions(outputs=output_options())
    )
    progress: Callable[[Progress], None] = lambda _: None
    cluster: ClusterOptions | None = None

    def __post_init__(self) -> None:
        if self.pipeline.temporal.mode == 'tf' and not self.options.temporal_fixed_frame:
            raise S2M2Error(
                f'the temporal filter needs {self.options.names("temporal_fixed_frame")}, a frame '
                'that stands still, e.g. odom, to follow the camera by recorded transforms'
            )
        for path in self.options.calibration:
            if not path.expanduser().exists():
                raise S2M2Error(f"{self.options.names('calibration')}: there is no '{path}'")

    def __enter__(self) -> Processor:
        self._engine: Engine
        if self.cluster is None:
            self._engine = LocalEngine(self.matching)
        else:
            from s2m2_ros.offline.distribution.ray_engine import RayEngine

            self._engine = RayEngine(self.matching, self.cluster)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._engine.close()

    def process_all(
        self,
        inputs: Sequence[Path | str | tuple[str, Path | str]],
        output: Path | str,
        *,
        again: bool = False,
    ) -> Iterator[Outcome]:
        """Process inputs, in a cluster several side by side; yield outcomes in their order.

        Each is a path or URL, for which the recordings in it are found and named as `find_inputs`
        does, or a pair of a name for the result and the input. Raises what is no fault of one
        input: PlaybackError for what is not there, FileWriteError and EngineError.
        """

        def outcome(item: tuple[str, Path | str]) -> Outcome:
            name, source = item
            try:
                return Outcome(source, self.process(source, output, name, again=again))
            except (FileWriteError, EngineError):
                raise
            except S2M2Error as error:
                return Outcome(source, error=error)

        named = named_inputs(inputs, output)
        if self._engine.inputs_at_once == 1:
            yield from map(outcome, named)
            return
        threads = ThreadPoolExecutor(self._engine.inputs_at_once, 'input')
        try:
            yield from threads.map(outcome, named)
        except BaseException:
            # What runs ends by the error that this gives it.
            self._engine.close()
            raise
        finally:
            threads.shutdown(cancel_futures=True)

    def process(
        self, source: Path | str, output: Path | str, name: str = '', *, again: bool = False
    ) -> Processed:
        """Process one input into a folder, and return what became of it.

        Both may be URLs that fsspec opens. Goes on where an earlier call was interrupted. ``name``
        is that of the result, by default the input's; ``again`` processes what is done already.
        Raises S2M2Error if nothing can be read of the input, or the result cannot be written.
        """
        name = name or input_name(source)
        remote = RemoteFolder(str(output)) if is_url(output) else None
        with local_copy(source) as path:
            stream = open_stream(path, self.options)
            try:
                origin = str(source) if is_url(source) else str(path.resolve())
                result = Result(staging_folder(output), name, self.options, remote, origin)
                return self._process(stream, str(source), path, result, again=again)
            finally:
                stream.close()

    def _process(
        self, stream: Stream, source: str, path: Path, result: Result, *, again: bool
    ) -> Processed:
        for remark in stream.remarks:
            _logger.warning("'%s': %s", source, remark)
        losses = _LossLog(source)
        fingerprint = stream.fingerprint()
        result.check(path, fingerprint)
        recipe = self._recipe(fingerprint)
        found = None if again else result.found(recipe)
        if found is not None:
            losses.say(found.losses)
            if not result.work.exists():
                return found
        else:
            losses.say(stream.losses)
            require_pairs(stream, source)
        with WorkFolder(result.work, lambda facts: losses.say(facts.damage)) as work:
            # Once more: another process may have finished in between.
            result.check(path, fingerprint)
            if found is not None:
                # Killed while the folder was removed.
                work.remove()
                return found
            channels = None
            if self.options.writes_recording:
                channels = recorded_channels(stream, self.options.outputs)
            done = work.resume(recipe, channels, result.source)
            if done:
                _logger.info(
                    "'%s': %d of %d segments are done", source, done, len(stream.segments)
                )
            job = Job(source, self.options, self.pipeline, fingerprint, result.shared_attempts)
            with _finished_stays():
                self._work(job, stream, work, result.name)
            # What is damaged in segments is noted with them.
            stream.take_damage()
            records = stream.records()
            summary = summarized(work.facts(), [*stream.losses, *stream.take_damage()])
            if not summary.pairs:
                work.discard()
                raise PlaybackError(f"'{source}': {why_nothing(summary)}")
            losses.say(summary.losses)
            with _finished_stays():
                finished = result.finish(work, stream, recipe, summary, records)
            work.remove()
        return finished

    def _work(self, job: Job, stream: Stream, work: WorkFolder, name: str) -> None:
        done = resumed = sum(
            len(rig.pairs) + rig.failed for facts in work.facts() for rig in facts.rigs
        )

        def processed(count: int) -> None:
            nonlocal done
            done += count
            self.progress(Progress(name, done, stream.expected_pairs, resumed))

        waiting = work.waiting(stream.segments)
        if waiting:
            self._engine.run(job, stream, waiting, work, processed)

    def _recipe(self, fingerprint: dict[str, Any]) -> dict[str, Any]:
        """Return everything that the result depends on, as JSON values."""
        recipe = {
            **self._engine.matcher_facts(),
            'options': as_json(self.options),
            'pipeline': as_json(self.pipeline),
            'input': fingerprint,
        }
        # As it is read back.
        return dict(json.loads(json.dumps(recipe)))


@contextmanager
def _finished_stays() -> Iterator[None]:
    """Say with an error of writing that the work is not lost."""
    try:
        yield
    except FileWriteError as error:
        raise FileWriteError(
            f'{error}; what is finished stays, and the same call goes on from there'
        ) from error


class _LossLog:
    """Says in the log what is lost of an input, each once."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._said: set[str] = set()

    def say(self, losses: Iterable[str]) -> None:
        for text in losses:
            if text not in self._said:
                self._said.add(text)
                _logger.warning("'%s': %s", self._source, text)
