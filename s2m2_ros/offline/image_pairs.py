"""Matching image files: what is written of each pair, and whether it is done already."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from s2m2_ros.atomic_files import FileWriteError
from s2m2_ros.errors import S2M2Error
from s2m2_ros.geometry import Output
from s2m2_ros.inference.matcher import StereoMatcher
from s2m2_ros.io.images import image_files
from s2m2_ros.io.images.pixel_range import PixelRange
from s2m2_ros.offline.result_record import (
    RECORD,
    Recipe,
    is_of_calibration,
    is_recorded,
    write_record,
)
from s2m2_ros.pipeline import (
    PairInput,
    PairOutputs,
    PipelineOptions,
    PipelineState,
    StereoPipeline,
    examine_outputs,
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
# Columns of a cloud without confidence.
COLORED = 4


@dataclass(frozen=True)
class PairJob:
    """One pair to match.

    Attributes:
        label: the file, for messages.
        output: folder to fill; made if missing.
        load: reads the pair; raises S2M2Error.
        digests: returns SHA-256 digests of what the result depends on, by role.
        calibrated: whether depth and cloud are written too.
        name: what distinguishes the pair within its source.
        stamp_ns: when it was taken, in nanoseconds; None where the source has no clock.

    """

    label: str
    output: Path
    load: Callable[[PixelRange], PairInput]
    digests: Callable[[], Mapping[str, Sequence[str]]]
    calibrated: bool
    name: str = ''
    stamp_ns: int | None = None

    @property
    def results(self) -> tuple[str, ...]:
        """Names of the files that are written."""
        return FILES + (CALIBRATED_FILES if self.calibrated else ())


@dataclass(frozen=True)
class PairMatcher:
    """Matches pairs with one matcher and one set of options, and writes files."""

    matcher: StereoMatcher
    options: PipelineOptions
    facts: Recipe
    pixel_range: str = 'auto'
    state: PipelineState = field(default_factory=PipelineState)

    def is_done(self, job: PairJob) -> bool:
        """Return whether every result is there, made from the same inputs in the same way."""
        complete = all((job.output / name).is_file() for name in job.results)
        return complete and is_recorded(job.output, self._recipe(job))

    def match_all(self, jobs: Iterable[PairJob], *, count: int | None) -> int:
        """Match pairs with a progress bar, and return how many failed.

        A single pair's error is raised; of several, each is logged and the rest goes on. `count`
        is None if it is not known.
        """
        failures = 0
        with logging_redirect_tqdm():
            for job in tqdm(jobs, unit='pair', total=count, disable=count == 1):
                try:
                    self.match(job)
                except S2M2Error as error:
                    if count == 1:
                        raise
                    failures += 1
                    _logger.error('%s: %s', job.label, error)
        return failures

    def match(self, job: PairJob) -> PairOutputs:
        """Match one pair and write its files, the record last. Raises S2M2Error."""
        pair = job.load(PixelRange(self.pixel_range))
        wanted = WANTED | CALIBRATED if pair.calibration else WANTED
        outputs = StereoPipeline(self.matcher).process(pair, wanted, self.options, self.state)
        _, found = examine_outputs(outputs, self.options)
        remarks = [*outputs.warnings, *(finding.text for finding in found)]
        for text in outputs.notes:
            _logger.info('%s: %s', job.label, text)
        for text in remarks:
            _logger.warning('%s: %s', job.label, text)
        try:
            job.output.mkdir(parents=True, exist_ok=True)
            _remove_earlier_result(job.output)
        except OSError as error:
            raise FileWriteError(f"cannot make '{job.output}': {error.strerror}") from error
        _write_maps(job.output, outputs)
        if pair.calibration is not None:
            _write_geometry(job.output, outputs)
        facts = {'remarks': remarks, 'notes': list(outputs.notes)}
        write_record(job.output, self._recipe(job), **facts)
        return outputs

    def _recipe(self, job: PairJob) -> Recipe:
        return self.facts.with_inputs(job.digests())


def _remove_earlier_result(folder: Path) -> None:
    """Remove the files of an earlier pair, which would pass for those of this one.

    The record, which says that they are ours, goes last: other files of these names stay.
    """
    if (folder / RECORD).is_file():
        calibrated = CALIBRATED_FILES if is_of_calibration(folder) else ()
        for name in (*calibrated, *FILES):
            (folder / name).unlink(missing_ok=True)


def _write_maps(folder: Path, outputs: PairOutputs) -> None:
    arrays = outputs.host.arrays
    disparity = arrays[Output.RAW_DISPARITY]
    image_files.write_pfm(folder / 'disparity.pfm', disparity)
    lost = image_files.write_steps(
        folder / 'disparity.png', disparity, image_files.DISPARITY_STEPS
    )
    _report_lost(lost, folder / 'disparity.png', 'disparities of 0 to 255.996 px')
    picture = image_files.disparity_picture(disparity)
    image_files.write_png(folder / 'disparity_color.png', picture)
    confidence = image_files.fraction_picture(arrays[Output.CONFIDENCE])
    image_files.write_png(folder / 'confidence.png', confidence)
    occlusion = image_files.fraction_picture(1 - arrays[Output.VISIBILITY])
    image_files.write_png(folder / 'occlusion.png', occlusion)


def _write_geometry(folder: Path, outputs: PairOutputs) -> None:
    depth = outputs.host.arrays[Output.DEPTH]
    image_files.write_pfm(folder / 'depth.pfm', depth)
    lost = image_files.write_steps(folder / 'depth.png', depth, image_files.DEPTH_STEPS)
    _report_lost(lost, folder / 'depth.png', 'depths up to 65.535 m')
    cloud = outputs.host.arrays[Output.POINTS]
    image_files.write_ply(folder / 'cloud.ply', cloud, with_confidence=cloud.shape[1] > COLORED)


def _report_lost(count: int, file: Path, held: str) -> None:
    if count:
        _logger.warning(
            '%s: %d known pixels are 0 (unknown) there, since its 16 bits hold %s; the .pfm file '
            'beside it holds them',
            file,
            count,
            held,
        )
