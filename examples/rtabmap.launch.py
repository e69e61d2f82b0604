"""Example: RTAB-Map from the left image and the depth of stereo_node.

Topics: depth and depth/camera_info in the left camera optical frame, and the image left_image,
which must be rectified: images that stereo_node rectifies by itself are not published. Needs
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
            ('rgb/image', LaunchConfiguration('left_image')),
            # Not the camera's: its P[3] may be wrong, and RTAB-Map would shift the points.
            ('rgb/camera_info', 'depth/camera_info'),
            ('depth/image', 'depth'),
        ],
        output='screen',
    )
    namespace = DeclareLaunchArgument(
        'namespace', default_value='', description='Namespace of both nodes and their topics.'
    )
    left_image = DeclareLaunchArgument(
        'left_image', default_value='left/image_rect', description='Topic of the left images.'
    )
    return LaunchDescription([namespace, left_image, stereo, rtabmap])
