"""What the worker does with one pair: decode, match, compute, publish, count, watch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError, RigidTransform
from s2m2_ros.geometry.rectification_check import Examination, examine
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.msg import InferenceStats
from s2m2_ros.node.faults import DropCause, Fault, FaultLog
from s2m2_ros.node.matcher_supervisor import Matchers
from s2m2_ros.node.messages import DISPARITY_RESOLUTION, CloudMemory
from s2m2_ros.node.parameters import Parameters, Settings
from s2m2_ros.node.pipeline import Computed, StereoPair, compute, decode_pair, grey, match
from s2m2_ros.node.publishers import POINTS, STATS, Content, Publishers, needed_outputs
from s2m2_ros.node.statistics import Counts, Session
from s2m2_ros.node.synchronizer import StereoMessages
from s2m2_ros.node.transforms import TransformError, Transforms


@dataclass(frozen=True, eq=False)
class Job:
    """A pair and the activation it came in."""

    session: Session
    messages: StereoMessages


class DropError(Exception):
    """This pair is dropped for a cause."""

    def __init__(self, cause: DropCause) -> None:
        super().__init__(cause.value)
        self.cause = cause


@dataclass(eq=False)
class Processor:
    """Works on one pair at a time; every failure is a drop with a cause.

    `transforms` is None unless the cloud goes into another frame. `now` returns nanoseconds of
    the node's clock.
    """

    parameters: Parameters
    matchers: Matchers
    publishers: Publishers
    faults: FaultLog
    now: Callable[[], int]
    transforms: Transforms | None = None
    memory: CloudMemory = field(default_factory=CloudMemory)

    def process(self, job: Job) -> None:
        """Publish what is wanted of this pair, or drop it."""
        session = job.session
        try:
            pair = self._process(job)
        except DropError as error:
            session.counters.drop(error.cause)
            return
        except Exception as error:
            session.counters.drop(DropCause.FAILED)
            if not session.ended:
                text = f'a pair was lost: {error!r}'
                self.faults.report(Fault.OUTPUT, text)
            return
        self._watch(session, pair, self.parameters.settings)

    def _process(self, job: Job) -> StereoPair:
        session, settings = job.session, self.parameters.settings
        topics = self.publishers.wanted()
        if session.ended or not topics:
            raise DropError(DropCause.NO_SUBSCRIBERS)
        started = time.perf_counter()
        pair = self._decode(job.messages)
        decode_ms = _since(started)
        topics, transform = self._locate(topics, job, settings)
        matcher, computed = self._compute(pair, topics, settings, transform)
        self.faults.clear(Fault.INPUT)
        started = time.perf_counter()
        self._publish(topics, job, pair, matcher, computed)
        publish_ms = _since(started)
        if session.ended:
            raise DropError(DropCause.DEACTIVATED)
        stats = _stats(pair, matcher, computed)
        stats.decode_ms, stats.publish_ms = decode_ms, publish_ms
        self._finish(job, stats, computed)
        return pair

    def _decode(self, messages: StereoMessages) -> StereoPair:
        try:
            return decode_pair(messages)
        except Exception as error:  # whatever a camera may send
            self.faults.report(Fault.INPUT, str(error) or repr(error))
            raise DropError(DropCause.INVALID_INPUT) from error

    def _locate(
        self, topics: frozenset[str], job: Job, settings: Settings
    ) -> tuple[frozenset[str], RigidTransform | None]:
        """Return the cloud's transform; without one, the other topics go on without the cloud."""
        header = job.messages.left.header
        transforms = self.transforms
        if POINTS not in topics or transforms is None or settings.points_frame == header.frame_id:
            return topics, None
        try:
            transform = transforms.find(header, settings.points_frame)
        except TransformError as error:
            self.faults.report(Fault.TRANSFORM, str(error))
            topics -= {POINTS}
            if not topics:
                raise DropError(DropCause.NO_TRANSFORM) from error
            return topics, None
        self.faults.clear(Fault.TRANSFORM)
        return topics, transform

    def _compute(
        self,
        pair: StereoPair,
        topics: frozenset[str],
        settings: Settings,
        transform: RigidTransform | None,
    ) -> tuple[StereoMatcher | None, Computed | None]:
        wanted = needed_outputs(topics)
        if not wanted:
            return None, None
        try:
            matcher = self.matchers.get(settings)
            result = match(matcher, pair)
            computed = compute(
                pair,
                result,
                wanted=wanted,
                options=settings.output_options(),
                transform=transform,
                workspace=self.memory,
            )
        except (CalibrationError, ImageError) as error:
            self.faults.report(Fault.INPUT, str(error))
            raise DropError(DropCause.INVALID_INPUT) from error
        except Exception as error:  # a device can fail in as many ways as there are drivers
            self.matchers.failed(settings, error)
            raise DropError(DropCause.MATCHING_FAILED) from error
        self.matchers.succeeded()
        return matcher, computed

    def _publish(
        self,
        topics: frozenset[str],
        job: Job,
        pair: StereoPair,
        matcher: StereoMatcher | None,
        computed: Computed | None,
    ) -> None:
        resolution = DISPARITY_RESOLUTION
        if matcher is not None:
            camera = pair.camera
            resolution *= camera.width / matcher.working_size(camera.height, camera.width)[1]
        content = Content(
            outputs=computed.outputs if computed else None,
            left_info=job.messages.left_info,
            header=job.messages.left.header,
            resolution=resolution,
            memory=self.memory,
        )
        self.publishers.publish(topics, content)

    def _finish(self, job: Job, stats: InferenceStats, computed: Computed | None) -> None:
        session = job.session
        session.output_rate.tick()
        session.latency.add((time.monotonic() - job.messages.arrived_at) * 1e3)
        stats.header = job.messages.left.header
        stats.latency_ms = self._latency(stats)
        session.stamp_latency.add(stats.latency_ms)
        if computed is not None:
            session.confidence.add(computed.mean_confidence)
        _fill_counts(stats, session.counters.process())
        self.publishers.send(STATS, stats)

    def _latency(self, stats: InferenceStats) -> float:
        stamp = stats.header.stamp
        stamped = int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
        # A clock at 0 is a simulated one that has not begun.
        now = self.now()
        return (now - stamped) / 1e6 if stamped and now else math.nan

    def _watch(self, session: Session, pair: StereoPair, settings: Settings) -> None:
        period, now = settings.calibration_check_period, time.monotonic()
        if not period or now < session.examined_at + period:
            return
        session.examined_at = now
        offset = pair.camera.principal_point_difference
        try:
            found = examine(grey(pair.left), grey(pair.right), disparity_offset=offset)
        except Exception as error:  # an aid that fails must not cost a pair
            self.faults.report(Fault.EXAMINATION, f'no calibration check: {error!r}')
            return
        session.examination = found
        self._judge(found, settings)

    def _judge(self, found: Examination, settings: Settings) -> None:
        if found.swapped and not settings.allow_negative:
            text = (
                'most points lie beyond infinity: the left and right images are probably swapped; '
                'exchange their topics'
            )
            self.faults.report(Fault.SWAPPED, text)
        elif found.matches:
            self.faults.clear(Fault.SWAPPED)
        worst = abs(found.vertical_offset) + found.vertical_spread
        if worst > settings.max_vertical_misalignment:
            text = (
                f'the views are misaligned vertically by {found.vertical_offset:.1f} px (spread '
                f'{found.vertical_spread:.1f} px): are the images rectified, and is the '
                'calibration still right?'
            )
            self.faults.report(Fault.MISALIGNMENT, text)
        elif not math.isnan(worst):
            self.faults.clear(Fault.MISALIGNMENT)


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3


def _stats(
    pair: StereoPair, matcher: StereoMatcher | None, computed: Computed | None
) -> InferenceStats:
    """Return the figures of the stages in between; NaN for those that did not run."""
    height, width = pair.left.shape[:2]
    if matcher is None or computed is None:
        nothing = dict.fromkeys(
            ('upload_ms', 'inference_ms', 'geometry_ms', 'download_ms'), math.nan
        )
        return InferenceStats(width=width, height=height, **nothing)
    height, width = matcher.working_size(height, width)
    return InferenceStats(
        width=width,
        height=height,
        checkpoint=matcher.checkpoint,
        backend=matcher.backend,
        precision=matcher.precision,
        upload_ms=computed.upload_ms,
        inference_ms=computed.inference_ms,
        geometry_ms=computed.geometry_ms,
        download_ms=computed.download_ms,
        peak_device_memory=peak_device_memory(),
    )


def _fill_counts(stats: InferenceStats, counts: Counts) -> None:
    stats.pairs_received = counts.received
    stats.pairs_matched = counts.matched
    stats.pairs_processed = counts.processed
    stats.pairs_dropped = counts.dropped


def peak_device_memory() -> int:
    """Return the most bytes that torch has held on CUDA devices since the last reset."""
    return sum(torch.cuda.max_memory_allocated(index) for index in _devices())


def reset_peak_device_memory() -> None:
    """Begin a new peak."""
    for index in _devices():
        torch.cuda.reset_peak_memory_stats(index)


def _devices() -> range:
    """Return the CUDA devices in use; asking for more would open one."""
    opened = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return range(torch.cuda.device_count() if opened else 0)
