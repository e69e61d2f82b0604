"""Example: stereo depth as obstacles of Nav2, for a robot that has a map or SLAM and odometry.

Starts the stereo node with few and good points, a lifecycle manager for it, and Nav2 with a
costmap layer that takes the points; doc/nav2.md explains it. Checked with a stand-in of launch,
and the layer in a model of its rules; never run with Nav2 itself.
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
from launch_ros.actions import Node

from s2m2_ros.launch_arguments import Argument, existing_file, load_yaml, require_package

HERE = Path(__file__).parent
OBSTACLE_LAYER = HERE.parent / 'config' / 'nav2_obstacle_layer.yaml'
ARGUMENTS = (
    Argument(
        'obstacle_layer',
        str(OBSTACLE_LAYER),
        'YAML file with parameters of the stereo node and of the costmaps that take its points.',
    ),
    Argument('nav2_params_file', '', "Parameters of Nav2. Empty: nav2_bringup's own."),
    Argument('use_sim_time', 'false', 'Take the time from /clock: true or false.', kind=bool),
    Argument(
        'lifecycle_manager',
        'true',
        "Start a manager of Nav2's for the stereo node: true, or false if the node is to "
        'configure and activate itself.',
        kind=bool,
    ),
)
# The node makes no bond, without which Nav2's own manager would stop everything after 4 s. Loading
# or compiling a network takes longer than the 5 s that newer managers wait for a transition.
MANAGER = {
    'autostart': True,
    'node_names': ['stereo_node'],
    'bond_timeout': 0.0,
    'service_timeout': 600.0,
}


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


def manager(namespace: str, *, use_sim_time: bool) -> Node:
    """Return the manager of the stereo node, in its namespace."""
    return Node(
        package='nav2_lifecycle_manager',
        executable='lifecycle_manager',
        name='lifecycle_manager_stereo',
        namespace=namespace,
        parameters=[{**MANAGER, 'use_sim_time': use_sim_time}],
        output='screen',
    )


def launch_all(context: LaunchContext) -> list[Any]:
    """Return the stereo node and Nav2, whose parameters are merged into a temporary file."""
    values = {
        argument.name: argument.value(LaunchConfiguration(argument.name).perform(context))
        for argument in ARGUMENTS
    }
    require_package('nav2_bringup', 'nav2_example.launch.py')
    nav2 = Path(get_package_share_directory('nav2_bringup'))
    layer = existing_file('obstacle_layer', values['obstacle_layer'])
    base = existing_file(
        'nav2_params_file',
        values['nav2_params_file'] or str(nav2 / 'params' / 'nav2_params.yaml'),
    )
    content = merged(load_yaml(base), load_yaml(layer))
    # Not deleted: Nav2's nodes read it when they start, and again when they are respawned.
    with tempfile.NamedTemporaryFile('w', suffix='.yaml', delete=False) as file:
        yaml.safe_dump(content, file)
    simulated = str(values['use_sim_time']).lower()
    stereo = {'params_file': str(layer), 'use_sim_time': simulated}
    managers = []
    if values['lifecycle_manager']:
        stereo['autostart'] = 'false'
        namespace = context.launch_configurations.get('namespace', '')
        managers = [manager(namespace, use_sim_time=bool(values['use_sim_time']))]
    return [
        include(HERE / 'stereo.launch.py', stereo),
        *managers,
        include(
            nav2 / 'launch' / 'navigation_launch.py',
            {'params_file': file.name, 'use_sim_time': simulated},
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start both."""
    declared = [
        DeclareLaunchArgument(
            argument.name, default_value=argument.default, description=argument.description
        )
        for argument in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=launch_all)])
