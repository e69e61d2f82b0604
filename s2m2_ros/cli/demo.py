"""`s2m2 demo`: real scenes through the whole ROS 2 node, with pictures of what comes out."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2m2_ros.cli.matcher_options import add_preset_argument
from s2m2_ros.inference.presets import AUTO, BY_PRESET

SUMMARY = 'play real stereo pairs through the ROS 2 node and draw what it publishes'

NEXT_STEPS = """
What next?
  your own files     s2m2 match LEFT.png RIGHT.png --calibration FILE --view
  your own cameras   ros2 launch s2m2_ros stereo.launch.py left_image:=... right_image:=...
  better weights     s2m2 weights list
  something wrong?   s2m2 doctor"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is played, by what it is matched, and where the results go."""
    parser.add_argument('--output', type=Path, default=Path('demo_output'), help='folder to fill')
    parser.add_argument(
        '--source', type=Path, help='folder of pairs or recording; else scenes are downloaded once'
    )
    parser.add_argument('--calibration', type=Path, help='calibration of the source')
    parser.add_argument(
        '--checkpoint', default='starter', help='name (see `s2m2 weights list`) or path'
    )
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1, ...')
    parser.add_argument('--backend', default='auto', help='what runs the network')
    add_preset_argument(parser, default=AUTO)
    parser.add_argument(
        '--max-width',
        type=int,
        default=BY_PRESET,
        help='match at this width at most; 0: no limit; default: as --preset says',
    )
    parser.add_argument('--pairs', type=int, default=8, help='pairs to match with each')
    parser.add_argument(
        '--seconds', type=float, default=50.0, help='time limit for these pairs, for each'
    )
    parser.add_argument(
        '--view', action='store_true', help='show the live cloud in the browser afterwards'
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo and report in a few lines."""
    from s2m2_ros.demo.demo import DemoOptions, run_demo, view_live

    # Ended from outside, it must still end the nodes that it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print('Playing real stereo pairs to two stereo nodes, one after the other, over DDS ...')
    options = DemoOptions(
        output=arguments.output,
        source=arguments.source,
        calibration=arguments.calibration,
        checkpoint=arguments.checkpoint,
        device=arguments.device,
        backend=arguments.backend,
        preset=arguments.preset,
        max_width=arguments.max_width,
        pairs=arguments.pairs,
        seconds=arguments.seconds,
    )
    summary = run_demo(options)
    print(report(summary, arguments.output.resolve()))
    if arguments.view:
        view_live(options)
    return 0


def report(summary: Mapping[str, Any], output: Path) -> str:
    """Return what the demo showed, for people."""
    machine = summary['hardware'].get('gpu') or summary['hardware']['processor']
    lines = [f'\nOn {machine}:']
    for name, node in summary['nodes'].items():
        lines.append(
            f'  {name:5} {node["width"]}x{node["height"]}  {node["rate_hz"] or 0:6.2f} pairs/s  '
            f'latency {node["latency_ms_seen"]:7.0f} ms  {node["points_per_cloud"]:7} points  '
            f'mean confidence {node["mean_confidence"]:.2f}'
        )
    difference = (summary['agreement'] or {}).get('median_difference_px')
    if difference is not None:
        lines.append(
            f'  where both are confident, their disparities differ by {difference:.2f} pixels '
            '(median)'
        )
    lines += [
        f'\nLook at {output}:',
        '  overview.png        everything on one page',
        '  points.png          the point clouds from the side',
        '  points_s2m2.ply     the cloud, for any 3-D viewer (MeshLab, Blender, CloudCompare)',
        '  recording/          MCAP, for ros2 bag play, Foxglove, rerun',
        '  summary.json        the figures',
        NEXT_STEPS,
    ]
    return '\n'.join(lines)
