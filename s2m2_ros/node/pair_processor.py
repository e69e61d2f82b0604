"""What the worker does with pairs: decode, run the pipeline, publish, count, examine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError, RigidTransform
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.messages.output_topics import CLOUDS, MessageSource, needed_outputs
from s2m2_ros.msg import InferenceStats
from s2m2_ros.node.batching import BatchMatcher, Outcome, size_of
from s2m2_ros.node.device_memory import peak_device_memory
from s2m2_ros.node.faults import DropCause, DropError, Fault
from s2m2_ros.node.job import CameraPort, Job
from s2m2_ros.node.matcher_supervisor import MatcherSupervisor
from s2m2_ros.node.outputs.topic_types import STATS
from s2m2_ros.node.pair_reports import examine, log_notes, report_findings
from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.statistics import Counts
from s2m2_ros.node.wanted_pair import WantedPair, decode_wanted
from s2m2_ros.pipeline import (
    PairOutputs,
    PipelineOptions,
    StereoPipeline,
)
from s2m2_ros.pipeline.stereo_pipeline import PendingPair
from s2m2_ros.text_safety import safe_text

__all__ = ['Job', 'PairProcessor']


@dataclass(frozen=True, eq=False)
class _Ready:
    """A pair that can be matched."""

    decoded: WantedPair
    settings: Settings
    pending: PendingPair


def _alone(job: Job) -> list[Job]:
    del job
    return []


def _nothing() -> None:
    pass


@dataclass(frozen=True, eq=False)
class PairProcessor:
    """Works on a pair and its companions, of any cameras; every failure is a drop with a cause.

    `now` returns nanoseconds of the node's clock, `companions` the waiting pairs of other cameras
    that are matched with one. `settle` is called when all that came of pairs is published.
    """

    supervisor: MatcherSupervisor
    now: Callable[[], int]
    companions: Callable[[Job], list[Job]] = _alone
    batches: BatchMatcher = field(default_factory=lambda: BatchMatcher(lambda: 1))
    settle: Callable[[], None] = _nothing

    def process(self, job: Job) -> None:
        """Publish what is wanted of this pair and of those that are matched with it."""
        done: list[tuple[Job, PairOutputs]] = []
        decoded = []
        for one in (job, *self.companions(job)):
            with _counting_drops(one):
                decoded.append(decode_wanted(one))
        for ready, matcher, outcome in self._matched(decoded):
            one = ready.decoded.job
            with _counting_drops(one):
                done.append((one, self._complete(ready, matcher, outcome)))
        self.settle()
        # Last, since it takes time: all are published by then.
        for one, outputs in done:
            with _counting_drops(one):
                report_findings(one.camera, outputs)
                log_notes(one, outputs)
                examine(one.camera, one.session, outputs)

    def _matched(
        self, decoded: Sequence[WantedPair]
    ) -> Iterator[tuple[_Ready, StereoMatcher, Outcome | None]]:
        """Yield each pair with its result or error; None where nothing is to be matched."""
        ready: dict[Hashable, list[_Ready]] = {}
        matcher = None
        for one in decoded:
            with _counting_drops(one.job):
                matcher, made = self._prepare(one, matcher)
                if not made.pending.wanted:
                    yield made, matcher, None
                    continue
                key = size_of(made.pending.prepared), made.settings.max_width
                ready.setdefault(key, []).append(made)
        for group in ready.values():
            if matcher is None:
                return
            self.supervisor.set_width(matcher, group[0].settings)
            pairs = [one.pending.prepared for one in group]
            for index, outcome in self.batches.match(matcher, pairs):
                yield group[index], matcher, outcome

    def _prepare(
        self, decoded: WantedPair, matcher: StereoMatcher | None
    ) -> tuple[StereoMatcher, _Ready]:
        """Return the matcher and the pair as it takes it; one matcher for all of a batch."""
        camera = decoded.job.camera
        settings, view = camera.settings, decoded.view
        options = _with_transform(settings.pipeline_options(), decoded.transform)
        with self._counting_failures(camera, settings, matcher):
            matcher = matcher or self.supervisor.get(settings)
            pending = StereoPipeline(matcher).begin(
                view.color(decoded.pair),
                needed_outputs(decoded.topics),
                view.aim(options),
                camera.state,
            )
        return matcher, _Ready(decoded, settings, pending)

    def _complete(
        self, ready: _Ready, matcher: StereoMatcher, outcome: Outcome | None
    ) -> PairOutputs:
        """Compute and publish what is wanted of a matched pair."""
        decoded = ready.decoded
        job, topics = decoded.job, decoded.topics
        camera, session = job.camera, job.session
        with self._counting_failures(camera, ready.settings, matcher):
            if isinstance(outcome, Exception):
                raise outcome
            outputs = ready.pending.outputs
            if outcome is not None:
                outputs = StereoPipeline(matcher).finish(ready.pending, outcome)
        if outcome is not None:
            self.supervisor.succeeded(camera.faults)
        camera.faults.clear(Fault.INPUT)
        matched = time.perf_counter()
        source = MessageSource(
            outputs,
            job.messages.left.header,
            job.messages.left_info,
            camera.memory,
            camera.settings.depth_encoding,
            decoded.view.info,
        )
        camera.publish(topics, source)
        published = time.perf_counter()
        if topics & CLOUDS:
            session.cloud_rate.use()
        session.require_running()
        stats = _stats(outputs, matcher if outcome is not None else None)
        stats.decode_ms = decoded.decode_ms
        stats.publish_ms = (published - matched) * 1e3
        self._finish(job, stats, outputs)
        return outputs

    @contextmanager
    def _counting_failures(
        self, camera: CameraPort, settings: Settings, matcher: StereoMatcher | None
    ) -> Iterator[None]:
        """Report an error as that of the camera's input or of the matcher; raise DropError."""
        try:
            yield
        except (CalibrationError, ImageError) as error:
            camera.faults.report(Fault.INPUT, str(error))
            raise DropError(DropCause.INVALID_INPUT) from error
        except Exception as error:  # drivers raise errors of many classes
            # Another pair of the batch may have made the supervisor take another matcher.
            if matcher is None or self.supervisor.uses(matcher):
                self.supervisor.failed(settings, error, camera.faults)
            raise DropError(DropCause.MATCHING_FAILED) from error

    def _finish(self, job: Job, stats: InferenceStats, outputs: PairOutputs) -> None:
        session = job.session
        session.output_rate.tick()
        session.latency.add((time.monotonic() - job.messages.arrived_at) * 1e3)
        stats.header = job.messages.left.header
        stats.latency_ms = self._latency(stats)
        session.stamp_latency.add(stats.latency_ms)
        session.confidence.add(outputs.mean_confidence)
        counts = session.counters.process()
        if counts.processed == 1:
            _announce(job, stats, outputs)
        _fill_counts(stats, counts)
        job.camera.send(STATS, stats)

    def _latency(self, stats: InferenceStats) -> float:
        stamped = stamp_ns(stats.header)
        # A clock at 0 is a simulated one that has not begun.
        now = self.now()
        return (now - stamped) / 1e6 if stamped and now else math.nan


def _announce(job: Job, stats: InferenceStats, outputs: PairOutputs) -> None:
    height, width = outputs.left.shape[:2]
    latency = (time.monotonic() - job.messages.arrived_at) * 1e3
    matched = f', matched by {stats.backend} at {stats.width}x{stats.height}'
    job.camera.logger.info(
        f'first pair: {width}x{height}{matched if stats.backend else ""}, published '
        f'{latency:.0f} ms after it arrived'
    )


@contextmanager
def _counting_drops(job: Job) -> Iterator[None]:
    """Count what prevents the outputs of a pair as its drop."""
    try:
        yield
    except DropError as error:
        job.session.counters.drop(error.cause)
    except Exception as error:
        job.session.counters.drop(DropCause.FAILED)
        if not job.session.ended:
            job.camera.faults.report(Fault.OUTPUT, f'a pair was lost: {safe_text(repr(error))}')


def _with_transform(options: PipelineOptions, transform: RigidTransform | None) -> PipelineOptions:
    if transform is None:
        return options
    outputs = options.outputs
    cloud = replace(outputs.cloud, transform=transform)
    return replace(options, outputs=replace(outputs, cloud=cloud))


def _stats(outputs: PairOutputs, matcher: StereoMatcher | None) -> InferenceStats:
    """Return the figures of the stages in between; `matcher` is None if nothing was matched."""
    height, width = outputs.working_size
    times = outputs.times
    stats = InferenceStats(
        width=width,
        height=height,
        upload_ms=times.upload_ms,
        inference_ms=times.inference_ms,
        geometry_ms=times.geometry_ms,
        download_ms=times.download_ms,
    )
    if matcher is not None:
        stats.checkpoint = matcher.checkpoint
        stats.backend = matcher.backend
        stats.precision = matcher.precision
        stats.peak_device_memory = peak_device_memory()
    return stats


def _fill_counts(stats: InferenceStats, counts: Counts) -> None:
    stats.pairs_received = counts.received
    stats.pairs_matched = counts.matched
    stats.pairs_processed = counts.processed
    stats.pairs_dropped = counts.dropped
