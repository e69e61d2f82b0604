"""Which waiting pairs are matched together with one whose turn it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

from s2m2_ros.node.inputs.synchronizer import StereoMessages
from s2m2_ros.node.job import Job
from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.sharing_parameters import Sharing
from s2m2_ros.node.worker import Worker

# A camera that sent no pair of a size for so many seconds is not waited for.
LASTING = 1.0


class Companions:
    """Finds the pairs of other cameras that one pair can be matched with.

    Pairs wait for others by `batch_wait` only, counted from their arrival, and only while cameras
    that send this size have none waiting.
    """

    def __init__(self, worker: Callable[[], Worker[Job]], sharing: Callable[[], Sharing]) -> None:
        self._worker = worker
        self._sharing = sharing
        self._newest: dict[Any, tuple[Hashable, float]] = {}

    def note(self, job: Job) -> None:
        """Take note that a camera sent a pair; the executor's thread."""
        self._newest[job.camera] = job.size, time.monotonic()

    def find(self, job: Job) -> list[Job]:
        """Return the pairs that are matched with this one; the worker's thread."""
        sharing = self._sharing()
        most = min(sharing.max_batch - 1, self._others(job))
        if most <= 0:
            return []
        return self._worker().take(
            lambda other: other.camera is not job.camera and other.size == job.size,
            most,
            deadline=job.messages.arrived_at + sharing.batch_wait,
        )

    def _others(self, job: Job) -> int:
        """Return how many other cameras send pairs of this size."""
        since = time.monotonic() - LASTING
        return sum(
            camera is not job.camera and size == job.size and at >= since
            for camera, (size, at) in tuple(self._newest.items())
        )


def size_on_arrival(messages: StereoMessages, settings: Settings) -> Hashable:
    """Return what pairs that are matched together have in common, as far as messages say it."""
    left = messages.left
    image = left if hasattr(left, 'height') else messages.left_info
    return image.width, image.height, settings.input_layout, settings.max_width
