"""What the worker does with one pair: decode, run the pipeline, publish, count, examine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError, RigidTransform
from s2m2_ros.geometry.rectification_check import Examination, examine
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.msg import InferenceStats
from s2m2_ros.node.faults import DropCause, Fault
from s2m2_ros.node.matcher_supervisor import MatcherSupervisor
from s2m2_ros.node.pair_decoder import decode_pair
from s2m2_ros.node.process_memory import peak_device_memory
from s2m2_ros.node.statistics import Counts, Session
from s2m2_ros.node.synchronizer import StereoMessages
from s2m2_ros.node.topics import POINTS, STATS, MessageSource, needed_outputs
from s2m2_ros.node.transforms import TransformError
from s2m2_ros.pipeline import PairInput, PairOutputs, PipelineOptions, StereoPipeline

if TYPE_CHECKING:
    from s2m2_ros.node.camera import Camera


@dataclass(frozen=True, eq=False)
class Job:
    """A pair, the camera it came from, and the activation it came in."""

    camera: Camera
    session: Session
    messages: StereoMessages


class DropError(Exception):
    """This pair is dropped for a cause."""

    def __init__(self, cause: DropCause) -> None:
        super().__init__(cause.value)
        self.cause = cause


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
            _examine(camera, session, outputs)
        except DropError as error:
            session.counters.drop(error.cause)
        except Exception as error:
            session.counters.drop(DropCause.FAILED)
            if not session.ended:
                camera.faults.report(Fault.OUTPUT, f'a pair was lost: {error!r}')

    def _process(self, job: Job) -> PairOutputs:
        camera, session = job.camera, job.session
        topics = camera.wanted()
        if session.ended or not topics:
            raise DropError(DropCause.NO_SUBSCRIBERS)
        started = time.perf_counter()
        pair = _decode(job)
        decoded = time.perf_counter()
        topics, transform = _locate(topics, job)
        matcher, outputs = self._match(job, pair, topics, transform)
        camera.faults.clear(Fault.INPUT)
        matched = time.perf_counter()
        source = MessageSource(
            outputs, job.messages.left.header, job.messages.left_info, camera.memory
        )
        camera.publish(topics, source)
        published = time.perf_counter()
        if session.ended:
            raise DropError(DropCause.DEACTIVATED)
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
    ) -> tuple[StereoMatcher, PairOutputs]:
        camera, settings = job.camera, job.camera.settings
        try:
            matcher = self.supervisor.get(settings)
            outputs = StereoPipeline(matcher).process(
                pair,
                needed_outputs(topics),
                _with_transform(settings.pipeline_options(), transform),
                camera.state,
            )
        except (CalibrationError, ImageError) as error:
            camera.faults.report(Fault.INPUT, str(error))
            raise DropError(DropCause.INVALID_INPUT) from error
        except Exception as error:  # a device can fail in as many ways as there are drivers
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
        _fill_counts(stats, session.counters.process())
        job.camera.send(STATS, stats)

    def _latency(self, stats: InferenceStats) -> float:
        stamp = stats.header.stamp
        stamped = int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
        # A clock at 0 is a simulated one that has not begun.
        now = self.now()
        return (now - stamped) / 1e6 if stamped and now else math.nan


def _decode(job: Job) -> PairInput:
    try:
        return decode_pair(job.messages)
    except Exception as error:  # whatever a camera may send
        job.camera.faults.report(Fault.INPUT, str(error) or repr(error))
        raise DropError(DropCause.INVALID_INPUT) from error


def _locate(topics: frozenset[str], job: Job) -> tuple[frozenset[str], RigidTransform | None]:
    """Return the cloud's transform; without one, the other topics go on without the cloud."""
    camera, header = job.camera, job.messages.left.header
    transforms, frame = camera.transforms, camera.settings.points_frame
    if POINTS not in topics or transforms is None or frame == header.frame_id:
        return topics, None
    try:
        transform = transforms.find(header, frame)
    except TransformError as error:
        camera.faults.report(Fault.TRANSFORM, str(error))
        topics -= {POINTS}
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


def _examine(camera: Camera, session: Session, outputs: PairOutputs) -> None:
    """Check the pair for misaligned or swapped cameras, seldom, after it was published."""
    settings, now = camera.settings, time.monotonic()
    period = settings.calibration_check_period
    if not period or now < session.examined_at + period or outputs.camera is None:
        return
    session.examined_at = now
    offset = outputs.camera.principal_point_difference
    try:
        found = examine(gray(outputs.left), gray(outputs.right), disparity_offset=offset)
    except Exception as error:  # an aid that fails must not cost a pair
        camera.faults.report(Fault.EXAMINATION, f'no calibration check: {error!r}')
        return
    session.examination = found
    _judge(camera, found)


def gray(image: np.ndarray) -> np.ndarray:
    """Return (H, W) uint8 from (H, W) or (H, W, 3) RGB, uint8 or float32 in 0..255."""
    if image.dtype != np.uint8:
        image = image.round().clip(0, 255).astype(np.uint8)
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _judge(camera: Camera, found: Examination) -> None:
    settings, faults = camera.settings, camera.faults
    if found.swapped and not settings.allow_negative:
        text = (
            'most points lie beyond infinity: the left and right images are probably swapped; '
            'exchange their topics'
        )
        faults.report(Fault.SWAPPED, text)
    elif found.matches:
        faults.clear(Fault.SWAPPED)
    worst = abs(found.vertical_offset) + found.vertical_spread
    if worst > settings.max_vertical_misalignment:
        text = (
            f'the views are misaligned vertically by {found.vertical_offset:.1f} px (spread '
            f'{found.vertical_spread:.1f} px): are the images rectified, and is the '
            'calibration still right?'
        )
        faults.report(Fault.MISALIGNMENT, text)
    elif not math.isnan(worst):
        faults.clear(Fault.MISALIGNMENT)


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
