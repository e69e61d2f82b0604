"""A pair before it is matched: decoded if it is wanted, with what its outputs need besides."""

from __future__ import annotations

import time
from dataclasses import dataclass

from s2m2_ros.geometry import RigidTransform
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.sources.view_layout import ViewLayout
from s2m2_ros.messages.output_topics import CLOUDS
from s2m2_ros.messages.pair_decoder import decode_pair
from s2m2_ros.node.color_view import ColorView, find_view
from s2m2_ros.node.faults import DropCause, DropError, Fault
from s2m2_ros.node.job import Job
from s2m2_ros.node.outputs.transforms import TransformError
from s2m2_ros.node.temporal_moment import with_moment
from s2m2_ros.pipeline import PairInput


@dataclass(frozen=True, eq=False)
class WantedPair:
    """A pair that is wanted: the topics that can be made of it, and what they need."""

    job: Job
    topics: frozenset[str]
    pair: PairInput
    transform: RigidTransform | None
    view: ColorView
    decode_ms: float


def decode_wanted(job: Job) -> WantedPair:
    """Return the pair, decoded, and what can be made of it; raises DropError."""
    topics = job.camera.wanted()
    job.session.require_running()
    if not topics:
        raise DropError(DropCause.NO_SUBSCRIBERS)
    topics = _due(topics, job)
    started = time.perf_counter()
    pair = with_moment(job.camera, job.messages.left.header, _decode(job))
    decode_ms = (time.perf_counter() - started) * 1e3
    topics, transform = _locate(topics, job)
    topics, view = find_view(job.camera, job.messages.left.header, topics)
    if not topics:
        raise DropError(DropCause.NO_COLOR_CAMERA)
    return WantedPair(job, topics, pair, transform, view, decode_ms)


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
