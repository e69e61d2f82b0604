"""The launch file for several cameras, and the file that names them; see test_launch_files.py."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from rclpy.context import Context

from s2m2_ros.camera_rigs import read_rigs
from s2m2_ros.launch_arguments import LaunchArgumentError
from s2m2_ros.node.parameter_declaration import Parameters
from support import launch_fake as fake
from support.processes import SOURCE

MULTI = SOURCE / 'launch' / 'multi_stereo.launch.py'
EXAMPLE = SOURCE / 'config' / 'multi_stereo.yaml'


def started(**arguments: str) -> Any:
    context = fake.LaunchContext(dict(arguments), {'ROS_DISTRO': 'kilted'})
    with fake.installed():
        fake.visit_all(runpy.run_path(str(MULTI))['generate_launch_description'](), context)
    (node,) = context.started
    return node


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / 'rigs.yaml'
    path.write_text(text, encoding='utf-8')
    return path


def test_the_example_starts_one_node_with_all_cameras() -> None:
    node = started()
    assert (node.package, node.executable, node.namespace) == ('s2m2_ros', 'stereo_node', '')
    remapped = dict(node.remappings)
    assert remapped['front/left/image_rect'] == '/front/infra1/image_rect_raw'
    assert (
        remapped['front/left/image_rect/compressed'] == '/front/infra1/image_rect_raw/compressed'
    )
    assert remapped['rear/right/camera_info'] == '/rear/right/camera_info'
    assert not any(name.startswith('left_arm/') for name in remapped)
    files = [yaml.safe_load(Path(file).read_text()) for file in node.parameters]
    given = files[1]['/**']['ros__parameters']
    assert given['cameras'] == ['front', 'rear', 'left_arm']
    assert (given['max_depth'], given['rear.max_depth'], given['left_arm.max_depth']) == (
        10.0,
        6.0,
        1.5,
    )


def test_the_node_takes_the_parameters_of_the_example() -> None:
    node = started(namespace='robot')
    files = [word for file in node.parameters for word in ('--params-file', file)]
    context = Context()
    rclpy.init(context=context, args=['--ros-args', *files])
    try:
        made = rclpy.create_node('stereo_node', namespace=node.namespace, context=context)
        table = Parameters(made)
        made.destroy_node()
    finally:
        context.shutdown()
    assert table.sharing.cameras == ('front', 'rear', 'left_arm')
    limits = {name: table.of(name).settings.max_depth for name in table.sharing.cameras}
    assert limits == {'front': 10.0, 'rear': 6.0, 'left_arm': 1.5}
    assert table.settings.max_depth == 10.0


def test_arguments_override_the_file(tmp_path: Path) -> None:
    rigs = written(tmp_path, 'cameras: {a: , "on": {}}\nparameters: {backend: sgbm}')
    node = started(rigs=str(rigs), backend='torch', autostart='false')
    assert node.parameters[2]['backend'].value == 'torch'
    assert node.parameters[2]['autostart'] is False
    content = yaml.safe_load(Path(node.parameters[1]).read_text())
    assert content['/**']['ros__parameters'] == {'cameras': ['a', 'on'], 'backend': 'sgbm'}


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('', 'must be a mapping with cameras, parameters'),
        ('[1]', 'must be a mapping'),
        ('cameras: [front]', 'must name the cameras'),
        ('cameras: {}', 'must name the cameras'),
        ('parameters: {a: 1}', 'must name the cameras'),
        ('camera: {front: {}}', "no 'camera': did you mean 'cameras'?"),
        ('cameras: {front: 7}', "camera 'front' must be a mapping"),
        ('cameras: {on: {}}', 'has no name that is a text'),
        ('cameras: {1: {}}', 'has no name that is a text'),
        ('cameras: {front: {}, front: {}}', "'front' is given twice"),
        ('cameras: {front: {left: /l}}', "camera 'front' has no 'left'"),
        ('cameras: {front: {left_imag: /l}}', "did you mean 'left_image'?"),
        ('cameras: {front: {left_image: }}', 'left_image of camera'),
        ('cameras: {front: {left_image: 3}}', 'is 3, no topic'),
        ('cameras: {front: {left_image: [a]}}', 'no topic: it is no text'),
        ('cameras: {front: {left_image: ""}}', 'no topic: it is empty'),
        ('cameras: {front: {right_image: /cam-1/image}}', 'no topic: use letters'),
        ('cameras: {front: {color_camera_info: /color/}}', 'no topic: it ends with a slash'),
        ('cameras: {front: {parameters: [1]}}', 'parameters must be a mapping'),
        ('cameras: {front: {}}\nparameters: {cameras: [b]}', "leave 'cameras' out"),
        ('cameras: {', 'is no readable YAML'),
    ],
)
def test_a_file_that_is_wrong_starts_nothing(text: str, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(LaunchArgumentError) as caught:
        started(rigs=str(path))
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)


def test_nested_parameters_have_full_names(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'cameras: {front: {parameters: {roi: [0, 0, 9, 9]}}}\n'
        'parameters: {qos_overrides: {/front/points: {publisher: {depth: 2}}}}',
    )
    assert read_rigs(path).parameters == {
        'cameras': ['front'],
        'qos_overrides./front/points.publisher.depth': 2,
        'front.roi': [0, 0, 9, 9],
    }


def test_a_file_that_is_not_there_starts_nothing() -> None:
    with pytest.raises(LaunchArgumentError, match='no such file'):
        started(rigs='/nowhere/rigs.yaml')
