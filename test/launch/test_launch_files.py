"""The launch files: described, remapped as the documents say, and several side by side.

Most tests run them against a FAKE of launch (support/launch_fake.py), since launch has no wheel;
the last one runs them with the real launch and is skipped where that is not installed.
"""

from __future__ import annotations

import dataclasses
import os
import re
import runpy
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from ament_index_python.packages import get_packages_with_prefixes
from rclpy.context import Context

from s2m2_ros.launch_arguments import LaunchArgumentError
from s2m2_ros.node.parameter_declaration import Parameters
from s2m2_ros.node.parameters import CONSTRAINTS, Settings
from support import launch_fake as fake

ROOT = Path(__file__).resolve().parents[2]
MULTI = ROOT / 'launch' / 'multi_stereo.launch.py'
STEREO = ROOT / 'launch' / 'stereo.launch.py'
DEMO = ROOT / 'launch' / 'demo.launch.py'
NAV2 = ROOT / 'launch' / 'nav2_example.launch.py'
EXAMPLES = sorted((ROOT / 'examples').glob('*.launch.py'))
# Files with parameters of the stereo node and of other nodes.
SHARED_PARAMETERS = [
    ROOT / 'config' / 'nav2_obstacle_layer.yaml',
    *(
        path
        for path in (ROOT / 'examples').glob('*.yaml')
        if '/**/stereo_node:' in path.read_text()
    ),
]
PROFILE = ROOT / 'config' / 'fastdds_large_messages.xml'
PLAIN = {'ROS_DISTRO': 'kilted'}


def describe(path: Path) -> Any:
    """Return the launch description of a file."""
    with fake.installed():
        return runpy.run_path(str(path))['generate_launch_description']()


def declared(path: Path) -> dict[str, Any]:
    """Return the declared arguments by name."""
    entities = describe(path).entities
    return {entity.name: entity for entity in entities if hasattr(entity, 'default_value')}


def launch(path: Path, environment: dict[str, str] = PLAIN, **arguments: str) -> Any:
    """Run a launch file as far as the fake goes; return the context, with the nodes started."""
    context = fake.LaunchContext(dict(arguments), environment)
    with fake.installed():
        fake.visit_all(runpy.run_path(str(path))['generate_launch_description'](), context)
    return context


def started(path: Path, environment: dict[str, str] = PLAIN, **arguments: str) -> list[Any]:
    """Return the nodes that a launch file starts."""
    nodes: list[Any] = launch(path, environment, **arguments).started
    return nodes


def refusal(path: Path, **arguments: str) -> str:
    """Return what is said of unusable arguments; nothing may have been started."""
    context = fake.LaunchContext(dict(arguments), PLAIN)
    with fake.installed(), pytest.raises(LaunchArgumentError) as caught:
        fake.visit_all(runpy.run_path(str(path))['generate_launch_description'](), context)
    assert context.started == []
    return str(caught.value)


@pytest.fixture
def rviz2_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that has packages called rviz2 and nav2_bringup, as far as ament tells."""
    packages = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages'
    packages.mkdir(parents=True)
    (packages / 'rviz2').touch()
    prefixes = os.pathsep.join([str(tmp_path), os.environ['AMENT_PREFIX_PATH']])
    monkeypatch.setenv('AMENT_PREFIX_PATH', prefixes)


@pytest.mark.parametrize('path', [STEREO, DEMO, NAV2, *EXAMPLES], ids=lambda path: path.name)
def test_every_argument_has_a_default_and_a_description(path: Path) -> None:
    for argument in declared(path).values():
        assert argument.default_value is not None
        assert argument.description.endswith('.')


def test_arguments_are_those_of_the_contract() -> None:
    assert declared(STEREO).keys() >= {
        *('namespace', 'left_image', 'right_image', 'left_camera_info', 'right_camera_info'),
        *('color_image', 'color_camera_info', 'points_color_source'),
        *('params_file', 'checkpoint', 'device', 'use_sim_time', 'autostart', 'log_level', 'rviz'),
        *('max_width', 'refine_iterations', 'precision', 'backend', 'respawn'),
        *('rectify', 'input_layout'),
    }


def test_arguments_passed_on_are_parameters_of_the_node_with_its_types() -> None:
    with fake.installed():
        table = runpy.run_path(str(STEREO))['ARGUMENTS']
    defaults = {option.name: option.default for option in dataclasses.fields(Settings)}
    defaults['use_sim_time'] = False  # rclpy's own
    passed = {argument.name: argument for argument in table if argument.passed_on}
    assert {name: a.kind for name, a in passed.items()} == {
        name: type(defaults[name]) for name in passed
    }
    for argument in passed.values():
        assert argument.default == ''
        if argument.choices:
            assert argument.choices == CONSTRAINTS[argument.name].choices
        assert argument.description.endswith('Empty: as in params_file.')


def test_defaults_change_no_topic_and_no_parameter() -> None:
    (node,) = started(STEREO)
    assert (node.package, node.executable) == ('s2m2_ros', 'stereo_node')
    assert all(source == target for source, target in node.remappings)
    (params_file,) = node.parameters
    assert Path(params_file).samefile(ROOT / 'config' / 'stereo.yaml')
    assert node.arguments == ['--ros-args', '--log-level', 'info']
    assert node.respawn is False


def test_cameras_are_remapped_compressed_images_too() -> None:
    (node,) = started(
        STEREO,
        namespace='front',
        left_image='/camera/infra1/image_rect_raw',
        right_camera_info='/camera/infra2/camera_info',
    )
    remappings = dict(node.remappings)
    assert remappings['left/image_rect'] == '/camera/infra1/image_rect_raw'
    assert remappings['left/image_rect/compressed'] == '/camera/infra1/image_rect_raw/compressed'
    assert remappings['right/image_rect'] == 'right/image_rect'
    assert remappings['right/camera_info'] == '/camera/infra2/camera_info'
    assert node.namespace == 'front'


@pytest.mark.parametrize(
    ('name', 'text', 'value'),
    [
        ('device', 'cuda:1', fake.ParameterValue('cuda:1', value_type=str)),
        ('checkpoint', '0123', fake.ParameterValue('0123', value_type=str)),
        ('rectify', 'True', fake.ParameterValue('true', value_type=str)),
        ('precision', 'Float16', fake.ParameterValue('float16', value_type=str)),
        ('max_width', '640', 640),
        ('upsampling', '1.5', 1.5),
        ('refine_iterations', '0', 0),
        ('use_sim_time', 'True', True),
        ('use_sim_time', 'FALSE', False),
        ('autostart', 'no', False),
        ('autostart', '1', True),
    ],
)
def test_arguments_become_parameters_of_the_right_type(name: str, text: str, value: Any) -> None:
    (node,) = started(STEREO, PLAIN, **{name: text})
    assert node.parameters[1] == {name: value}
    assert type(node.parameters[1][name]) is type(value)


def test_options_of_the_process() -> None:
    (node,) = started(STEREO, log_level='INFO', respawn='True')
    assert node.arguments[-1] == 'info'
    assert node.respawn is True
    assert node.respawn_delay > 0


@pytest.mark.parametrize(
    ('arguments', 'told'),
    [
        ({'max_width': '64O'}, r"max_width:='64O' must be an integer"),
        ({'max_width': '6.5'}, r"max_width:='6\.5' must be an integer"),
        ({'rectify': 'yes'}, r"rectify:='yes' must be one of auto, true, false"),
        ({'autostart': 'maybe'}, r"autostart:='maybe' must be true or false"),
        ({'rviz': 'ture'}, r"rviz:='ture' must be true or false"),
        ({'log_level': 'loud'}, r"log_level:='loud' must be one of debug, info"),
        ({'left_image': ''}, r"left_image:='' cannot be used: it is empty"),
        ({'left_image': '/left camera'}, 'left_image.* use letters, digits, underscores'),
        ({'right_image': '/cam-1/image'}, 'right_image.* use letters, digits, underscores'),
        ({'left_camera_info': '/left/'}, 'left_camera_info.* ends with a slash'),
        ({'right_camera_info': '~/'}, 'right_camera_info.* it is empty'),
        ({'color_image': '/1st'}, 'color_image.* a digit follows a slash'),
        ({'color_camera_info': '//info'}, 'color_camera_info.* two slashes'),
        ({'namespace': 'front-left'}, r"namespace:='front-left' cannot be used: use letters"),
        ({'params_file': '/no/such.yaml'}, r"params_file:='/no/such\.yaml': there is no such"),
        ({'params_file': ''}, r"params_file:=''"),
    ],
)
def test_unusable_values_start_nothing(arguments: dict[str, str], told: str) -> None:
    assert re.search(told, refusal(STEREO, **arguments))


@pytest.mark.parametrize(
    ('namespace', 'taken'), [('front/', 'front'), ('/front/', '/front'), ('/', '/'), ('', '')]
)
def test_a_slash_at_the_end_of_a_namespace_is_left_out(namespace: str, taken: str) -> None:
    (stereo,) = started(STEREO, namespace=namespace)
    assert stereo.namespace == taken
    nodes = started(DEMO, source='x', rviz='false', namespace=namespace)
    assert [node.namespace for node in nodes] == [taken, taken]


def test_topics_may_be_private() -> None:
    (node,) = started(STEREO, left_image='~/left')
    assert dict(node.remappings)['left/image_rect/compressed'] == '~/left/compressed'


def test_demo_refuses_what_stereo_refuses_before_it_plays() -> None:
    assert 'autostart' in refusal(DEMO, source='x', rviz='false', autostart='maybe')
    assert 'rate' in refusal(DEMO, source='x', rviz='false', rate='fast')


@pytest.mark.parametrize('path', [STEREO, DEMO], ids=lambda path: path.name)
def test_rviz_that_is_not_installed_starts_nothing(path: Path) -> None:
    if 'rviz2' in get_packages_with_prefixes():
        pytest.skip('rviz2 is installed')
    told = refusal(path, rviz='true', **({'source': 'x'} if path == DEMO else {}))
    assert 'needs rviz2, which is not installed' in told
    assert 'ros-$ROS_DISTRO-rviz2' in told


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['ros2', 'launch', 's2m2_ros', 'stereo.launch.py', 'checkpont:=S'], 'checkpoint'),
        (['ros2', 'launch', str(STEREO), 'foo:=bar'], "no argument 'foo'"),
        (['ros2', 'launch', 's2m2_ros', 'stereo.launch.py', 'checkpoint:=S'], None),
        (['ros2', 'launch', 's2m2_ros', 'stereo.launch.py', 'left_image:=/a:=b'], None),
        # Another launch file includes ours: the arguments are its own.
        (['ros2', 'launch', 'my_robot', 'bringup.launch.py', 'foo:=bar'], None),
        (['ros2', 'launch', 'my_robot', 'stereo.launch.py', 'foo:=bar'], None),
        (['pytest', 'foo:=bar'], None),
    ],
)
def test_unknown_arguments_are_errors(
    words: list[str], told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'argv', words)
    if told is None:
        assert len(started(STEREO)) == 1
    else:
        assert told in refusal(STEREO)


def test_unknown_arguments_of_the_demo_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', str(DEMO), 'sorce:=x'])
    assert "did you mean 'source'?" in refusal(DEMO, source='x')


@pytest.mark.parametrize(
    ('text', 'told'),
    [('/**: [', 'is no readable YAML'), ('- 1', 'must hold sections'), ('', 'must hold sections')],
)
def test_files_without_parameters_start_nothing(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / 'stereo.yaml'
    path.write_text(text)
    message = refusal(STEREO, params_file=str(path))
    assert told in message
    assert str(path) in message


@pytest.mark.usefixtures('rviz2_installed')
@pytest.mark.parametrize(
    ('text', 'simulated'),
    [
        ('\ufeff/**: {ros__parameters: {use_sim_time: true}}', True),
        ('/**/stereo_node: {ros__parameters: {use_sim_time: true}}', True),
        ('front: {stereo_node: {ros__parameters: {use_sim_time: true}}}', True),
        ('camera: {ros__parameters: {use_sim_time: true}}', False),
        ('stereo_node: {ros__parameters: {max_width: 640}}', False),
    ],
)
def test_rviz_takes_the_time_that_the_file_gives_the_node(
    text: str, simulated: bool, tmp_path: Path
) -> None:
    path = tmp_path / 'robot.yaml'
    path.write_text(text)
    _, rviz = started(STEREO, params_file=str(path), rviz='true')
    assert rviz.parameters == [{'use_sim_time': simulated}]


def test_values_of_the_file_are_overridden_only_by_arguments(
    tmp_path: Path, rviz2_installed: None
) -> None:
    path = tmp_path / 'stereo.yaml'
    path.write_text('/**: {ros__parameters: {use_sim_time: true, autostart: false}}')
    stereo, rviz = started(STEREO, params_file=str(path), rviz='true')
    assert stereo.parameters[1] == {'points_confidence': True}
    assert rviz.parameters == [{'use_sim_time': True}]
    stereo, rviz = started(STEREO, params_file=str(path), rviz='true', use_sim_time='false')
    assert stereo.parameters[1]['use_sim_time'] is False
    assert rviz.parameters == [{'use_sim_time': False}]


def test_instances_side_by_side_differ_in_their_namespace_alone() -> None:
    (front,), (rear,) = (started(STEREO, namespace=name) for name in ('front', 'rear'))
    assert front.namespace != rear.namespace
    # Relative names: each lands in its namespace.
    assert not any(target.startswith('/') for _, target in (*front.remappings, *rear.remappings))


@pytest.mark.parametrize(
    ('environment', 'expected'),
    [
        ({'ROS_DISTRO': 'kilted'}, {'FASTDDS_DEFAULT_PROFILES_FILE': str(PROFILE)}),
        ({'ROS_DISTRO': 'jazzy'}, {'FASTRTPS_DEFAULT_PROFILES_FILE': str(PROFILE)}),
        ({'ROS_DISTRO': 'kilted', 'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}, {}),
        ({'ROS_DISTRO': 'kilted', 'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}, {}),
        ({'ROS_DISTRO': 'jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE': 'mine.xml'}, {}),
    ],
)
def test_publishers_have_room_for_large_messages(
    environment: dict[str, str], expected: dict[str, str]
) -> None:
    (stereo,) = started(STEREO, environment)
    assert stereo.additional_env == expected
    for node in started(DEMO, environment, source='x', rviz='false'):
        assert node.additional_env == expected


@pytest.mark.usefixtures('rviz2_installed')
def test_rviz_shows_the_topics_of_the_namespace() -> None:
    stereo, rviz = started(STEREO, rviz='true', namespace='front', fixed_frame='base_link')
    assert stereo.parameters[1]['points_confidence'] is True
    assert (rviz.executable, rviz.namespace) == ('rviz2', 'front')
    assert rviz.arguments[-2:] == ['-f', 'base_link']
    config = yaml.safe_load(Path(rviz.arguments[1]).read_text())
    displays = config['Visualization Manager']['Displays']
    shown = {display['Topic']['Value'] for display in displays if 'Topic' in display}
    assert shown == {source for source, _ in rviz.remappings}
    assert not any(target.startswith('/') for _, target in rviz.remappings)


def rviz_displays() -> list[dict[str, Any]]:
    content = yaml.safe_load((ROOT / 'config' / 'stereo.rviz').read_text())
    displays: list[dict[str, Any]] = content['Visualization Manager']['Displays']
    return displays


def test_rviz_asks_for_our_own_outputs_reliably() -> None:
    for display in rviz_displays():
        if 'Topic' in display:
            topic = display['Topic']
            own = topic['Value'] != '/left/image_rect'
            assert topic['Reliability Policy'] == ('Reliable' if own else 'Best Effort')


def test_rviz_docks_the_images() -> None:
    """Read Qt's format: 0xfb, the length and UTF-16 of a dock's name, and a byte of flags."""
    geometry = yaml.safe_load((ROOT / 'config' / 'stereo.rviz').read_text())['Window Geometry']
    state = bytes.fromhex(geometry['QMainWindow State'])
    assert state.startswith(bytes.fromhex('000000ff00000000fd'))
    images = [d for d in rviz_displays() if d['Class'] == 'rviz_default_plugins/Image']
    assert len(images) == 5
    for display in images:
        name = display['Name'].encode('utf-16-be')
        place = state.index(b'\xfb' + len(name).to_bytes(4, 'big') + name)
        flags = state[place + 5 + len(name)]
        assert flags & 1 == display['Enabled']  # visible
        assert flags & 2 == 0  # floating


def test_demo_plays_what_it_is_given_and_includes_the_product() -> None:
    stereo, player = started(DEMO, source='/data/drive.mcap', rate='5', rviz='false')
    assert (stereo.executable, player.executable) == ('stereo_node', 'stereo_player')
    text = partial(fake.ParameterValue, value_type=str)
    assert player.parameters == [
        {'source': text('/data/drive.mcap'), 'calibration': text(''), 'rate': 5.0}
    ]


def test_namespace_of_the_demo_moves_node_and_player() -> None:
    nodes = started(DEMO, source='x', rviz='false', namespace='front')
    assert [node.namespace for node in nodes] == ['front', 'front']


def test_arguments_of_the_demo_are_those_of_the_product() -> None:
    own = {'source', 'calibration', 'rate'}
    assert declared(DEMO).keys() - own <= declared(STEREO).keys()


def test_nav2_example_merges_the_layer_into_the_parameters_of_nav2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A made-up nav2_bringup: its launch file only tells what it was given."""
    prefix = tmp_path / 'nav2'
    packages = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    packages.mkdir(parents=True)
    (packages / 'nav2_bringup').touch()
    share = prefix / 'share' / 'nav2_bringup'
    for folder in ('launch', 'params'):
        (share / folder).mkdir(parents=True)
    (share / 'params' / 'nav2_params.yaml').write_text(
        'controller_server: {ros__parameters: {controller_frequency: 20.0}}\n'
        'local_costmap: {local_costmap: {ros__parameters: {width: 3, plugins: [voxel_layer]}}}\n'
    )
    (share / 'launch' / 'navigation_launch.py').write_text("""
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

def nodes(context):
    values = {name: LaunchConfiguration(name).perform(context)
              for name in ('params_file', 'use_sim_time', 'namespace')}
    return [Node(package='nav2', executable='nav2', name='nav2', parameters=[values])]

def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument('namespace', default_value=''), OpaqueFunction(function=nodes)])
""")
    monkeypatch.setenv(
        'AMENT_PREFIX_PATH', os.pathsep.join([str(prefix), os.environ['AMENT_PREFIX_PATH']])
    )
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    start = partial(started, NAV2, left_image='/camera/left', use_sim_time='True')
    stereo, manager, nav2 = start(namespace='front')
    assert dict(stereo.remappings)['left/image_rect'] == '/camera/left'
    layer = ROOT / 'config' / 'nav2_obstacle_layer.yaml'
    assert stereo.parameters == [str(layer), {'use_sim_time': True, 'autostart': False}]
    # Without a bond it must not ask for one; it names the node in its own namespace.
    assert (manager.package, manager.executable) == ('nav2_lifecycle_manager', 'lifecycle_manager')
    assert manager.namespace == stereo.namespace == 'front'
    (asked,) = manager.parameters
    assert asked['node_names'] == [stereo.name]
    assert (asked['bond_timeout'], asked['autostart']) == (0.0, True)
    assert asked['use_sim_time'] is True
    broken = tmp_path / 'broken.yaml'
    broken.write_text('local_costmap: [')
    for argument in ('obstacle_layer', 'nav2_params_file'):
        assert str(broken) in refusal(NAV2, **{argument: str(broken)})
    alone, _ = start(lifecycle_manager='off')
    assert alone.parameters == [str(layer), {'use_sim_time': True}]
    assert "lifecycle_manager:='x'" in refusal(NAV2, lifecycle_manager='x')
    (values,) = nav2.parameters
    assert values['use_sim_time'] == 'true'
    content = yaml.safe_load(Path(values['params_file']).read_text())
    added = yaml.safe_load(layer.read_text())['local_costmap']['local_costmap']['ros__parameters']
    costmap = content['local_costmap']['local_costmap']['ros__parameters']
    assert costmap == {'width': 3, **added}
    assert content['controller_server']['ros__parameters'] == {'controller_frequency': 20.0}


@pytest.mark.parametrize('namespace', ['', '/front'])
@pytest.mark.parametrize('path', SHARED_PARAMETERS, ids=lambda path: str(path.name))
def test_the_stereo_node_takes_its_part_of_a_file(path: Path, namespace: str) -> None:
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
    for path in (STEREO, MULTI, DEMO, NAV2, *EXAMPLES):
        description = runpy.run_path(str(path))['generate_launch_description']()
        assert isinstance(description, launch.LaunchDescription)
        assert description.get_launch_arguments()
