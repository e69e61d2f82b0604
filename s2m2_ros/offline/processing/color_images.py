"""The images of the camera that colors clouds, and the pairs that wait for theirs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError, TargetCamera
from s2m2_ros.io.images.ros_images import decode_compressed_image, decode_image
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.sources.stereo_frame import NANOSECONDS
from s2m2_ros.offline.processing.options import ProcessOptions
from s2m2_ros.offline.processing.streams import StampedPair

# Images that are kept, and pairs that wait: a camera whose clock is behind holds up no more.
MOST_IMAGES, LARGEST_KEPT = 64, 256 << 20
MOST_PAIRS = 32
LEFT_COLORS = 'the cloud keeps the left colors'


class ColorImages:
    """Gives each pair the image whose timestamp is nearest to that of its left one."""

    def __init__(self, topic: str, options: ProcessOptions) -> None:
        """Take the topic; the options say how far apart the timestamps may be."""
        self._topic, self._slop_ns = topic, round(options.color_slop * NANOSECONDS)
        self._slop = f'{options.names("color_slop")} = {options.color_slop:g} s'
        self._images: deque[tuple[int, Any]] = deque()
        self._pairs: deque[tuple[StampedPair, TargetCamera]] = deque()

    def add(self, message: Any, log_ns: int) -> None:
        """Take an image."""
        self._images.append((stamp_ns(message.header) or log_ns, message))
        while len(self._images) > 1 and (
            len(self._images) > MOST_IMAGES
            or sum(len(m.data) for _, m in self._images) > LARGEST_KEPT
        ):
            self._images.popleft()

    def wait(self, pair: StampedPair, camera: TargetCamera) -> None:
        """Have a pair wait for its image."""
        self._pairs.append((pair, camera))

    def ready(self, *, at_end: bool = False) -> Iterator[StampedPair]:
        """Yield the pairs, in their order, for which no nearer image can come."""
        newest = self._images[-1][0] if self._images else None
        while self._pairs:
            pair, camera = self._pairs[0]
            is_final = newest is not None and newest >= _time(pair)
            if not (is_final or at_end or len(self._pairs) > MOST_PAIRS):
                return
            self._pairs.popleft()
            yield self._colored(pair, camera)

    def _colored(self, pair: StampedPair, camera: TargetCamera) -> StampedPair:
        if pair.pair is None:
            return pair
        time_ns = _time(pair)
        found = min(self._images, key=lambda item: abs(item[0] - time_ns), default=None)
        if found is None or abs(found[0] - time_ns) > self._slop_ns:
            return _warned(pair, f'{self._topic} has no image within {self._slop}')
        try:
            image = _decoded(found[1], (camera.width, camera.height))
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
