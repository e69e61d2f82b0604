"""Which waiting pairs are matched together with one whose turn it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from s2m2_ros.node.inputs.synchronizer import StereoMessages
from s2m2_ros.node.job import Job
from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.rhythm import Rhythm
from s2m2_ros.node.sharing_parameters import Sharing
from s2m2_ros.node.worker import Worker


@dataclass(eq=False)
class _Stream:
    """The size of the newest pair of a camera, and when its pairs arrived."""

    size: Hashable
    arrivals: Rhythm = field(default_factory=Rhythm)


class Companions:
    """Finds the pairs of other cameras that one pair can be matched with.

    A pair waits for those that are expected, by the period in which their camera sends, within
    `batch_wait` after its own arrival.
    """

    def __init__(
        self,
        worker: Callable[[], Worker[Job]],
        sharing: Callable[[], Sharing],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take seconds from the clock, which is also that of the worker and of arrivals."""
        self._worker = worker
        self._sharing = sharing
        self._clock = clock
        self._streams: dict[Any, _Stream] = {}

    def note(self, job: Job) -> None:
        """Take note that a camera sent a pair; the executor's thread."""
        known = self._streams.get(job.camera)
        if known is None or known.size != job.size:
            known = self._streams[job.camera] = _Stream(job.size)
        known.arrivals.note(job.messages.arrived_at)

    def find(self, job: Job) -> list[Job]:
        """Return the pairs that are matched with this one; the worker's thread."""
        sharing = self._sharing()
        most = min(sharing.max_batch, len(self._streams)) - 1
        if most <= 0:
            return []
        deadline = job.messages.arrived_at + sharing.batch_wait
        return self._worker().take(
            lambda other: other.camera is not job.camera and other.size == job.size,
            most,
            awaited=self._expected(job, deadline),
            deadline=deadline,
        )

    def _expected(self, job: Job, deadline: float) -> list[Any]:
        """Return the other cameras of this size whose next pair should come by then."""
        now = self._clock()
        if now >= deadline:
            return []
        return [
            camera
            for camera, stream in tuple(self._streams.items())
            if camera is not job.camera
            and stream.size == job.size
            and _is_expected(stream.arrivals, now, deadline)
        ]


def _is_expected(arrivals: Rhythm, now: float, deadline: float) -> bool:
    newest, period = arrivals.newest, arrivals.period
    if newest is None or period is None:
        return False
    # One that is late by another period does not come any more.
    return newest + period <= deadline and now < newest + 2 * period


def size_on_arrival(messages: StereoMessages, settings: Settings) -> Hashable:
    """Return what pairs that are matched together have in common, as far as messages say it."""
    left = messages.left
    image = left if hasattr(left, 'height') else messages.left_info
    return image.width, image.height, settings.input_layout, settings.max_width
