"""The demo on a machine with ROS and rviz2: recorded scenes, played, matched and shown.

Downloads the pictures (4 MB) the first time: `ros2 launch s2m2_ros demo.launch.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from s2m2_ros.large_messages import PROFILE, default_environment
from s2m2_ros.launch_arguments import Argument, check_names, namespace

HERE = Path(__file__).parent
ARGUMENTS = (
    Argument('source', '', 'What stereo_player plays. Empty: the scenes of the demo.'),
    Argument(
        'calibration', '', 'Calibration of the source. Empty: as recorded, or one next to it.'
    ),
    Argument('rate', '2.0', 'Pairs per second.', kind=float),
)
NAMESPACE = namespace('Namespace of the player, the node and their topics.')
# Arguments of stereo.launch.py, with the defaults of the demo.
PASSED_ON = (
    NAMESPACE,
    Argument('checkpoint', '', "Weights: a name that 's2m2 weights list' shows, or a file."),
    Argument('device', '', 'auto, cpu, cuda, cuda:1, ...'),
    Argument('backend', '', 'What computes the disparity, e.g. auto or sgbm.'),
    Argument('preset', '', 'Speed against accuracy: auto, finest, accurate, balanced or fast.'),
    Argument('max_width', '', 'Match at this width at most, in pixels.'),
    Argument('log_level', 'info', 'Least severity that is logged.'),
    Argument('rviz', 'true', 'Show everything in rviz2: true or false.'),
)


def player_node(values: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of launch_ros's Node for the player; downloads the scenes if need be."""
    source, calibration = values['source'], values['calibration']
    if not source:
        from s2m2_ros.demo.rooms import fetch_rooms

        # Loggers made once launch is imported write nothing until launch gives them its handlers.
        get_logger('s2m2_ros.demo.rooms')
        rooms = fetch_rooms()
        source, calibration = str(rooms.folder), calibration or str(rooms.calibration)
    return {
        'package': 's2m2_ros',
        'executable': 'stereo_player',
        'name': 'stereo_player',
        'namespace': values['namespace'],
        'parameters': [
            {
                'source': ParameterValue(source, value_type=str),
                'calibration': ParameterValue(calibration, value_type=str),
                'rate': values['rate'],
            }
        ],
        'additional_env': default_environment(environment, HERE.parent / PROFILE),
        'output': 'screen',
    }


def launch_all(context: LaunchContext) -> list[Any]:
    """Return stereo.launch.py and the player, in this order: what the former rejects ends both."""
    # Whoever includes stereo.launch.py may set all of its arguments.
    names = {argument.name for argument in (*ARGUMENTS, *PASSED_ON)}
    check_names(Path(__file__), names)
    values = {
        argument.name: argument.value(LaunchConfiguration(argument.name).perform(context))
        for argument in (*ARGUMENTS, NAMESPACE)
    }
    player = Node(**player_node(values, context.environment))
    stereo = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / 'stereo.launch.py')),
        launch_arguments=[(a.name, LaunchConfiguration(a.name)) for a in PASSED_ON],
    )
    return [stereo, player]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, include stereo.launch.py, and start the player."""
    declared = [
        DeclareLaunchArgument(
            argument.name, default_value=argument.default, description=argument.description
        )
        for argument in (*ARGUMENTS, *PASSED_ON)
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=launch_all)])
