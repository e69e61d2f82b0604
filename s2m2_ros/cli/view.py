"""`s2m2 view`: what a stereo node publishes, or a cloud in a file, in the browser."""

from __future__ import annotations

import argparse
import importlib.util
import signal
from pathlib import Path

from s2m2_ros.errors import S2M2Error
from s2m2_ros.ros_names import require_namespace, require_topic

SUMMARY = 'show the topics of a stereo node, or a cloud in a file, in the browser'
CLOUD = 'cloud.ply'
FIRST_PORT = 8080


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is shown."""
    parser.add_argument(
        'cloud',
        type=Path,
        nargs='?',
        help='PLY file, or a folder that s2m2 match filled; omit it for topics',
    )
    parser.add_argument('--namespace', default='/', help='namespace of the stereo node')
    parser.add_argument('--points', default='', help='topic of clouds, if it was remapped')
    parser.add_argument(
        '--confidence', default='', help='topic of their confidence, if it was remapped'
    )
    parser.add_argument('--node', default='', help='full name of the node, if it was changed')
    parser.add_argument('--port', type=int, default=FIRST_PORT, help='first port to try')


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until interrupted."""
    if arguments.cloud is not None:
        view_cloud(cloud_file(arguments.cloud), port=arguments.port)
    else:
        _view_topics(arguments)
    return 0


def cloud_file(path: Path) -> Path:
    """Return the cloud that a path names: the file, or the newest one of a folder.

    Raises S2M2Error if there is none.
    """
    if not path.exists():
        raise S2M2Error(f"there is no '{path}': name a PLY file or a folder of s2m2 match")
    if not path.is_dir():
        return path
    clouds = sorted(path.rglob(CLOUD), key=lambda cloud: cloud.stat().st_mtime)
    if not clouds:
        raise S2M2Error(f"'{path}' holds no {CLOUD}, which s2m2 match writes with --calibration")
    return clouds[-1]


def view_cloud(path: Path, *, port: int = FIRST_PORT) -> None:
    """Serve the page of one file until interrupted."""
    from s2m2_ros.viewer.cloud_viewer import CloudViewer

    with CloudViewer(path, port=port) as viewer:
        print(f'Open {viewer.address} in a browser; Ctrl-C ends.', flush=True)
        viewer.wait()


def _check_names(arguments: argparse.Namespace) -> None:
    """Raise S2M2Error for names that ROS 2 does not take."""
    require_namespace('--namespace', arguments.namespace)
    for option in ('points', 'confidence', 'node'):
        if name := getattr(arguments, option):
            require_topic(f'--{option}', name)


def _view_topics(arguments: argparse.Namespace) -> None:
    if importlib.util.find_spec('rclpy') is None:
        raise S2M2Error(
            'topics need ROS 2: source its setup.bash, or name a cloud that s2m2 match wrote'
        )
    _check_names(arguments)
    from s2m2_ros.topic_viewer.topic_viewer import ViewOptions, joined_graph, view_topics

    options = ViewOptions(
        namespace=arguments.namespace,
        points=arguments.points,
        confidence=arguments.confidence,
        node=arguments.node,
        port=arguments.port,
    )
    # Ended from outside, it must still leave the ROS graph.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with joined_graph() as context:
        view_topics(context, options)
