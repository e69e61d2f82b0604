"""The launch files: described, remapped as the documents say, and several side by side.

Most tests run them against a FAKE of launch (support/launch_fake.py), since launch has no wheel;
the last one runs them with the real launch and is skipped where that is not installed.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from rclpy.context import Context

from s2m2_ros.node.parameter_declaration import Parameters
from support import launch_fake as fake

ROOT = Path(__file__).resolve().parents[2]
STEREO = ROOT / 'launch' / 'stereo.launch.py'
DEMO = ROOT / 'launch' / 'demo.launch.py'


def run(path: Path, **arguments: str) -> dict[str, Any]:
    """Return the entities of a launch file by kind, with the nodes that its functions made."""
    with fake.installed():
        description = runpy.run_path(str(path))['generate_launch_description']()
    by_kind: dict[str, Any] = {}
    for entity in description.entities:
        by_kind.setdefault(type(entity).__name__, []).append(entity)
    defaults = {a.name: a.default_value for a in by_kind['DeclareLaunchArgument']}
    assert arguments.keys() <= defaults.keys()
    context = fake.LaunchContext(defaults | arguments)
    functions: list[Callable[[Any], Any]] = [e.function for e in by_kind['OpaqueFunction']]
    by_kind['nodes'] = [node for function in functions for node in function(context)]
    return by_kind


@pytest.mark.parametrize('path', [STEREO, DEMO], ids=lambda path: path.name)
def test_every_argument_has_a_default_and_a_description(path: Path) -> None:
    entities = run(path, **({'source': 'x.mcap'} if path == DEMO else {}))
    for argument in entities['DeclareLaunchArgument']:
        assert argument.default_value is not None
        assert argument.description.endswith('.')
        assert argument.choices is None or argument.default_value in argument.choices


def test_arguments_are_those_of_the_contract() -> None:
    names = {argument.name for argument in run(STEREO)['DeclareLaunchArgument']}
    assert names >= {
        *('namespace', 'left_image', 'right_image', 'left_camera_info', 'right_camera_info'),
        *('params_file', 'checkpoint', 'device', 'use_sim_time', 'autostart', 'log_level', 'rviz'),
    }


def test_defaults_change_no_topic_and_no_parameter() -> None:
    (node,) = run(STEREO)['nodes']
    assert (node.package, node.executable) == ('s2m2_ros', 'stereo_node')
    assert all(source == target for source, target in node.remappings)
    params_file, overrides = node.parameters
    assert Path(params_file).samefile(ROOT / 'config' / 'stereo.yaml')
    assert overrides == {'use_sim_time': False, 'autostart': True}
    assert node.arguments == ['--ros-args', '--log-level', 'info']


def test_cameras_are_remapped_compressed_images_too() -> None:
    (node,) = run(
        STEREO,
        namespace='front',
        left_image='/camera/infra1/image_rect_raw',
        right_camera_info='/camera/infra2/camera_info',
        checkpoint='/weights/S.pth',
        device='cuda:1',
        use_sim_time='true',
        autostart='false',
        log_level='debug',
    )['nodes']
    remappings = dict(node.remappings)
    assert remappings['left/image_rect'] == '/camera/infra1/image_rect_raw'
    assert remappings['left/image_rect/compressed'] == '/camera/infra1/image_rect_raw/compressed'
    assert remappings['right/image_rect'] == 'right/image_rect'
    assert remappings['right/camera_info'] == '/camera/infra2/camera_info'
    assert node.namespace == 'front'
    assert node.parameters[1] == {
        'checkpoint': '/weights/S.pth',
        'device': 'cuda:1',
        'use_sim_time': True,
        'autostart': False,
    }
    assert node.arguments[-1] == 'debug'


def test_instances_side_by_side_differ_in_their_namespace_alone() -> None:
    (front,), (rear,) = (run(STEREO, namespace=name)['nodes'] for name in ('front', 'rear'))
    assert front.namespace != rear.namespace
    # Relative names: each lands in its namespace.
    assert not any(target.startswith('/') for _, target in (*front.remappings, *rear.remappings))


def test_rviz_shows_the_topics_of_the_namespace() -> None:
    stereo, rviz = run(STEREO, rviz='true', namespace='front', fixed_frame='base_link')['nodes']
    assert stereo.parameters[1]['points_confidence'] is True
    assert (rviz.executable, rviz.namespace) == ('rviz2', 'front')
    assert rviz.arguments[-2:] == ['-f', 'base_link']
    config = yaml.safe_load(Path(rviz.arguments[1]).read_text())
    displays = config['Visualization Manager']['Displays']
    shown = {display['Topic']['Value'] for display in displays if 'Topic' in display}
    assert shown == {source for source, _ in rviz.remappings}
    assert not any(target.startswith('/') for _, target in rviz.remappings)


def test_demo_plays_what_it_is_given_and_includes_the_product() -> None:
    entities = run(DEMO, source='/data/drive.mcap', rate='5')
    (player,) = entities['nodes']
    assert player.executable == 'stereo_player'
    assert player.parameters == [{'source': '/data/drive.mcap', 'calibration': '', 'rate': 5.0}]
    (included,) = entities['IncludeLaunchDescription']
    assert Path(included.source.location) == STEREO
    declared = {argument.name for argument in run(STEREO)['DeclareLaunchArgument']}
    assert {name for name, _ in included.launch_arguments} <= declared
    for variable in entities['SetEnvironmentVariable']:
        assert Path(variable.value).is_file()


def test_nav2_configuration_sends_few_and_good_points() -> None:
    content = yaml.safe_load((ROOT / 'config' / 'nav2_obstacle_layer.yaml').read_text())
    stereo = content['/**/stereo_node']['ros__parameters']
    layer = content['local_costmap']['local_costmap']['ros__parameters']['stereo_voxel_layer']
    source = layer[layer['observation_sources']]
    assert stereo['points_flying_pixel_filter'] is True
    assert stereo['points_organized'] is False
    assert stereo['min_depth'] <= source['obstacle_min_range']
    assert stereo['max_depth'] >= source['raytrace_max_range'] >= source['obstacle_max_range']
    assert source['data_type'] == 'PointCloud2'


@pytest.mark.parametrize('namespace', ['', '/front'])
def test_the_stereo_node_takes_its_part_of_the_nav2_configuration(namespace: str) -> None:
    path = ROOT / 'config' / 'nav2_obstacle_layer.yaml'
    context = Context()
    rclpy.init(context=context, args=['--ros-args', '--params-file', str(path)])
    node = rclpy.create_node('stereo_node', namespace=namespace, context=context)
    try:
        settings = Parameters(node).settings  # refuses what is not a parameter's value
    finally:
        node.destroy_node()
        context.shutdown()
    content = yaml.safe_load(path.read_text())['/**/stereo_node']['ros__parameters']
    assert content == {name: getattr(settings, name) for name in content}


def test_with_the_real_launch() -> None:
    pytest.importorskip('launch_ros')
    launch = pytest.importorskip('launch')
    for path in (STEREO, DEMO):
        description = runpy.run_path(str(path))['generate_launch_description']()
        assert isinstance(description, launch.LaunchDescription)
        assert description.get_launch_arguments()
