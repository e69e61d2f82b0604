"""Stereo pairs in image files: which belong together, and reading them as messages."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sensor_msgs.msg import CameraInfo, Image

from s2m2_ros.inference import file_matching, image_files
from s2m2_ros.node.stereo_frame import PlaybackError, StereoFrame, image_message, read_camera_infos

# How a left image's path differs from its right one's: plain words, Middlebury, KITTI.
MARKERS = (('left', 'right'), ('im0', 'im1'), ('image_2', 'image_3'), ('image_0', 'image_1'))
# Decoding costs more than publishing; a repeated pair or a short loop is decoded once.
PAIRS_KEPT = 8


@dataclass(frozen=True)
class ImagePair:
    """The two files of one pair."""

    left: Path
    right: Path


def find_pairs(source: Path, right_source: Path | None = None) -> list[ImagePair]:
    """Return the pairs that a source names, in order of their left paths.

    With ``right_source``, both are one image each, or folders as `s2m2 match` takes them. Without,
    ``source`` is a folder, searched with its subfolders for paths that differ as :data:`MARKERS`
    say (``left/7.png`` and ``right/7.png``, ``desk_left.png`` and ``desk_right.png``, ``im0.png``
    and ``im1.png``). Raises :class:`S2M2Error` if there is no pair.
    """
    if right_source is not None:
        named = file_matching.find_pairs(source, right_source)
        return [ImagePair(left, right) for _, left, right in named]
    pairs = _pairs_by_marker(source) if source.is_dir() else []
    if not pairs:
        raise PlaybackError(
            f"no stereo pairs in '{source}': name a folder of files like desk_left.png and "
            'desk_right.png or with folders left and right in it, or give the right image or '
            'folder as right_source'
        )
    return pairs


def _pairs_by_marker(folder: Path) -> list[ImagePair]:
    pairs = []
    for left in sorted(folder.rglob('*')):
        if left.suffix.lower() not in image_files.SUFFIXES:
            continue
        relative = str(left.relative_to(folder))
        for left_marker, right_marker in MARKERS:
            right = folder / relative.replace(left_marker, right_marker)
            if right != left and right.is_file():
                pairs.append(ImagePair(left, right))
                break
    return pairs


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
