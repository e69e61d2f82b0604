"""`s2m2 match`: match image files and write everything that follows from them."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from s2m2_ros.cli.matcher_options import add_matcher_arguments, open_matcher
from s2m2_ros.errors import S2M2Error

SUMMARY = 'match a stereo pair, or two folders of them, and write the results'

_logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare images, outputs and the matcher's options."""
    parser.add_argument('left', type=Path, help='left image, or a folder of left images')
    parser.add_argument('right', type=Path, help='right image, or a folder of right images')
    parser.add_argument(
        '--calibration',
        type=Path,
        nargs='+',
        metavar='FILE',
        help='for depth and cloud: Middlebury calib.txt, KITTI calib, OpenCV YAML, or the two '
        'camera_info YAML files (or a folder with left.yaml and right.yaml)',
    )
    parser.add_argument('--output', type=Path, default=Path('s2m2_output'), help='folder to fill')
    parser.add_argument(
        '--min-confidence', type=float, default=0.1, help='points below it are left out of clouds'
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='match again what is already done'
    )
    parser.add_argument(
        '--view', action='store_true', help='show the last cloud in the browser, in 3-D'
    )
    add_matcher_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Match all pairs; 1 if any of several failed."""
    from s2m2_ros.io.stereo_sources import named_pairs
    from s2m2_ros.offline.image_pairs import MatchFiles, is_done, match_files

    if arguments.view and not arguments.calibration:
        raise S2M2Error('--view shows a cloud, which needs --calibration')
    pairs = named_pairs(arguments.left, arguments.right)
    jobs = [
        MatchFiles(
            left, right, arguments.output / name, arguments.calibration, arguments.min_confidence
        )
        for name, left, right in pairs
    ]
    waiting = [job for job in jobs if arguments.overwrite or not is_done(job)]
    if len(waiting) < len(jobs):
        _logger.info('%d of %d are done already', len(jobs) - len(waiting), len(jobs))
    failures = 0
    if waiting:
        with open_matcher(arguments) as matcher:
            failures = match_files(matcher, waiting)
    print(arguments.output)
    if arguments.view:
        _view(jobs[-1].output / 'cloud.ply')
    return 1 if failures else 0


def _view(cloud: Path) -> None:
    from s2m2_ros.viewer.cloud_viewer import CloudViewer

    with CloudViewer(cloud) as viewer:
        print(f'Open {viewer.address} in a browser; Ctrl-C ends.')
        viewer.wait()
