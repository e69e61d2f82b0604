"""Left and right images become pairs by their timestamps, in bounded memory. No ROS in here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from s2m2_ros.node.faults import DropCause
from s2m2_ros.node.rhythm import period_of

LEFT, RIGHT = 0, 1
# The images of both cameras that wait for each other take no more memory than this: with those in
# calibration_join at most 256 MiB.
LARGEST_QUEUES = 192 * 2**20
# The period counts from so many measurements on.
ENOUGH_DIFFERENCES = 4
RECENT_DIFFERENCES = 20
RECENT_PAIRS = 10
# Only this many of the newest left images may still be paired with a near right one.
NEAR_CANDIDATES = 3


@dataclass(frozen=True, eq=False)
class TimedImage:
    """An image message, its timestamp in nanoseconds, its size in bytes."""

    stamp: int
    message: Any
    size: int


@dataclass
class _Queue:
    images: dict[int, TimedImage] = field(default_factory=dict)
    size: int = 0
    newest: int | None = None
    differences: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT_DIFFERENCES))

    def add(self, image: TimedImage) -> bool:
        """Keep the image; True if it replaces one of the same timestamp."""
        replaced = self.pop(image.stamp)
        if self.newest is not None and image.stamp > self.newest:
            self.differences.append(image.stamp - self.newest)
        self.newest = image.stamp
        self.images[image.stamp] = image
        self.size += image.size
        return replaced is not None

    def pop(self, stamp: int) -> TimedImage | None:
        image = self.images.pop(stamp, None)
        if image is not None:
            self.size -= image.size
        return image

    def pop_before(self, stamp: int) -> int:
        """Remove the images older than this; return how many."""
        older = [known for known in self.images if known < stamp]
        for known in older:
            self.pop(known)
        return len(older)

    def pop_oldest(self) -> None:
        self.pop(next(iter(self.images)))


class StereoPairing:
    """Joins left and right images whose timestamps are equal or, if `slop` > 0, near.

    Equal timestamps are always preferred. Near ones are joined if they differ by less than `slop`
    nanoseconds and by less than half of the measured period, because an image further away
    belongs to the next exposure. While most pairs have equal timestamps, others are lost images
    of synchronized cameras and are not joined at all.

    Timestamps of one camera must not decrease: call `clear` when they jump back. `drop(cause,
    count)` is called for left images that are given up.
    """

    def __init__(
        self,
        drop: Callable[[DropCause, int], None],
        *,
        slop: int = 0,
        queue_size: int = 10,
        queue_bytes: int = LARGEST_QUEUES,
    ) -> None:
        self._drop = drop
        self._queues = (_Queue(), _Queue())
        self._equal: deque[bool] = deque(maxlen=RECENT_PAIRS)
        self._passed_over = -1
        self.configure(slop=slop, queue_size=queue_size, queue_bytes=queue_bytes)

    def configure(self, *, slop: int, queue_size: int, queue_bytes: int = LARGEST_QUEUES) -> None:
        """Join by these limits from now on."""
        self._slop, self._queue_size, self._queue_bytes = slop, queue_size, queue_bytes
        self._limit()

    @property
    def waiting(self) -> int:
        """How many left images wait for the right ones."""
        return len(self._queues[LEFT].images)

    def clear(self, cause: DropCause = DropCause.UNMATCHED) -> None:
        """Forget all images, the left ones for this cause."""
        self._drop(cause, self.waiting)
        self._queues = (_Queue(), _Queue())
        self._passed_over = -1

    def add(self, side: int, image: TimedImage) -> tuple[TimedImage, TimedImage] | None:
        """Take an image of one camera; return the pair that it completes."""
        if self._queues[side].add(image) and side == LEFT:
            self._drop(DropCause.SAME_TIMESTAMP, 1)
        if image.stamp in self._queues[1 - side].images:
            self._equal.append(True)
            return self._take(image.stamp, image.stamp)
        found = self._near()
        if found is None:
            self._limit()
            return None
        self._equal.append(False)
        return self._take(*found)

    def _take(self, left: int, right: int) -> tuple[TimedImage, TimedImage]:
        lefts, rights = self._queues
        pair = lefts.images[left], rights.images[right]
        self._drop(DropCause.UNMATCHED, lefts.pop_before(left))
        rights.pop_before(right)
        lefts.pop(left)
        rights.pop(right)
        return pair

    def _near(self) -> tuple[int, int] | None:
        """Return the timestamps of two images that lie close enough together, if there are."""
        tolerance = self._tolerance()
        if not tolerance:
            return None
        synchronized = bool(self._equal) and 2 * sum(self._equal) >= len(self._equal)
        at_once = len(self._equal) > 1 and not synchronized
        for left in islice(reversed(self._queues[LEFT].images), NEAR_CANDIDATES):
            right = self._nearest_right(left, tolerance)
            if right is None or not (at_once or self._equal_is_lost(left, right)):
                continue
            if not synchronized:
                return left, right
            if left > self._passed_over:  # evidence that the cameras are no longer synchronized
                self._passed_over = left
                self._equal.append(False)
        return None

    def _equal_is_lost(self, left: int, right: int) -> bool:
        """Return whether the images with the very same timestamps can come no more."""
        lefts, rights = self._queues
        return (lefts.newest or 0) >= right and (rights.newest or 0) >= left

    def _nearest_right(self, left: int, tolerance: int) -> int | None:
        near = [
            right for right in self._newer_rights(left - tolerance) if right < left + tolerance
        ]
        return min(near, key=lambda right: abs(right - left), default=None)

    def _newer_rights(self, limit: int) -> Iterator[int]:
        for right in reversed(self._queues[RIGHT].images):
            if right <= limit:
                return
            yield right

    def _tolerance(self) -> int:
        if not self._slop:
            return 0
        differences = [d for queue in self._queues for d in queue.differences]
        if len(differences) < ENOUGH_DIFFERENCES:
            return 0
        return min(self._slop, int(period_of(differences)) // 2)

    def _limit(self) -> None:
        """Give up the oldest images beyond the limits of number and bytes."""
        for queue in self._queues:
            while len(queue.images) > self._queue_size:
                self._give_up(queue)
        while sum(queue.size for queue in self._queues) > self._queue_bytes:
            largest = max(self._queues, key=lambda queue: queue.size)
            if len(largest.images) < 2:  # the newest image stays, whatever its size
                return
            self._give_up(largest)

    def _give_up(self, queue: _Queue) -> None:
        queue.pop_oldest()
        if queue is self._queues[LEFT]:
            self._drop(DropCause.UNMATCHED, 1)
