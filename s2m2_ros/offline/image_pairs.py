"""Matching image files: what is written of each pair, and whether it is done already."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from s2m2_ros.atomic_files import FileWriteError
from s2m2_ros.errors import S2M2Error
from s2m2_ros.geometry import CameraModel, Output
from s2m2_ros.inference.matcher import StereoMatcher
from s2m2_ros.io import image_files
from s2m2_ros.io.calibration import read_calibration
from s2m2_ros.offline.result_record import RECORD, Recipe, is_recorded, write_record
from s2m2_ros.pipeline import (
    PairInput,
    PairOutputs,
    PipelineOptions,
    PipelineState,
    StereoPipeline,
)

_logger = logging.getLogger(__name__)

FILES = (
    'disparity.pfm',
    'disparity.png',
    'disparity_color.png',
    'confidence.png',
    'occlusion.png',
    RECORD,
)
CALIBRATED_FILES = ('depth.pfm', 'depth.png', 'cloud.ply')
WANTED = frozenset({Output.RAW_DISPARITY, Output.CONFIDENCE, Output.VISIBILITY})
CALIBRATED = frozenset({Output.DEPTH, Output.POINTS})


@dataclass(frozen=True)
class PairFiles:
    """One pair of image files and the folder for its results.

    Attributes:
        left, right: image files.
        output: folder to fill; made if missing.
        calibration: files for `read_calibration`; without them there is neither depth nor cloud.

    """

    left: Path
    right: Path
    output: Path
    calibration: Sequence[Path] = ()

    @property
    def results(self) -> tuple[str, ...]:
        """Names of the files that are written."""
        return FILES + (CALIBRATED_FILES if self.calibration else ())


@dataclass(frozen=True)
class PairMatcher:
    """Matches image files with one matcher and one set of options."""

    matcher: StereoMatcher
    options: PipelineOptions
    facts: Recipe
    state: PipelineState = field(default_factory=PipelineState)

    def is_done(self, files: PairFiles) -> bool:
        """Tell whether every result is there, made from the same inputs in the same way."""
        complete = all((files.output / name).is_file() for name in files.results)
        return complete and is_recorded(files.output, self._recipe(files))

    def match_all(self, pairs: Sequence[PairFiles]) -> int:
        """Match pairs with a progress bar, and return how many failed.

        A single pair's error is raised; of several, each is logged and the rest goes on.
        """
        failures = 0
        with logging_redirect_tqdm():
            for files in tqdm(pairs, unit='pair', disable=len(pairs) == 1):
                try:
                    self.match(files)
                except S2M2Error as error:
                    if len(pairs) == 1:
                        raise
                    failures += 1
                    _logger.error('%s: %s', files.left, error)
        return failures

    def match(self, files: PairFiles) -> PairOutputs:
        """Match one pair and write its files, the record last. Raises S2M2Error."""
        pair = _read(files)
        wanted = WANTED | CALIBRATED if pair.calibration else WANTED
        outputs = StereoPipeline(self.matcher).process(pair, wanted, self.options, self.state)
        try:
            files.output.mkdir(parents=True, exist_ok=True)
            (files.output / RECORD).unlink(missing_ok=True)
        except OSError as error:
            raise FileWriteError(f"cannot make '{files.output}': {error.strerror}") from error
        _write_maps(files.output, outputs)
        if pair.calibration is not None:
            _write_geometry(files.output, outputs)
        write_record(files.output, self._recipe(files))
        return outputs

    def _recipe(self, files: PairFiles) -> Recipe:
        return self.facts.of_files(files.left, files.right, files.calibration)


def _read(files: PairFiles) -> PairInput:
    left, right = image_files.read_image(files.left), image_files.read_image(files.right)
    calibration: tuple[CameraModel, CameraModel] | None = None
    if files.calibration:
        size = (left.shape[1], left.shape[0])
        calibration = read_calibration(files.calibration, image_size=size)
    return PairInput(left, right, calibration, str(files.left), str(files.right))


def _write_maps(folder: Path, outputs: PairOutputs) -> None:
    arrays = outputs.host.arrays
    disparity = arrays[Output.RAW_DISPARITY]
    image_files.write_pfm(folder / 'disparity.pfm', disparity)
    image_files.write_steps(folder / 'disparity.png', disparity, image_files.DISPARITY_STEPS)
    picture = image_files.disparity_picture(disparity)
    image_files.write_png(folder / 'disparity_color.png', picture)
    confidence = image_files.share_picture(arrays[Output.CONFIDENCE])
    image_files.write_png(folder / 'confidence.png', confidence)
    occlusion = image_files.share_picture(1 - arrays[Output.VISIBILITY])
    image_files.write_png(folder / 'occlusion.png', occlusion)


def _write_geometry(folder: Path, outputs: PairOutputs) -> None:
    depth = outputs.host.arrays[Output.DEPTH]
    image_files.write_pfm(folder / 'depth.pfm', depth)
    image_files.write_steps(folder / 'depth.png', depth, image_files.DEPTH_STEPS)
    image_files.write_ply(folder / 'cloud.ply', outputs.host.arrays[Output.POINTS])
