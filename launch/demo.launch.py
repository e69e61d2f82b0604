"""The demo on a machine with ROS and rviz2: recorded rooms, played, matched and shown.

Fetches the pictures (4 MB) the first time: `ros2 launch s2m2_ros demo.launch.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

HERE = Path(__file__).parent
FAST_DDS_PROFILE = HERE.parent / 'config' / 'fastdds_large_messages.xml'
# Humble's Fast DDS knows the old name only; newer ones warn of it.
FAST_DDS = 'FASTRTPS' if os.environ.get('ROS_DISTRO') == 'humble' else 'FASTDDS'
# Name, default, description.
ARGUMENTS = (
    ('source', '', 'What stereo_player plays. Empty: the rooms of the demo, fetched once.'),
    ('calibration', '', 'Calibration of the source. Empty: as recorded, or one beside it.'),
    ('rate', '2.0', 'Pairs a second.'),
    ('checkpoint', 'starter', "Weights: a name that 's2m2 weights list' shows, or a file."),
    ('device', 'auto', 'auto, cpu, cuda, cuda:1, ...'),
    ('backend', 'auto', 'What computes the disparity, e.g. auto or sgbm.'),
    ('rviz', 'true', 'Show everything in rviz2.'),
)
PASSED_ON = ('checkpoint', 'device', 'backend', 'rviz')


def player_node(source: str, calibration: str, rate: str) -> dict[str, Any]:
    """Return the options of launch_ros's Node for the player; fetches the rooms if need be."""
    if not source:
        from s2m2_ros.demo.rooms import fetch_rooms

        rooms = fetch_rooms()
        source, calibration = str(rooms.folder), calibration or str(rooms.calibration)
    return {
        'package': 's2m2_ros',
        'executable': 'stereo_player',
        'name': 'stereo_player',
        'parameters': [{'source': source, 'calibration': calibration, 'rate': float(rate)}],
        'output': 'screen',
    }


def launch_player(context: LaunchContext) -> list[Node]:
    """Return the player, now that the arguments have values."""
    values = (
        LaunchConfiguration(name).perform(context) for name in ('source', 'calibration', 'rate')
    )
    return [Node(**player_node(*values))]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, start the player, and include stereo.launch.py."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    environment = SetEnvironmentVariable(
        f'{FAST_DDS}_DEFAULT_PROFILES_FILE', str(FAST_DDS_PROFILE)
    )
    stereo = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / 'stereo.launch.py')),
        launch_arguments=[(name, LaunchConfiguration(name)) for name in PASSED_ON],
    )
    return LaunchDescription(
        [*declared, environment, OpaqueFunction(function=launch_player), stereo]
    )
