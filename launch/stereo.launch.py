"""Stereo depth from one rectified pair: `ros2 launch s2m2_ros stereo.launch.py --show-args`.

Several cameras: launch it once for each, with a namespace of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

CONFIG = Path(__file__).parents[1] / 'config'
LOG_LEVELS = ('debug', 'info', 'warn', 'error', 'fatal')
BOOLEANS = ('true', 'false')


class Argument(NamedTuple):
    """One launch argument."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] | None = None


ARGUMENTS = (
    Argument('namespace', '', 'Namespace of the node and its topics; one for each camera.'),
    Argument('left_image', 'left/image_rect', 'Topic of the rectified left images.'),
    Argument('right_image', 'right/image_rect', 'Topic of the rectified right images.'),
    Argument('left_camera_info', 'left/camera_info', 'Topic of the left calibration.'),
    Argument('right_camera_info', 'right/camera_info', 'Topic of the right calibration.'),
    Argument(
        'params_file',
        str(CONFIG / 'stereo.yaml'),
        'YAML file with parameters of the node; the arguments below go before it.',
    ),
    Argument(
        'checkpoint',
        '',
        "Weights: a name that 's2m2 weights list' shows, or the path of a .pth or .safetensors "
        'file. Empty: as in params_file.',
    ),
    Argument('device', '', 'auto, cpu, cuda, cuda:1, ... Empty: as in params_file.'),
    Argument(
        'backend', '', 'What computes the disparity, e.g. auto or sgbm. Empty: as in params_file.'
    ),
    Argument('use_sim_time', 'false', 'Take the time from /clock.', BOOLEANS),
    Argument(
        'autostart',
        'true',
        'Configure and activate the node at once; false leaves that to a lifecycle manager.',
        BOOLEANS,
    ),
    Argument('log_level', 'info', 'Least severity that is logged.', LOG_LEVELS),
    Argument(
        'rviz',
        'false',
        'Show everything in rviz2 too (and add the confidence to the points for it).',
        BOOLEANS,
    ),
    Argument('rviz_config', str(CONFIG / 'stereo.rviz'), 'Configuration file of rviz2.'),
    Argument(
        'fixed_frame',
        'camera_link',
        'Frame in which rviz2 shows the points: of the robot, or the cameras.',
    ),
)

# Topics of rviz_config, which are absolute there.
SHOWN_TOPICS = ('points', 'depth', 'confidence', 'confidence_mask', 'occlusion_mask')


def stereo_node(values: dict[str, str]) -> dict[str, Any]:
    """Return the options of launch_ros's Node for the stereo node."""
    overrides: dict[str, Any] = {
        name: values[name] for name in ('checkpoint', 'device', 'backend') if values[name]
    }
    overrides |= {name: values[name] == 'true' for name in ('use_sim_time', 'autostart')}
    if values['rviz'] == 'true':
        overrides['points_confidence'] = True
    return {
        'package': 's2m2_ros',
        'executable': 'stereo_node',
        'name': 'stereo_node',
        'namespace': values['namespace'],
        'parameters': [values['params_file'], overrides],
        'remappings': input_remappings(values),
        'arguments': ['--ros-args', '--log-level', values['log_level']],
        'output': 'screen',
    }


def input_remappings(values: dict[str, str]) -> list[tuple[str, str]]:
    """Return the remappings of the inputs, the compressed images' included."""
    remappings = []
    for side in ('left', 'right'):
        image = values[f'{side}_image']
        remappings += [
            (f'{side}/image_rect', image),
            (f'{side}/image_rect/compressed', f'{image}/compressed'),
            (f'{side}/camera_info', values[f'{side}_camera_info']),
        ]
    return remappings


def rviz_node(values: dict[str, str]) -> dict[str, Any]:
    """Return the options of launch_ros's Node for rviz2, in the namespace of the stereo node."""
    return {
        'package': 'rviz2',
        'executable': 'rviz2',
        'name': 'rviz2',
        'namespace': values['namespace'],
        'parameters': [{'use_sim_time': values['use_sim_time'] == 'true'}],
        'remappings': [
            ('/left/image_rect', values['left_image']),
            *((f'/{topic}', topic) for topic in SHOWN_TOPICS),
        ],
        'arguments': ['-d', values['rviz_config'], '-f', values['fixed_frame']],
        'output': 'screen',
    }


def launch_nodes(context: LaunchContext) -> list[Node]:
    """Return the nodes, now that the arguments have values."""
    values = {
        argument.name: LaunchConfiguration(argument.name).perform(context)
        for argument in ARGUMENTS
    }
    nodes = [Node(**stereo_node(values))]
    if values['rviz'] == 'true':
        nodes.append(Node(**rviz_node(values)))
    return nodes


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the nodes."""
    declared = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            **({'choices': list(argument.choices)} if argument.choices else {}),
        )
        for argument in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=launch_nodes)])
