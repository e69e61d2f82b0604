"""Example: stereo depth as obstacles of Nav2, for a robot that has a map or SLAM and odometry.

Starts the stereo node with few and good points, and Nav2 with a costmap layer that takes them.
Copy it into your robot's package and adapt it. All arguments of stereo.launch.py work here too:

    ros2 launch s2m2_ros nav2_example.launch.py left_image:=/camera/infra1/image_rect_raw ...
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from s2m2_ros.launch_arguments import existing_file, require_package

HERE = Path(__file__).parent
OBSTACLE_LAYER = HERE.parent / 'config' / 'nav2_obstacle_layer.yaml'
# Name, default, description.
ARGUMENTS = (
    (
        'obstacle_layer',
        str(OBSTACLE_LAYER),
        'YAML file with parameters of the stereo node and of the costmaps that take its points.',
    ),
    ('nav2_params_file', '', "Parameters of Nav2. Empty: nav2_bringup's own."),
    ('use_sim_time', 'false', 'Take the time from /clock: true or false.'),
)


def merged(base: Any, added: Any) -> Any:
    """Return two YAML contents as one: mappings are merged, all else is replaced."""
    if not (isinstance(base, Mapping) and isinstance(added, Mapping)):
        return added
    result = {**base}
    for name, value in added.items():
        result[name] = merged(base[name], value) if name in base else value
    return result


def include(path: Path | str, arguments: Mapping[str, str]) -> GroupAction:
    """Return another launch file, whose arguments do not become those of the next one."""
    source = PythonLaunchDescriptionSource(str(path))
    return GroupAction(
        [IncludeLaunchDescription(source, launch_arguments=list(arguments.items()))], scoped=True
    )


def launch_all(context: LaunchContext) -> list[GroupAction]:
    """Return the stereo node and Nav2, whose parameters are merged into a temporary file."""
    values = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    require_package('nav2_bringup', 'nav2_example.launch.py')
    nav2 = Path(get_package_share_directory('nav2_bringup'))
    layer = existing_file('obstacle_layer', values['obstacle_layer'])
    base = existing_file(
        'nav2_params_file',
        values['nav2_params_file'] or str(nav2 / 'params' / 'nav2_params.yaml'),
    )
    content = merged(yaml.safe_load(base.read_text()), yaml.safe_load(layer.read_text()))
    # Not deleted: Nav2's nodes read it when they start, and again when they are respawned.
    with tempfile.NamedTemporaryFile('w', suffix='.yaml', delete=False) as file:
        yaml.safe_dump(content, file)
    simulated = values['use_sim_time'].lower()
    return [
        include(HERE / 'stereo.launch.py', {'params_file': str(layer), 'use_sim_time': simulated}),
        include(
            nav2 / 'launch' / 'navigation_launch.py',
            {'params_file': file.name, 'use_sim_time': simulated},
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start both."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=launch_all)])
