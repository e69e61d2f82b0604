"""`s2m2 process`: recordings in, recordings out, with everything that follows from their pairs."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from s2m2_ros.cli.calibration_option import add_calibration_argument
from s2m2_ros.cli.cluster_options import add_cluster_arguments, cluster_options
from s2m2_ros.cli.command_process import complain
from s2m2_ros.cli.process_progress import ProgressDisplay

if TYPE_CHECKING:
    from s2m2_ros.cli.node_parameters import PairParameters
    from s2m2_ros.node.parameters import Settings
    from s2m2_ros.offline.processing import ProcessOptions, Processor

SUMMARY = 'process recordings, folders of pairs or videos, and write the outputs of every pair'

_logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare inputs, what is written, and the options of matcher and node."""
    from s2m2_ros.cli.node_parameters import add_pair_parameters
    from s2m2_ros.offline.output_formats import DEFAULT_OUTPUTS, OutputFormat

    parser.add_argument(
        'inputs',
        type=_place,
        nargs='+',
        metavar='INPUT',
        help='a recording (rosbag2, MCAP, ROS 1 bag), a folder of recordings or of pairs, or a '
        'video of both views; a path or a URL that fsspec opens, such as s3://BUCKET/run.mcap',
    )
    parser.add_argument(
        '--output', type=_place, required=True, help='folder for the results, a path or a URL'
    )
    parser.add_argument(
        '--outputs',
        nargs='+',
        metavar='TOPIC',
        default=[],
        help='outputs of the node, e.g. depth points, or all that the formats take; default: '
        f'those of {" ".join(DEFAULT_OUTPUTS)} that they take',
    )
    parser.add_argument(
        '--format',
        nargs='+',
        choices=[kind.value for kind in OutputFormat],
        default=['mcap'],
        dest='formats',
        help='one kind of recording, or kinds of files for each pair',
    )
    parser.add_argument(
        '--keep',
        nargs='+',
        metavar='TOPIC',
        default=[],
        help='recorded topics to carry along, names or patterns like "/tf*", or all',
    )
    parser.add_argument(
        '--pair',
        nargs=2,
        action='append',
        default=[],
        dest='pairs',
        metavar=('LEFT', 'RIGHT'),
        help='image topics of a stereo pair; repeat it for several; default: every pair that '
        'the names show',
    )
    parser.add_argument(
        '--namespace', help='before the output topics; default: what both image topics begin with'
    )
    parser.add_argument(
        '--color-info',
        metavar='TOPIC',
        default='',
        help='camera_info of the camera that registered/depth belongs to, and that colors clouds '
        'with --points-color-source color; where it stands is taken from /tf_static',
    )
    parser.add_argument(
        '--color-image',
        metavar='TOPIC',
        default='',
        help='images of that camera; default: those that the camera_info belongs to',
    )
    parser.add_argument(
        '--points-frame',
        metavar='FRAME',
        help='frame that clouds are transformed into, by /tf and /tf_static of the recording',
    )
    add_calibration_argument(
        parser, default=[], help='in place of the recorded calibration, or of one next to images'
    )
    parser.add_argument(
        '--rate', type=float, default=10.0, help='pairs per second of images without timestamps'
    )
    parser.add_argument(
        '--frame-id', default='left_camera_optical_frame', help='frame of images that name none'
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='process again what is already done'
    )
    parser.add_argument(
        '--batch',
        type=int,
        default=0,
        metavar='N',
        help='pairs that are matched together; 0: 1 on a CPU, 4 on a GPU',
    )
    add_cluster_arguments(parser)
    add_pair_parameters(parser)


def _place(text: str) -> Path | str:
    """Return a path, or a URL as it is."""
    return text if '://' in text else Path(text).expanduser()


def run(arguments: argparse.Namespace) -> int:
    """Process all inputs; 1 if parts of them were lost."""
    from s2m2_ros.cli.node_parameters import PairParameters
    from s2m2_ros.offline.processing import Processor
    from s2m2_ros.offline.processing.inputs import find_inputs

    parameters = PairParameters(arguments)
    settings = parameters.settings()
    options = _process_options(arguments, parameters, settings)
    inputs = find_inputs(arguments.inputs, arguments.output)
    matching, cluster = settings.matcher_options(), cluster_options(arguments)
    pipeline = settings.pipeline_options()
    if options.temporal_fixed_frame:
        pipeline = replace(pipeline, temporal=replace(pipeline.temporal, mode='tf'))
    with (
        ProgressDisplay(together=cluster is not None and len(inputs) > 1) as display,
        Processor(matching, options, pipeline, display.show, cluster) as processor,
    ):
        try:
            return _process_all(processor, inputs, arguments)
        except KeyboardInterrupt:
            # Before what is open is closed, which may take a while.
            display.close()
            _say_interrupted()
            raise


def _process_all(
    processor: Processor, inputs: Sequence[tuple[str, Path | str]], arguments: argparse.Namespace
) -> int:
    status = 0
    outcomes = processor.process_all(inputs, arguments.output, again=arguments.overwrite)
    for outcome in outcomes:
        source, result = outcome.source, outcome.result
        if outcome.error is not None and len(inputs) == 1:
            raise outcome.error
        if result is None:
            complain(f"'{source}': {outcome.error}")
            status = 1
            continue
        if result.was_done:
            _logger.info("'%s' is done already", source)
        if not result.is_whole:
            text = f"'{source}': {result.pairs} pairs processed, {result.lost} lost"
            if result.incomplete:
                text += f', {result.incomplete} incomplete'
            elif not result.lost:
                text += (
                    ' besides those in what is damaged or missing; of a better copy in its place, '
                    'the same command makes the result anew'
                )
            complain(f'{text} (its report lists what and when)')
            status = 1
        print(result.place)
    return status


def _say_interrupted() -> None:
    complain(
        's2m2 process: interrupted; what is finished is kept, and the same command goes on from '
        'here'
    )


def _process_options(
    arguments: argparse.Namespace, parameters: PairParameters, settings: Settings
) -> ProcessOptions:
    from s2m2_ros.io.sources.view_layout import ViewLayout
    from s2m2_ros.offline.processing import OutputFormat, ProcessOptions

    return ProcessOptions(
        outputs=arguments.outputs,
        formats=[OutputFormat(name) for name in arguments.formats],
        keep=arguments.keep,
        pairs=[(left, right) for left, right in arguments.pairs],
        namespace=arguments.namespace,
        color_info=arguments.color_info,
        color_calibration=settings.color_calibration,
        points_color_source=settings.points_color_source,
        color_image=arguments.color_image,
        color_slop=settings.color_slop,
        points_frame=parameters.points_frame,
        temporal_fixed_frame=parameters.fixed_frame,
        calibration=[path.expanduser() for path in arguments.calibration],
        layout=ViewLayout(settings.input_layout),
        pixel_range=settings.pixel_range,
        depth_encoding=settings.depth_encoding,
        rate=arguments.rate,
        frame_id=arguments.frame_id,
        batch=arguments.batch,
        names=parameters.names,
    )
