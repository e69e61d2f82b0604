"""`s2m2 match`: match image files and write everything that follows from them."""

from __future__ import annotations

import argparse
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2m2_ros.cli.calibration_option import add_calibration_argument, add_rectify_argument
from s2m2_ros.cli.mask_options import add_mask_arguments, image_mask, mask_facts
from s2m2_ros.cli.matcher_options import add_matcher_arguments, matcher_options
from s2m2_ros.cli.option_names import MATCH_OPTIONS
from s2m2_ros.cli.view import cloud_file, view_cloud
from s2m2_ros.errors import S2M2Error
from s2m2_ros.io.images.pixel_range import SETTINGS
from s2m2_ros.io.sources.view_layout import ViewLayout

if TYPE_CHECKING:
    from s2m2_ros.offline.image_pairs import PairJob, PairMatcher
    from s2m2_ros.pipeline import PipelineOptions

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
    'points_voxel_size',
    'points_voxel_growth',
)
# Those whose values are checked as the node does.
CHECKED = (*OUTPUT_OPTIONS, 'depth_scale', 'disparity_offset')


INPUT_OPTIONS = (
    'rectify',
    'input_layout',
    'pixel_range',
    'depth_scale',
    'disparity_offset',
)
MATCHER_OPTIONS = (
    'refine_iterations',
    'allow_negative',
    'max_width',
    'upsampling',
    'sgbm_refinement',
)
SGBM_OPTIONS = (
    'sgbm_search_fraction',
    'sgbm_working_width',
    'sgbm_speckle_size',
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare images, outputs and the matcher's options."""
    parser.add_argument(
        'left',
        type=Path,
        help='left image, a folder of left images or of pairs, or a video',
    )
    parser.add_argument(
        'right',
        type=Path,
        nargs='?',
        help='right image, folder of right images, or video; omit it where LEFT holds both',
    )
    add_calibration_argument(
        parser,
        default=[],
        help='for depth and cloud: Middlebury calib.txt, KITTI calib, P1 and P2 or Q of OpenCV '
        '(YAML, XML, npz), K.txt, ost.txt, or camera_info YAML; one file of both cameras, the '
        'left and the right file, or a folder that holds them; default: one next to '
        'the images',
    )
    parser.add_argument('--output', type=Path, default=Path('s2m2_output'), help='folder to fill')
    _add_output_arguments(parser)
    parser.add_argument(
        '--input-layout',
        choices=[layout.value for layout in ViewLayout],
        default=ViewLayout.TWO_TOPICS.value,
        help='where the views are, if one image or video holds both; two_topics: in two files',
    )
    parser.add_argument(
        '--pixel-range',
        choices=SETTINGS,
        default='auto',
        help='values of images of more than 8 bits: auto, full, or a number of bits',
    )
    parser.add_argument(
        '--depth-scale', type=float, default=1.0, help='correction that calibrate-check found'
    )
    parser.add_argument(
        '--disparity-offset', type=float, default=0.0, help='in pixels; from calibrate-check too'
    )
    add_rectify_argument(parser)
    add_mask_arguments(parser)
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
    parser.add_argument(
        '--points-voxel-size',
        type=float,
        default=0.0,
        help='one point for each voxel of this edge in meters; 0: every point',
    )
    parser.add_argument(
        '--points-voxel-growth',
        type=float,
        default=0.0,
        help='let voxels grow to so many standard deviations of the depth',
    )
    for name, what in (
        ('points_filter', 'keep untrusted and occluded points in the cloud'),
        ('points_flying_pixel_filter', 'keep points between foreground and background'),
    ):
        option = f'--no-{name.replace("_", "-")}'
        parser.add_argument(option, dest=name, action='store_false', help=what)


def run(arguments: argparse.Namespace) -> int:
    """Match all pairs; 1 if any of several failed."""
    from s2m2_ros.cli.node_parameters import check_values
    from s2m2_ros.offline.image_pairs import PairMatcher
    from s2m2_ros.offline.pair_jobs import JobOptions, image_jobs, is_video_file, video_jobs
    from s2m2_ros.offline.result_record import Recipe

    check_values(arguments, CHECKED)
    calibration = [path.expanduser() for path in arguments.calibration]
    layout = ViewLayout(arguments.input_layout)
    shared = JobOptions(arguments.output, calibration, layout, names=MATCH_OPTIONS)
    chosen: dict[str, Any] = {name: getattr(arguments, name) for name in OUTPUT_OPTIONS}
    options = _pipeline_options(arguments, chosen)
    is_video = is_video_file(arguments.left)
    images = [] if is_video else image_jobs(arguments.left, arguments.right, shared)
    if arguments.view and not (arguments.calibration or any(job.calibrated for job in images)):
        raise S2M2Error(
            '--view shows a cloud, which needs --calibration, or a calibration beside the images'
        )
    matching = matcher_options(arguments)
    with matching.open() as matcher:
        recipe = Recipe.of_matcher(
            matcher,
            {
                **chosen,
                **{name: getattr(arguments, name) for name in INPUT_OPTIONS},
                **mask_facts(arguments),
            },
            **{name: getattr(matching, name) for name in MATCHER_OPTIONS},
            **{name: getattr(arguments, name) for name in SGBM_OPTIONS},
        )
        work = PairMatcher(matcher, options, recipe, arguments.pixel_range)
        if is_video:
            frames = video_jobs(arguments.left, arguments.right, shared)
            failures = work.match_all(frames, count=None)
        else:
            waiting = images if arguments.overwrite else _not_done(work, images)
            failures = work.match_all(waiting, count=len(images))
    print(arguments.output, flush=True)
    if arguments.view:
        view_cloud(cloud_file(arguments.output))
    elif images:
        _logger.info(_next_step(images, arguments.output))
    return 1 if failures else 0


def _next_step(jobs: Sequence[PairJob], output: Path) -> str:
    """Return what to do with results of images, or what they lack."""
    if not any(job.calibrated for job in jobs):
        return 'without a calibration there is no depth and no cloud: see --calibration'
    return f'to look at a cloud: s2m2 view {shlex.quote(str(output))}'


def _pipeline_options(arguments: argparse.Namespace, chosen: dict[str, Any]) -> PipelineOptions:
    from s2m2_ros.geometry.distance_check import RigCorrection
    from s2m2_ros.pipeline import PipelineOptions, output_options

    try:
        outputs = output_options(**chosen, points_organized=False, points_confidence=True)
    except ValueError as error:
        raise S2M2Error(str(error)) from error
    return PipelineOptions(
        outputs,
        rectify=arguments.rectify,
        correction=RigCorrection(arguments.depth_scale, arguments.disparity_offset),
        allow_negative=arguments.allow_negative,
        mask=image_mask(arguments),
    )


def _not_done(work: PairMatcher, jobs: list[PairJob]) -> list[PairJob]:
    """Return the jobs that are to be done; a single one always is."""
    if len(jobs) == 1:
        return jobs
    waiting = [job for job in jobs if not work.is_done(job)]
    if len(waiting) < len(jobs):
        _logger.info('%d of %d are done already', len(jobs) - len(waiting), len(jobs))
    return waiting
