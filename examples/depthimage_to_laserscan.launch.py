"""Example: a LaserScan, on the topic scan, from the depth of stereo_node.

Topics: depth and depth/camera_info, in the left camera optical frame. Checked with a stand-in of
launch; never run with depthimage_to_laserscan.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PARAMETERS = Path(__file__).with_name('depthimage_to_laserscan.yaml')


def generate_launch_description() -> LaunchDescription:
    """Start stereo_node, and the converter in its namespace."""
    share = Path(get_package_share_directory('s2m2_ros'))
    stereo = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / 'launch' / 'stereo.launch.py')),
        launch_arguments=[('params_file', str(PARAMETERS))],
    )
    converter = Node(
        package='depthimage_to_laserscan',
        executable='depthimage_to_laserscan_node',
        name='depthimage_to_laserscan',
        namespace=LaunchConfiguration('namespace'),
        parameters=[str(PARAMETERS)],
        remappings=[('depth', 'depth'), ('depth_camera_info', 'depth/camera_info')],
        output='screen',
    )
    namespace = DeclareLaunchArgument(
        'namespace', default_value='', description='Namespace of both nodes and their topics.'
    )
    return LaunchDescription([namespace, stereo, converter])
