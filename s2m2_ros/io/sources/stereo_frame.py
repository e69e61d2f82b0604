"""What every source of stereo pairs gives: frames of arrays or messages, free of ROS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from s2m2_ros.errors import S2M2Error

Pixels = npt.NDArray[Any]

NANOSECONDS = 10**9


class PlaybackError(S2M2Error):
    """What was to be played cannot be: says which file or topic, and what to do."""


@dataclass(frozen=True)
class StereoFrame:
    """One stereo pair with its calibration.

    Attributes:
        left, right: pixels (H, W) or (H, W, 3) RGB; or, from a recording, an Image or
            CompressedImage as `rosbags` deserializes it.
        left_info, right_info: a CameraModel; or, from a recording, a CameraInfo as `rosbags`
            deserializes it. None where the source has no calibration.
        name: what distinguishes this pair within its source: a path without suffix, a frame
            number or a timestamp.
        stamps_ns: when the left and the right image were taken, in nanoseconds on the source's
            own clock; None where it has none (image files).

    """

    left: Any
    right: Any
    left_info: Any
    right_info: Any
    name: str = ''
    stamps_ns: tuple[int, int] | None = None

    @property
    def time(self) -> float | None:
        """Return when the left image was taken, in seconds, None where the source has no clock."""
        return None if self.stamps_ns is None else self.stamps_ns[0] / NANOSECONDS

    def arrays(self) -> tuple[Pixels, Pixels]:
        """Return both images as pixels, decoded where they are messages; raises ImageError."""
        return image_pixels(self.left), image_pixels(self.right)


class PairSource(Protocol):
    """Stereo pairs from files, a video, a camera or a recording.

    Iterating gives them from the start each time (a camera: from now on), and raises S2M2Error for
    what cannot be read.
    """

    def __iter__(self) -> Iterator[StereoFrame]: ...


def image_pixels(image: Any) -> Pixels:
    """Return the pixels of an array, an Image or a CompressedImage; raises ImageError."""
    if isinstance(image, np.ndarray):
        return image
    from s2m2_ros.io.images import ros_images

    if hasattr(image, 'format'):
        return ros_images.decode_compressed_image(image)
    return ros_images.decode_image(image)


def image_size(image: Any) -> tuple[int, int]:
    """Return width and height in pixels of an array, an Image or a CompressedImage."""
    if not isinstance(image, np.ndarray) and hasattr(image, 'encoding'):
        return int(image.width), int(image.height)
    if not isinstance(image, np.ndarray):
        from s2m2_ros.io.images.compressed_images import announced_size

        width, height = announced_size(bytes(image.data))
        if width and height:
            return width, height
    pixels = image_pixels(image)
    return pixels.shape[1], pixels.shape[0]


def seconds_text(stamp_ns: int) -> str:
    """Return a time as text in seconds, to the nanosecond."""
    return f'{stamp_ns // NANOSECONDS}.{stamp_ns % NANOSECONDS:09d}'
