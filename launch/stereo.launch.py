"""Stereo depth from one stereo pair: `ros2 launch s2m2_ros stereo.launch.py --show-args`.

Several cameras: multi_stereo.launch.py, or this once for each, with a namespace of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from s2m2_ros.launch_arguments import (
    NETWORK_ARGUMENTS,
    PROCESS_ARGUMENTS,
    STEREO_NODE,
    Argument,
    check_names,
    existing_file,
    input_remappings,
    namespace,
    node_parameters,
    parameter,
    passed_on,
    require_package,
    stereo_node_options,
    topic,
)

SHARE = Path(__file__).parents[1]
CONFIG = SHARE / 'config'

ARGUMENTS = (
    namespace('Namespace of the node and its topics; one for each camera.'),
    topic('left_image', 'left/image_rect', 'Topic of the left images.'),
    topic('right_image', 'right/image_rect', 'Topic of the right images.'),
    topic('left_camera_info', 'left/camera_info', 'Topic of the left calibration.'),
    topic('right_camera_info', 'right/camera_info', 'Topic of the right calibration.'),
    topic('color_image', 'color/image_rect', 'Topic of the images of a color camera.'),
    topic('color_camera_info', 'color/camera_info', 'Topic of its calibration.'),
    Argument(
        'params_file',
        str(CONFIG / 'stereo.yaml'),
        'YAML file with parameters of the node; the arguments below override it.',
    ),
    *NETWORK_ARGUMENTS,
    parameter(
        'input_layout',
        str,
        'Where the views are: two_topics, or both in the images of left_image, side_by_side or '
        'top_bottom.',
        ('two_topics', 'side_by_side', 'top_bottom'),
    ),
    parameter(
        'points_color_source',
        str,
        'Whose image colors the cloud, left or color.',
        ('left', 'color'),
    ),
    parameter(
        'rectify',
        str,
        'true rectifies the images by their camera_info, false takes them as they are; auto '
        'rectifies raw images.',
        ('auto', 'true', 'false'),
    ),
    parameter(
        'image_transport',
        str,
        'Which images to subscribe to: auto, raw or compressed.',
        ('auto', 'raw', 'compressed'),
    ),
    *PROCESS_ARGUMENTS,
    Argument(
        'rviz',
        'false',
        'Show everything in rviz2 too (and add the confidence to the points for it): true or '
        'false.',
        kind=bool,
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


def stereo_node(values: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of launch_ros's Node for the stereo node."""
    remappings: list[tuple[str, str]] = []
    for side in ('left', 'right', 'color'):
        remappings += input_remappings(f'{side}/image_rect', values[f'{side}_image'])
        remappings += input_remappings(f'{side}/camera_info', values[f'{side}_camera_info'])
    return stereo_node_options(
        values,
        parameters=[str(values['params_file']), *filter(None, [overrides(values)])],
        remappings=remappings,
        environment=environment,
        share=SHARE,
    )


def overrides(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that arguments set."""
    chosen = passed_on(ARGUMENTS, values, lambda text: ParameterValue(text, value_type=str))
    if values['rviz']:
        chosen['points_confidence'] = True
    return chosen


def rviz_node(values: Mapping[str, Any], *, use_sim_time: bool) -> dict[str, Any]:
    """Return the options of launch_ros's Node for rviz2, in the namespace of the stereo node."""
    return {
        'package': 'rviz2',
        'executable': 'rviz2',
        'name': 'rviz2',
        'namespace': values['namespace'],
        'parameters': [{'use_sim_time': use_sim_time}],
        'remappings': [
            ('/left/image_rect', values['left_image']),
            *((f'/{topic}', topic) for topic in SHOWN_TOPICS),
        ],
        'arguments': ['-d', str(values['rviz_config']), '-f', values['fixed_frame']],
        'output': 'screen',
    }


def launch_nodes(context: LaunchContext) -> list[Node]:
    """Return the nodes, now that the arguments have values; nothing runs yet if one is wrong."""
    check_names(Path(__file__), {argument.name for argument in ARGUMENTS})
    values: dict[str, Any] = {
        argument.name: argument.value(LaunchConfiguration(argument.name).perform(context))
        for argument in ARGUMENTS
    }
    values['params_file'] = existing_file('params_file', values['params_file'])
    in_file = node_parameters(values['params_file'], STEREO_NODE)
    nodes = [Node(**stereo_node(values, context.environment))]
    if values['rviz']:
        require_package('rviz2', 'rviz:=true')
        values['rviz_config'] = existing_file('rviz_config', values['rviz_config'])
        simulated = values['use_sim_time']
        if simulated is None:
            simulated = bool(in_file.get('use_sim_time', False))
        nodes.append(Node(**rviz_node(values, use_sim_time=simulated)))
    return nodes


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the nodes."""
    declared = [
        DeclareLaunchArgument(
            argument.name, default_value=argument.default, description=argument.description
        )
        for argument in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=launch_nodes)])
