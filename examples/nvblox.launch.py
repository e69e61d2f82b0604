"""Example: an nvblox map from the depth of stereo_node.

Topics: depth and depth/camera_info, in the left camera optical frame; names of nvblox 3, and of
the versions before. Checked with a stand-in of launch; never run with nvblox.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PARAMETERS = Path(__file__).with_name('nvblox.yaml')


def generate_launch_description() -> LaunchDescription:
    """Start stereo_node, and nvblox in its namespace."""
    share = Path(get_package_share_directory('s2m2_ros'))
    stereo = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / 'launch' / 'stereo.launch.py')),
        launch_arguments=[('params_file', str(PARAMETERS))],
    )
    nvblox = Node(
        package='nvblox_ros',
        executable='nvblox_node',
        name='nvblox_node',
        namespace=LaunchConfiguration('namespace'),
        parameters=[str(PARAMETERS)],
        remappings=[
            ('camera_0/depth/image', 'depth'),
            ('camera_0/depth/camera_info', 'depth/camera_info'),
            # Before version 3, where depth/camera_info is already called so.
            ('depth/image', 'depth'),
        ],
        output='screen',
    )
    namespace = DeclareLaunchArgument(
        'namespace', default_value='', description='Namespace of both nodes and their topics.'
    )
    return LaunchDescription([namespace, stereo, nvblox])
