"""`s2m2 calibrate-check`: compare stereo depth with a tape-measured distance."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from s2m2_ros.cli.matcher_options import add_matcher_arguments, open_matcher
from s2m2_ros.errors import S2M2Error

if TYPE_CHECKING:
    import numpy as np

    from s2m2_ros.geometry import RegionOfInterest, StereoCamera
    from s2m2_ros.geometry.distance_check import TargetMeasurement
    from s2m2_ros.inference import StereoMatcher

SUMMARY = 'check the calibration with a flat target at a tape-measured distance'
# Pixels of less confidence are no part of the target's plane.
MIN_CONFIDENCE = 0.5
# Above it, in pixels, the rows do not correspond.
MAX_VERTICAL_MISALIGNMENT = 2.0

_logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare images, distances and the matcher's options."""
    parser.add_argument('left', type=Path, help='left image: a flat, textured target')
    parser.add_argument('right', type=Path, help='right image')
    parser.add_argument(
        '--calibration',
        type=Path,
        nargs='+',
        required=True,
        metavar='FILE',
        help='as `s2m2 match` takes it',
    )
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
        help='images of the target at another distance, to tell a wrong scale from an offset',
    )
    parser.add_argument(
        '--distance2', type=float, metavar='METERS', help='the distance in --pair2'
    )
    parser.add_argument(
        '--roi',
        metavar='X,Y,WIDTH,HEIGHT',
        help='where the target is, in pixels; default: the middle third of the image',
    )
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

    targets = _targets(arguments)
    region = _region(arguments.roi) if arguments.roi else None
    if not arguments.tape_error > 0:
        raise S2M2Error(f'--tape-error must be above 0 meters, not {arguments.tape_error:g}')
    measurements = []
    with open_matcher(arguments) as matcher:
        for left, right, distance in targets:
            camera, measurement = _measure(
                matcher, (left, right), distance, arguments.calibration, region
            )
            measurements.append(measurement)
    check = check_distances(camera, measurements, tape_error=arguments.tape_error)
    for line in report(camera, measurements, check):
        print(line)
    return 0


def _targets(arguments: argparse.Namespace) -> list[tuple[Path, Path, float]]:
    if (arguments.pair2 is None) != (arguments.distance2 is None):
        raise S2M2Error('--pair2 and --distance2 belong together: give both or neither')
    targets = [(arguments.left, arguments.right, arguments.distance)]
    if arguments.pair2:
        targets.append((*arguments.pair2, arguments.distance2))
    for _, _, distance in targets:
        if not 0 < distance < float('inf'):
            raise S2M2Error(f'the distance must be above 0 meters, not {distance:g}')
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
    matcher: StereoMatcher,
    files: tuple[Path, Path],
    distance: float,
    calibration: list[Path],
    region: RegionOfInterest | None,
) -> tuple[StereoCamera, TargetMeasurement]:
    import torch

    from s2m2_ros.geometry import StereoCamera
    from s2m2_ros.geometry.distance_check import TargetMeasurement, fit_target
    from s2m2_ros.io.calibration.readers import read_calibration
    from s2m2_ros.io.image_files import read_image
    from s2m2_ros.pipeline.pair import PairInput
    from s2m2_ros.pipeline.stereo_pipeline import alike

    first, second = (read_image(file) for file in files)
    names = [str(file) for file in files]
    pair = PairInput(first, second, left_name=names[0], right_name=names[1])
    left, right = alike(pair)
    models = read_calibration(calibration, image_size=(left.shape[1], left.shape[0]))
    camera = StereoCamera.from_projection(*models)
    _warn(left, right, camera)
    result = matcher.match(left, right).cpu()
    disparity = camera.adjusted(result.disparity)
    trusted = torch.where(result.confidence >= MIN_CONFIDENCE, disparity, torch.nan)
    plane = fit_target(trusted.numpy(), camera, region)
    return camera, TargetMeasurement(distance, plane)


def _warn(left: np.ndarray, right: np.ndarray, camera: StereoCamera) -> None:
    """Log what is wrong with the pair."""
    from s2m2_ros.geometry.content_check import gray
    from s2m2_ros.geometry.pair_findings import findings
    from s2m2_ros.geometry.rectification_check import examine

    examination = examine(
        gray(left), gray(right), disparity_offset=camera.principal_point_difference
    )
    found = findings(
        examination,
        max_vertical_misalignment=MAX_VERTICAL_MISALIGNMENT,
        baseline=camera.baseline,
    )
    for finding in found:
        _logger.warning('%s', finding.text)
    if examination.content.nothing_to_match:
        raise S2M2Error('the pair holds nothing to match')
