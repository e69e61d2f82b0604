"""The images of the camera that colors clouds, and the pairs that wait for theirs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError, TargetCamera
from s2m2_ros.io.images.ros_images import decode_compressed_image, decode_image
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.recordings.pairing import LONGEST_WAIT_NS
from s2m2_ros.io.sources.stereo_frame import NANOSECONDS
from s2m2_ros.offline.processing.options import ProcessOptions
from s2m2_ros.offline.processing.streams import StampedPair

# Images that are kept, and pairs that wait, in bytes.
LARGEST_KEPT = LARGEST_WAITING = 256 << 20
# A pair may come so much after a later one.
OUT_OF_ORDER_NS = NANOSECONDS
LEFT_COLORS = 'the cloud keeps the left colors'


@dataclass(frozen=True, eq=False)
class _ColorImage:
    stamp_ns: int
    log_ns: int
    message: Any


class ColorImages:
    """Gives each pair the image whose timestamp is nearest to that of its left one."""

    def __init__(self, topic: str, options: ProcessOptions) -> None:
        """Take the topic; the options say how far apart the timestamps may be."""
        self._topic, self._slop_ns = topic, round(options.color_slop * NANOSECONDS)
        self._slop = f'{options.names("color_slop")} = {options.color_slop:g} s'
        self._images: deque[_ColorImage] = deque()
        self._pairs: deque[tuple[StampedPair, TargetCamera]] = deque()
        self._log_ns = self._newest_ns = 0
        self._last_pair_ns = 0

    @property
    def is_settled(self) -> bool:
        """Return whether no pair waits."""
        return not self._pairs

    def add(self, message: Any, log_ns: int) -> None:
        """Take an image."""
        time_ns = stamp_ns(message.header) or log_ns
        self._images.append(_ColorImage(time_ns, log_ns, message))
        self._newest_ns = max(self._newest_ns, time_ns)
        self._log_ns = max(self._log_ns, log_ns)
        while len(self._images) > 1 and self._is_over(self._images[0]):
            self._images.popleft()

    def wait(self, pair: StampedPair, camera: TargetCamera) -> None:
        """Have a pair wait for its image."""
        self._pairs.append((pair, camera))
        self._log_ns = max(self._log_ns, pair.log_ns)

    def ready(self, *, at_end: bool = False) -> Iterator[StampedPair]:
        """Yield the pairs, in their order, for which no nearer image can come."""
        while self._pairs:
            pair, camera = self._pairs[0]
            is_final = self._images and self._newest_ns >= _time(pair)
            if not (is_final or at_end or self._is_too_much(pair)):
                return
            self._pairs.popleft()
            self._last_pair_ns = max(self._last_pair_ns, _time(pair))
            yield self._colored(pair, camera)

    def _is_over(self, image: _ColorImage) -> bool:
        """Return whether an image is of no pair that comes, or there are too many."""
        return (
            image.stamp_ns < self._last_pair_ns - self._slop_ns - OUT_OF_ORDER_NS
            or image.log_ns < self._log_ns - LONGEST_WAIT_NS - OUT_OF_ORDER_NS
            or sum(len(kept.message.data) for kept in self._images) > LARGEST_KEPT
        )

    def _is_too_much(self, pair: StampedPair) -> bool:
        """Return whether a pair waits too long, or too many do: the camera may be behind."""
        waiting = (waits.pair for waits, _ in self._pairs)
        size = sum(w.left.nbytes + w.right.nbytes for w in waiting if w)
        return size > LARGEST_WAITING or self._log_ns > pair.log_ns + LONGEST_WAIT_NS

    def _colored(self, pair: StampedPair, camera: TargetCamera) -> StampedPair:
        if pair.pair is None:
            return pair
        time_ns = _time(pair)
        found = min(self._images, key=lambda i: abs(i.stamp_ns - time_ns), default=None)
        if found is None or abs(found.stamp_ns - time_ns) > self._slop_ns:
            return _warned(pair, f'{self._topic} has no image within {self._slop}')
        try:
            image = _decoded(found.message, (camera.width, camera.height))
            camera.require_size(image.shape[1], image.shape[0], self._topic)
        except (ImageError, CalibrationError) as error:
            return _warned(pair, f'{self._topic}: {error}')
        return replace(pair, pair=replace(pair.pair, color=image))


def _decoded(message: Any, size: tuple[int, int]) -> Any:
    if hasattr(message, 'format'):
        return decode_compressed_image(message, expected_size=size)
    return decode_image(message)


def _warned(pair: StampedPair, reason: str) -> StampedPair:
    if pair.pair is None:
        return pair
    warnings = (*pair.pair.warnings, f'{reason}: {LEFT_COLORS}')
    return replace(pair, pair=replace(pair.pair, warnings=warnings))


def _time(pair: StampedPair) -> int:
    return stamp_ns(pair.header) or pair.log_ns
