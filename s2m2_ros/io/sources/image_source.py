"""Stereo pairs in image files, as frames."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from s2m2_ros.io.images import image_files
from s2m2_ros.io.sources.calibration_search import CalibrationLookup, no_calibration
from s2m2_ros.io.sources.stereo_frame import Pixels, StereoFrame
from s2m2_ros.io.sources.stereo_sources import ImagePair
from s2m2_ros.io.sources.view_layout import ViewLayout, split_views

# Decoding costs more than publishing; a repeated pair or a short loop is decoded once.
PAIRS_KEPT = 8


class ImageFiles:
    """Gives pairs of image files, each with the calibration given or the one beside it."""

    def __init__(
        self,
        pairs: Sequence[ImagePair],
        calibration: Sequence[Path] = (),
        *,
        layout: ViewLayout = ViewLayout.TWO_TOPICS,
        needs_calibration: bool = True,
    ) -> None:
        """Take the pairs and a calibration, one file or two, that all of them share.

        With ``layout``, ``left`` of a pair is the file of both views. Raises CalibrationError if
        there is no calibration though ``needs_calibration``.
        """
        self._pairs = pairs
        self._layout = layout
        self._needs_calibration = needs_calibration
        self._lookup = CalibrationLookup(calibration, is_needed=needs_calibration)
        self._images = functools.lru_cache(PAIRS_KEPT)(self._read_images)
        if pairs and needs_calibration and not self._lookup.files(pairs[0].left):
            raise no_calibration(pairs[0].left)

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[StereoFrame]:
        for pair in self._pairs:
            left, right = self._images(pair)
            models = self._lookup.models(pair.left, (left.shape[1], left.shape[0]))
            if models is None and self._needs_calibration:
                raise no_calibration(pair.left)
            left_model, right_model = models or (None, None)
            yield StereoFrame(left, right, left_model, right_model, pair.name)

    def _read_images(self, pair: ImagePair) -> tuple[Pixels, Pixels]:
        left = image_files.read_image(pair.left)
        if self._layout.in_one_image:
            return split_views(left, self._layout)
        return left, image_files.read_image(pair.right)
