"""The examples for other packages, as far as they can be checked without these.

The launch files run against a FAKE of launch (support/launch_fake.py). What the packages subscribe
to, and the names of their parameters, are written down here from their documents.
"""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from rclpy.qos import (
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
    qos_profile_sensor_data,
    qos_profile_system_default,
)
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from s2m2_ros.node.outputs.publishers import output_profile
from s2m2_ros.node.outputs.topic_types import TYPES
from support import launch_fake as fake
from support.processes import SOURCE

EXAMPLES = SOURCE / 'examples'
RELIABLE, BEST_EFFORT = (
    QoSProfile(depth=1, reliability=policy)
    for policy in (ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT)
)
# What the values of RTAB-Map's parameters and of nvblox's mean.
RTABMAP_QOS = {0: qos_profile_system_default, 1: RELIABLE, 2: BEST_EFFORT}
NVBLOX_QOS = {'SYSTEM_DEFAULT': qos_profile_system_default, 'SENSOR_DATA': qos_profile_sensor_data}


@dataclass(frozen=True)
class Consumer:
    """A node of another package: its subscriptions that are ours, and its parameters."""

    package: str
    executable: str
    topics: dict[str, type[Any]]
    parameters: set[str]


CONSUMERS = {
    'nvblox': Consumer(
        'nvblox_ros',
        'nvblox_node',
        {
            'camera_0/depth/image': Image,
            'camera_0/depth/camera_info': CameraInfo,
            'depth/image': Image,
        },
        {
            *('global_frame', 'use_tf_transforms', 'num_cameras', 'use_depth', 'use_lidar'),
            *('use_color', 'input_qos', 'voxel_size'),
            'static_mapper.projective_integrator_max_integration_distance_m',
        },
    ),
    'rtabmap': Consumer(
        'rtabmap_slam',
        'rtabmap',
        {'rgb/image': Image, 'rgb/camera_info': CameraInfo, 'depth/image': Image},
        {
            *('frame_id', 'odom_frame_id', 'subscribe_rgb', 'subscribe_depth', 'approx_sync'),
            *('topic_queue_size', 'sync_queue_size', 'queue_size', 'qos_image'),
            *('qos_camera_info', 'wait_for_transform', 'Grid/Sensor', 'Grid/RangeMax'),
            *('Kp/MaxDepth', 'Vis/MaxDepth'),
        },
    ),
    'depthimage_to_laserscan': Consumer(
        'depthimage_to_laserscan',
        'depthimage_to_laserscan_node',
        {'depth': Image, 'depth_camera_info': CameraInfo},
        {'output_frame', 'range_min', 'range_max', 'scan_height', 'scan_time'},
    ),
}
MOVEIT_PARAMETERS = {
    *('sensor_plugin', 'point_cloud_topic', 'max_range', 'point_subsample', 'padding_offset'),
    *('padding_scale', 'max_update_rate', 'filtered_cloud_topic'),
}


def content(name: str) -> Any:
    return yaml.safe_load((EXAMPLES / f'{name}.yaml').read_text())


def parameters(name: str, node: str) -> dict[str, Any]:
    found: dict[str, Any] = content(name)[f'/**/{node}']['ros__parameters']
    return found


def flat(values: dict[str, Any], above: str = '') -> dict[str, Any]:
    """Return nested parameters by their full names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, dict)
        found |= flat(value, f'{above}{name}.') if nested else {above + name: value}
    return found


def run(name: str, **arguments: str) -> tuple[Any, Any, dict[str, Any]]:
    """Return stereo_node and the other node that an example starts, and its remappings."""
    context = fake.LaunchContext(dict(arguments), {'ROS_DISTRO': 'kilted'})
    path = str(EXAMPLES / f'{name}.launch.py')
    with fake.installed():
        fake.visit_all(runpy.run_path(path)['generate_launch_description'](), context)
    stereo, other = context.started
    remappings = {
        source: getattr(target, 'perform', lambda _, target=target: target)(context)
        for source, target in other.remappings
    }
    assert other.namespace.perform(context) == stereo.namespace
    return stereo, other, remappings


@pytest.mark.parametrize('name', CONSUMERS)
def test_it_takes_topics_of_ours_in_one_namespace(name: str) -> None:
    stereo, other, remappings = run(name, namespace='front', left_image='/camera/left')
    assert (stereo.executable, stereo.namespace) == ('stereo_node', 'front')
    assert dict(stereo.remappings)['left/image_rect'] == '/camera/left'
    consumer = CONSUMERS[name]
    assert (other.package, other.executable) == (consumer.package, consumer.executable)
    assert {source: TYPES[t] for source, t in remappings.items()} == consumer.topics


@pytest.mark.parametrize('name', CONSUMERS)
def test_both_nodes_read_the_file_beside_the_launch_file(name: str) -> None:
    stereo, other, _ = run(name)
    expected = str(EXAMPLES / f'{name}.yaml')
    assert stereo.parameters == other.parameters == [expected]
    assert set(content(name)) == {'/**/stereo_node', f'/**/{other.name}'}
    assert flat(parameters(name, other.name)).keys() == CONSUMERS[name].parameters


@pytest.mark.parametrize(
    'asked',
    [
        RTABMAP_QOS[parameters('rtabmap', 'rtabmap')['qos_image']],
        RTABMAP_QOS[parameters('rtabmap', 'rtabmap')['qos_camera_info']],
        NVBLOX_QOS[parameters('nvblox', 'nvblox_node')['input_qos']],
        qos_profile_sensor_data,  # MoveIt's updater of clouds
        qos_profile_system_default,  # depthimage_to_laserscan
        *(RELIABLE, BEST_EFFORT),  # what a system default may become
    ],
)
def test_outputs_reach_such_a_subscription(asked: QoSProfile) -> None:
    compatible, reason = qos_check_compatible(output_profile(), asked)
    assert compatible != QoSCompatibility.ERROR, reason


def test_depth_that_the_others_integrate_is_published() -> None:
    for name, node, far in (
        (
            'nvblox',
            'nvblox_node',
            'static_mapper.projective_integrator_max_integration_distance_m',
        ),
        ('rtabmap', 'rtabmap', 'Kp/MaxDepth'),
    ):
        limit = parameters(name, 'stereo_node')['max_depth']
        assert float(flat(parameters(name, node))[far]) <= limit
    rtabmap = parameters('rtabmap', 'rtabmap')
    assert all(type(value) is str for name, value in rtabmap.items() if '/' in name)
    scan = parameters('depthimage_to_laserscan', 'depthimage_to_laserscan')
    assert parameters('depthimage_to_laserscan', 'stereo_node')['min_depth'] <= scan['range_min']


def test_moveit_takes_the_cloud_in_the_frame_of_the_camera() -> None:
    sensors = content('moveit_sensors_3d')
    (name,) = sensors.pop('sensors')
    assert list(sensors) == [name]
    sensor = sensors[name]
    assert sensor.keys() == MOVEIT_PARAMETERS
    assert sensor['sensor_plugin'] == 'occupancy_map_monitor/PointCloudOctomapUpdater'
    assert TYPES[sensor['point_cloud_topic'].removeprefix('/')] is PointCloud2
    node = parameters('moveit_stereo_node', 'stereo_node')
    assert node['points_frame'] == ''
    # Only rays to points beyond max_range clear what has gone from in front of something distant.
    assert node['max_depth'] >= 2 * sensor['max_range']


FOR_OTHER_PACKAGES = sorted([*EXAMPLES.glob('*.yaml'), *EXAMPLES.glob('*.launch.py')])


@pytest.mark.parametrize('path', FOR_OTHER_PACKAGES, ids=lambda path: str(path.name))
def test_each_says_what_was_checked_and_what_was_not(path: Path) -> None:
    beginning = ' '.join(path.read_text().split()[:90])
    assert 'Checked' in beginning
    assert 'ever run with' in beginning
    assert f'[{path.name}]({path.name})' in (EXAMPLES / 'README.md').read_text()
