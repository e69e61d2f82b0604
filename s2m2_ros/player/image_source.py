"""Stereo pairs in image files, as messages."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from sensor_msgs.msg import CameraInfo, Image

from s2m2_ros.io import image_files
from s2m2_ros.io.stereo_frame import StereoFrame, image_message, read_camera_infos
from s2m2_ros.io.stereo_sources import ImagePair

# Decoding costs more than publishing; a repeated pair or a short loop is decoded once.
PAIRS_KEPT = 8


class ImageFiles:
    """Plays pairs of image files; iterating over it gives each pair once."""

    def __init__(
        self, pairs: Sequence[ImagePair], calibration: Sequence[Path], frame_ids: Sequence[str]
    ) -> None:
        """Take the pairs and the calibration, one file or two, that all of them share."""
        self._pairs = pairs
        self._calibration = calibration
        self._frame_ids = tuple(frame_ids)
        self._infos = functools.lru_cache(self._read_infos)
        self._images = functools.lru_cache(PAIRS_KEPT)(self._read_images)

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[StereoFrame]:
        for pair in self._pairs:
            left, right = self._images(pair)
            left_info, right_info = self._infos(left.width, left.height)
            yield StereoFrame(left, right, left_info, right_info)

    def _read_images(self, pair: ImagePair) -> tuple[Image, Image]:
        left = image_message(image_files.read_image(pair.left), frame_id=self._frame_ids[0])
        right = image_message(image_files.read_image(pair.right), frame_id=self._frame_ids[1])
        return left, right

    def _read_infos(self, width: int, height: int) -> tuple[CameraInfo, CameraInfo]:
        return read_camera_infos(self._calibration, (width, height), self._frame_ids)
