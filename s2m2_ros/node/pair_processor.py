"""What the worker does with one pair: decode, run the pipeline, publish, count, examine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError, RigidTransform
from s2m2_ros.geometry.pair_findings import Finding, FindingKind
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.io.images.pixel_range import PixelRange
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.sources.view_layout import ViewLayout
from s2m2_ros.messages.builders import CloudMemory
from s2m2_ros.messages.output_topics import CLOUDS, MessageSource, needed_outputs
from s2m2_ros.messages.pair_decoder import decode_pair
from s2m2_ros.msg import InferenceStats
from s2m2_ros.node.color_view import ColorView, find_view
from s2m2_ros.node.faults import DropCause, DropError, Fault, FaultLog
from s2m2_ros.node.inputs.color_camera import ColorCamera
from s2m2_ros.node.inputs.synchronizer import StereoMessages
from s2m2_ros.node.matcher_supervisor import MatcherSupervisor
from s2m2_ros.node.outputs.topic_types import STATS
from s2m2_ros.node.outputs.transforms import TransformError, TransformSource
from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.process_memory import peak_device_memory
from s2m2_ros.node.statistics import Counts, Session
from s2m2_ros.node.temporal_moment import with_moment
from s2m2_ros.pipeline import (
    PairInput,
    PairOutputs,
    PipelineOptions,
    PipelineState,
    StereoPipeline,
    examine_outputs,
)
from s2m2_ros.text_safety import safe_text


class CameraPort(Protocol):
    """What the processor needs of a camera; `node.camera.Camera` is one."""

    faults: FaultLog
    logger: Any
    memory: CloudMemory
    state: PipelineState
    pixel_range: PixelRange

    @property
    def settings(self) -> Settings:
        """Return the parameters of this moment."""

    @property
    def color(self) -> ColorCamera | None:
        """Return the color camera; None unless something of it is wanted."""

    @property
    def transforms(self) -> TransformSource | None:
        """Return where transforms are found; None unless they are needed."""

    def wanted(self) -> frozenset[str]:
        """Return the outputs with a subscriber."""

    def publish(self, topics: Collection[str], source: MessageSource) -> None:
        """Publish the messages of a pair, unless deactivated."""

    def send(self, topic: str, message: Any) -> None:
        """Publish one message, unless deactivated."""


@dataclass(frozen=True, eq=False)
class Job:
    """A pair, the camera it came from, and the activation it came in."""

    camera: CameraPort
    session: Session
    messages: StereoMessages


CONTENT_FAULTS: Mapping[FindingKind, Fault] = {
    FindingKind.BLANK: Fault.BLANK,
    FindingKind.IDENTICAL: Fault.IDENTICAL,
}
RIG_FAULTS: Mapping[FindingKind, Fault] = {
    FindingKind.SWAPPED: Fault.SWAPPED,
    FindingKind.MISALIGNED: Fault.MISALIGNMENT,
    FindingKind.ROTATED: Fault.ROTATED,
    FindingKind.UNRELATED: Fault.UNRELATED,
}


@dataclass(frozen=True, eq=False)
class PairProcessor:
    """Works on one pair at a time, of any camera; every failure is a drop with a cause.

    `now` returns nanoseconds of the node's clock.
    """

    supervisor: MatcherSupervisor
    now: Callable[[], int]

    def process(self, job: Job) -> None:
        """Publish what is wanted of this pair, or drop it."""
        camera, session = job.camera, job.session
        try:
            outputs = self._process(job)
            _report_findings(camera, outputs)
            for note in outputs.notes:
                if note not in session.noted:
                    session.noted.add(note)
                    camera.logger.info(note)
            _examine(camera, session, outputs)
        except DropError as error:
            session.counters.drop(error.cause)
        except Exception as error:
            session.counters.drop(DropCause.FAILED)
            if not session.ended:
                camera.faults.report(Fault.OUTPUT, f'a pair was lost: {safe_text(repr(error))}')

    def _process(self, job: Job) -> PairOutputs:
        camera, session = job.camera, job.session
        topics = camera.wanted()
        session.require_running()
        if not topics:
            raise DropError(DropCause.NO_SUBSCRIBERS)
        topics = _due(topics, job)
        started = time.perf_counter()
        pair = with_moment(camera, job.messages.left.header, _decode(job))
        decoded = time.perf_counter()
        topics, transform = _locate(topics, job)
        topics, view = find_view(camera, job.messages.left.header, topics)
        if not topics:
            raise DropError(DropCause.NO_COLOR_CAMERA)
        matcher, outputs = self._match(job, pair, topics, transform, view)
        camera.faults.clear(Fault.INPUT)
        matched = time.perf_counter()
        source = MessageSource(
            outputs,
            job.messages.left.header,
            job.messages.left_info,
            camera.memory,
            camera.settings.depth_encoding,
            view.info,
        )
        camera.publish(topics, source)
        published = time.perf_counter()
        if topics & CLOUDS:
            session.cloud_rate.use()
        session.require_running()
        stats = _stats(outputs, matcher if needed_outputs(topics) else None)
        stats.decode_ms = (decoded - started) * 1e3
        stats.publish_ms = (published - matched) * 1e3
        self._finish(job, stats, outputs)
        return outputs

    def _match(
        self,
        job: Job,
        pair: PairInput,
        topics: frozenset[str],
        transform: RigidTransform | None,
        view: ColorView,
    ) -> tuple[StereoMatcher, PairOutputs]:
        camera, settings = job.camera, job.camera.settings
        options = _with_transform(settings.pipeline_options(), transform)
        try:
            matcher = self.supervisor.get(settings)
            outputs = StereoPipeline(matcher).process(
                view.color(pair), needed_outputs(topics), view.aim(options), camera.state
            )
        except (CalibrationError, ImageError) as error:
            camera.faults.report(Fault.INPUT, str(error))
            raise DropError(DropCause.INVALID_INPUT) from error
        except Exception as error:  # drivers raise errors of many classes
            self.supervisor.failed(settings, error)
            raise DropError(DropCause.MATCHING_FAILED) from error
        if needed_outputs(topics):
            self.supervisor.succeeded()
        return matcher, outputs

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


def _decode(job: Job) -> PairInput:
    try:
        layout = ViewLayout(job.camera.settings.input_layout)
        return decode_pair(job.messages, job.camera.pixel_range, layout)
    except Exception as error:  # whatever a camera may send
        job.camera.faults.report(Fault.INPUT, str(error) or repr(error))
        raise DropError(DropCause.INVALID_INPUT) from error


def _due(topics: frozenset[str], job: Job) -> frozenset[str]:
    """Return the topics without the cloud, where points_rate leaves it out of this pair."""
    rate, clouds = job.camera.settings.points_rate, topics & CLOUDS
    if not clouds or job.session.cloud_rate.due(stamp_ns(job.messages.left.header), rate):
        return topics
    if clouds == topics:
        raise DropError(DropCause.POINTS_RATE)
    return topics - clouds


def _locate(topics: frozenset[str], job: Job) -> tuple[frozenset[str], RigidTransform | None]:
    """Return the clouds' transform; without one, the other topics go on without the clouds."""
    camera, header = job.camera, job.messages.left.header
    transforms, frame = camera.transforms, camera.settings.points_frame
    if not topics & CLOUDS or transforms is None or frame in ('', header.frame_id):
        return topics, None
    try:
        transform = transforms.find(header, frame)
    except TransformError as error:
        camera.faults.report(Fault.TRANSFORM, str(error))
        topics -= CLOUDS
        if not topics:
            raise DropError(DropCause.NO_TRANSFORM) from error
        return topics, None
    camera.faults.clear(Fault.TRANSFORM)
    return topics, transform


def _with_transform(options: PipelineOptions, transform: RigidTransform | None) -> PipelineOptions:
    if transform is None:
        return options
    outputs = options.outputs
    cloud = replace(outputs.cloud, transform=transform)
    return replace(options, outputs=replace(outputs, cloud=cloud))


def _report_findings(camera: CameraPort, outputs: PairOutputs) -> None:
    """Report findings on the content, and warnings on images or calibration."""
    _report(camera, outputs.findings, CONTENT_FAULTS)
    if outputs.warnings:
        camera.faults.report(Fault.CALIBRATION, '; '.join(outputs.warnings))
    else:
        camera.faults.clear(Fault.CALIBRATION)


def _examine(camera: CameraPort, session: Session, outputs: PairOutputs) -> None:
    """Check the rig by the features of a pair, seldom, after it was published."""
    period, now = camera.settings.calibration_check_period, time.monotonic()
    if not period or now < session.examined_at + period:
        return
    session.examined_at = now
    try:
        examination, found = examine_outputs(outputs, camera.settings.pipeline_options())
    except Exception as error:  # a failed check must not drop the pair
        camera.faults.report(Fault.EXAMINATION, f'no calibration check: {safe_text(repr(error))}')
        return
    session.examination = examination
    # Too few features say nothing, neither that something is wrong nor that it is not.
    if examination.matches or found:
        _report(camera, found, RIG_FAULTS)


def _report(
    camera: CameraPort, found: Sequence[Finding], faults: Mapping[FindingKind, Fault]
) -> None:
    """Report the findings of these kinds, and clear the faults of the others."""
    texts = {faults[finding.kind]: finding.text for finding in found if finding.kind in faults}
    for fault, text in texts.items():
        camera.faults.report(fault, text)
    camera.faults.clear(*(set(faults.values()) - set(texts)))


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
