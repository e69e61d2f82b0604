"""`s2m2 match`: match image files and write everything that follows from them."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from s2m2_ros.cli.matcher_options import add_matcher_arguments, open_matcher
from s2m2_ros.errors import S2M2Error

SUMMARY = 'match a stereo pair, or two folders of them, and write the results'

_logger = logging.getLogger(__name__)

# Options of the outputs, named as the node's parameters, with which they agree.
OUTPUT_OPTIONS = (
    'confidence_threshold',
    'occlusion_threshold',
    'min_depth',
    'max_depth',
    'points_filter',
    'points_flying_pixel_filter',
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare images, outputs and the matcher's options."""
    parser.add_argument('left', type=Path, help='left image, or a folder of left images')
    parser.add_argument('right', type=Path, help='right image, or a folder of right images')
    parser.add_argument(
        '--calibration',
        type=Path,
        nargs='+',
        default=[],
        metavar='FILE',
        help='for depth and cloud: Middlebury calib.txt, KITTI calib, OpenCV YAML, or the two '
        'camera_info YAML files (or a folder with left.yaml and right.yaml)',
    )
    parser.add_argument('--output', type=Path, default=Path('s2m2_output'), help='folder to fill')
    _add_output_arguments(parser)
    parser.add_argument(
        '--overwrite', action='store_true', help='match again what is already done'
    )
    parser.add_argument(
        '--view', action='store_true', help='show the last cloud in the browser, in 3-D'
    )
    add_matcher_arguments(parser)


def _add_output_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--confidence-threshold',
        '--min-confidence',
        type=float,
        default=0.5,
        help='points of less confidence are removed from the cloud',
    )
    parser.add_argument(
        '--occlusion-threshold',
        type=float,
        default=0.5,
        help='points of less visibility are removed from the cloud',
    )
    parser.add_argument('--min-depth', type=float, default=0.0, help='in meters')
    parser.add_argument('--max-depth', type=float, default=0.0, help='in meters; 0: no limit')
    for name, what in (
        ('points_filter', 'keep untrusted and occluded points in the cloud'),
        ('points_flying_pixel_filter', 'keep points between foreground and background'),
    ):
        option = f'--no-{name.replace("_", "-")}'
        parser.add_argument(option, dest=name, action='store_false', help=what)


def run(arguments: argparse.Namespace) -> int:
    """Match all pairs; 1 if any of several failed."""
    from s2m2_ros.io.stereo_sources import named_pairs
    from s2m2_ros.offline.image_pairs import PairFiles, PairMatcher
    from s2m2_ros.offline.result_record import Recipe
    from s2m2_ros.pipeline import PipelineOptions, output_options

    if arguments.view and not arguments.calibration:
        raise S2M2Error('--view shows a cloud, which needs --calibration')
    pairs = [
        PairFiles(left, right, arguments.output / name, arguments.calibration)
        for name, left, right in named_pairs(arguments.left, arguments.right)
    ]
    chosen: dict[str, Any] = {name: getattr(arguments, name) for name in OUTPUT_OPTIONS}
    try:
        outputs = output_options(**chosen, points_organized=False)
    except ValueError as error:
        raise S2M2Error(str(error)) from error
    options = PipelineOptions(outputs, allow_negative=arguments.allow_negative)
    with open_matcher(arguments) as matcher:
        recipe = Recipe.of_matcher(
            matcher,
            chosen,
            refine_iterations=arguments.refine_iterations,
            allow_negative=arguments.allow_negative,
            max_width=arguments.max_width,
        )
        work = PairMatcher(matcher, options, recipe)
        waiting = pairs
        if len(pairs) > 1 and not arguments.overwrite:
            waiting = [files for files in pairs if not work.is_done(files)]
            if len(waiting) < len(pairs):
                done = len(pairs) - len(waiting)
                _logger.info('%d of %d are done already', done, len(pairs))
        failures = work.match_all(waiting)
    print(arguments.output)
    if arguments.view:
        _view(pairs[-1].output / 'cloud.ply')
    return 1 if failures else 0


def _view(cloud: Path) -> None:
    from s2m2_ros.viewer.cloud_viewer import CloudViewer

    with CloudViewer(cloud) as viewer:
        print(f'Open {viewer.address} in a browser; Ctrl-C ends.')
        viewer.wait()
