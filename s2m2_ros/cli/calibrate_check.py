"""`s2m2 calibrate-check`: compare stereo depth with a tape-measured distance."""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from s2m2_ros.cli.calibration_option import add_calibration_argument, add_rectify_argument
from s2m2_ros.cli.matcher_options import add_matcher_arguments, open_matcher
from s2m2_ros.cli.option_names import CHECK_OPTIONS
from s2m2_ros.errors import S2M2Error

if TYPE_CHECKING:
    from s2m2_ros.geometry import RegionOfInterest, StereoCamera
    from s2m2_ros.geometry.distance_check import TargetMeasurement
    from s2m2_ros.inference import StereoMatcher
    from s2m2_ros.pipeline import PipelineOptions

SUMMARY = 'check the calibration with a flat target at a tape-measured distance'
# Pixels of less confidence are no part of the target's plane.
MIN_CONFIDENCE = 0.5

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measure:
    """What all targets share."""

    matcher: StereoMatcher
    options: PipelineOptions
    calibration: list[Path]
    region: RegionOfInterest | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare images, distances and the matcher's options."""
    parser.add_argument('left', type=Path, help='left image: a flat, textured target')
    parser.add_argument('right', type=Path, help='right image')
    add_calibration_argument(parser, required=True, help='as `s2m2 match` takes it')
    parser.add_argument(
        '--distance',
        type=float,
        required=True,
        metavar='METERS',
        help="from the left camera's lens to the target, along the line of sight",
    )
    parser.add_argument(
        '--pair2',
        type=Path,
        nargs=2,
        metavar=('LEFT', 'RIGHT'),
        help='images of the target at another distance, to separate scale from offset',
    )
    parser.add_argument(
        '--distance2', type=float, metavar='METERS', help='the distance in --pair2'
    )
    parser.add_argument(
        '--roi',
        metavar='X,Y,WIDTH,HEIGHT',
        help='where the target is, in pixels; default: the middle third of the image',
    )
    add_rectify_argument(parser)
    parser.add_argument(
        '--tape-error',
        type=float,
        default=0.002,
        metavar='METERS',
        help='standard deviation of the distances',
    )
    add_matcher_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what the target shows."""
    from s2m2_ros.geometry.distance_check import check_distances, report
    from s2m2_ros.pipeline import PipelineOptions

    targets = _targets(arguments)
    region = _region(arguments.roi) if arguments.roi else None
    if not arguments.tape_error > 0:
        raise S2M2Error(f'--tape-error must be above 0 meters, not {arguments.tape_error:g}')
    options = PipelineOptions(rectify=arguments.rectify, allow_negative=arguments.allow_negative)
    calibration = [path.expanduser() for path in arguments.calibration]
    measurements = []
    with open_matcher(arguments) as matcher:
        work = Measure(matcher, options, calibration, region)
        for left, right, distance in targets:
            camera, measurement = _measure(work, (left, right), distance)
            measurements.append(measurement)
    check = check_distances(camera, measurements, tape_error=arguments.tape_error)
    for line in report(camera, measurements, check):
        print(line)
    return 0


def _targets(arguments: argparse.Namespace) -> list[tuple[Path, Path, float]]:
    from s2m2_ros.geometry.distance_check import require_distance

    if (arguments.pair2 is None) != (arguments.distance2 is None):
        raise S2M2Error('--pair2 and --distance2 belong together: give both or neither')
    targets = [(arguments.left, arguments.right, arguments.distance)]
    if arguments.pair2:
        targets.append((*arguments.pair2, arguments.distance2))
    for _, _, distance in targets:
        require_distance(distance)
    return targets


def _region(text: str) -> RegionOfInterest:
    from s2m2_ros.geometry import RegionOfInterest

    try:
        x, y, width, height = (int(part) for part in text.split(','))
    except ValueError as error:
        raise S2M2Error(
            f'--roi {text}: write four whole numbers, such as 200,150,240,180'
        ) from error
    return RegionOfInterest(x, y, width, height)


def _measure(
    work: Measure, files: tuple[Path, Path], distance: float
) -> tuple[StereoCamera, TargetMeasurement]:
    """Match one pair as `s2m2 match` does, and fit the target's plane."""
    import numpy as np

    from s2m2_ros.geometry import Output
    from s2m2_ros.geometry.distance_check import TargetMeasurement, fit_target
    from s2m2_ros.io.images.pixel_range import PixelRange
    from s2m2_ros.offline.pair_jobs import JobOptions, image_jobs
    from s2m2_ros.pipeline import PipelineState, StereoPipeline, examine_outputs

    jobs = image_jobs(*files, JobOptions(Path(), work.calibration, names=CHECK_OPTIONS))
    if len(jobs) != 1:
        raise S2M2Error(f'{files[0]}: give one left and one right image, not {len(jobs)} pairs')
    pair = jobs[0].load(PixelRange())
    wanted = {Output.RAW_DISPARITY, Output.CONFIDENCE}
    outputs = StereoPipeline(work.matcher).process(pair, wanted, work.options, PipelineState())
    _, found = examine_outputs(outputs, work.options)
    faults = (*outputs.warnings, *(finding.text for finding in found))
    for text in (*outputs.notes, *faults):
        _logger.warning('%s: %s', files[0], text)
    if outputs.content.nothing_to_match or outputs.camera is None:
        raise S2M2Error(f'{files[0]}: there is nothing to match in this pair')
    arrays, camera = outputs.host.arrays, outputs.camera
    adjusted = arrays[Output.RAW_DISPARITY] - camera.principal_point_difference
    trusted = np.where(arrays[Output.CONFIDENCE] >= MIN_CONFIDENCE, adjusted, np.nan)
    suspect = f'fix what was found in this pair first: {"; ".join(faults)}' if faults else ''
    plane = fit_target(trusted, camera, work.region, suspect=suspect)
    return camera, TargetMeasurement(distance, plane)
