"""Matching image files: which belong together, and what is written of each pair."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from s2m2_ros.errors import S2M2Error
from s2m2_ros.geometry import (
    CloudOptions,
    Estimate,
    HostOutputs,
    Output,
    OutputOptions,
    PixelFilter,
    StereoCamera,
    compute_outputs,
)
from s2m2_ros.inference.errors import InferenceError
from s2m2_ros.inference.matcher import StereoMatcher
from s2m2_ros.inference.result import MatchResult
from s2m2_ros.io import image_files
from s2m2_ros.io.calibration.readers import read_calibration
from s2m2_ros.io.pixel_range import PixelRange, scale_pair

FileImage = npt.NDArray[Any]
FloatMap = npt.NDArray[np.float32]

_logger = logging.getLogger(__name__)

FILES = (
    'disparity.pfm',
    'disparity.png',
    'disparity_color.png',
    'confidence.png',
    'occlusion.png',
)
CALIBRATED_FILES = ('depth.pfm', 'depth.png', 'cloud.ply')


@dataclass(frozen=True)
class MatchFiles:
    """One pair of image files and the folder for its results.

    Attributes:
        left, right: image files.
        output: folder to fill; made if missing.
        calibration: files for `read_calibration`; without them there is neither depth nor cloud.
        min_confidence: points below it are left out of the cloud.

    """

    left: Path
    right: Path
    output: Path
    calibration: Sequence[Path] | None = None
    min_confidence: float = 0.1


def is_done(job: MatchFiles) -> bool:
    """Tell whether every file of a pair is there."""
    names = FILES + (CALIBRATED_FILES if job.calibration else ())
    return all((job.output / name).is_file() for name in names)


def match_files(matcher: StereoMatcher, jobs: Sequence[MatchFiles]) -> int:
    """Match all pairs with a progress bar, and return how many failed.

    A single pair's error is raised; of several, each is logged and the rest goes on.
    """
    failures = 0
    with logging_redirect_tqdm():
        for job in tqdm(jobs, unit='pair', disable=len(jobs) == 1):
            try:
                match_one(matcher, job)
            except S2M2Error as error:
                if len(jobs) == 1:
                    raise
                failures += 1
                _logger.error('%s: %s', job.left, error)
    return failures


def match_one(matcher: StereoMatcher, job: MatchFiles) -> None:
    """Match one pair and write its files."""
    left, right = _read_pair(job)
    camera = None
    if job.calibration:
        size = (left.shape[1], left.shape[0])
        models = read_calibration(job.calibration, image_size=size)
        camera = StereoCamera.from_projection(*models)
        camera.require_size(*size)
    result = matcher.match(left, right)
    try:
        job.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InferenceError(f"cannot make '{job.output}': {error.strerror}") from error
    _write_maps(job.output, result.cpu())
    if camera is not None:
        _write_geometry(job, camera, result, left)


def _read_pair(job: MatchFiles) -> tuple[FileImage, FileImage]:
    """Return both images for the matcher, and log the range of values that was found."""
    pixel_range = PixelRange()
    raw = [image_files.read_raw(path) for path in (job.left, job.right)]
    pair = scale_pair(raw[0], raw[1], pixel_range)
    if pixel_range.note is not None:
        _logger.info('%s: %s', job.left, pixel_range.note.text)
    return pair


def _write_steps(path: Path, values: FloatMap, steps: float) -> None:
    lost = image_files.write_steps(path, values, steps)
    if lost:
        _logger.warning(
            '%s: %d pixels are 0 (unknown) because 16 bits cannot hold their values; '
            '%s has them',
            path,
            lost,
            path.with_suffix('.pfm').name,
        )


def _write_maps(folder: Path, result: MatchResult) -> None:
    disparity = result.disparity.numpy()
    image_files.write_pfm(folder / 'disparity.pfm', disparity)
    _write_steps(folder / 'disparity.png', disparity, image_files.DISPARITY_STEPS)
    picture = image_files.disparity_picture(disparity)
    image_files.write_png(folder / 'disparity_color.png', picture)
    confidence = image_files.share_picture(result.confidence.numpy())
    image_files.write_png(folder / 'confidence.png', confidence)
    occlusion = image_files.share_picture(1 - result.visibility.numpy())
    image_files.write_png(folder / 'occlusion.png', occlusion)


def _write_geometry(
    job: MatchFiles, camera: StereoCamera, result: MatchResult, left: FileImage
) -> None:
    outputs = _geometry(camera, result, left, job.min_confidence)
    depth = outputs.arrays[Output.DEPTH]
    image_files.write_pfm(job.output / 'depth.pfm', depth)
    _write_steps(job.output / 'depth.png', depth, image_files.DEPTH_STEPS)
    image_files.write_ply(job.output / 'cloud.ply', outputs.arrays[Output.POINTS])


def _geometry(
    camera: StereoCamera, result: MatchResult, left: FileImage, min_confidence: float
) -> HostOutputs:
    chosen = PixelFilter(min_confidence=min_confidence, min_visibility=0.5)
    options = OutputOptions(cloud=CloudOptions(organized=False, filter=chosen))
    estimate = Estimate(result.disparity, result.visibility, result.confidence)
    wanted = (Output.DEPTH, Output.POINTS)
    return compute_outputs(camera, estimate, wanted, image=_as_bytes(left), options=options)


def _as_bytes(image: FileImage) -> FileImage:
    """Return an image of 0..255 as uint8, as clouds carry 8 bits per channel."""
    return image if image.dtype == np.uint8 else np.rint(image).astype(np.uint8)
