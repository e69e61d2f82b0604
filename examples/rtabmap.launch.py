"""Example: RTAB-Map from the left image and the depth of stereo_node.

Topics: depth, rectified/image and rectified/camera_info, in the left camera optical frame. Needs
odometry in tf. Checked with a stand-in of launch; never run with RTAB-Map.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PARAMETERS = Path(__file__).with_name('rtabmap.yaml')


def generate_launch_description() -> LaunchDescription:
    """Start stereo_node, and RTAB-Map in its namespace."""
    share = Path(get_package_share_directory('s2m2_ros'))
    stereo = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / 'launch' / 'stereo.launch.py')),
        launch_arguments=[('params_file', str(PARAMETERS))],
    )
    rtabmap = Node(
        package='rtabmap_slam',
        executable='rtabmap',
        name='rtabmap',
        namespace=LaunchConfiguration('namespace'),
        parameters=[str(PARAMETERS)],
        remappings=[
            # Not the camera's: they come before the depth, may be raw, and P[3] may be wrong, by
            # which RTAB-Map would shift the points.
            ('rgb/image', 'rectified/image'),
            ('rgb/camera_info', 'rectified/camera_info'),
            ('depth/image', 'depth'),
        ],
        output='screen',
    )
    namespace = DeclareLaunchArgument(
        'namespace', default_value='', description='Namespace of both nodes and their topics.'
    )
    return LaunchDescription([namespace, stereo, rtabmap])
