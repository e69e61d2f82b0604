"""Stereo depth from several stereo pairs by one node, which loads the network once.

    ros2 launch s2m2_ros multi_stereo.launch.py rigs:=robot.yaml

The file names the cameras, their topics and their parameters; config/multi_stereo.yaml is an
example, doc/several_cameras.md explains it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from s2m2_ros.camera_rigs import CameraRigs, read_rigs
from s2m2_ros.launch_arguments import (
    NETWORK_ARGUMENTS,
    PARAMETERS_KEY,
    PROCESS_ARGUMENTS,
    STEREO_NODE,
    Argument,
    check_names,
    existing_file,
    namespace,
    node_parameters,
    passed_on,
    stereo_node_options,
)

SHARE = Path(__file__).parents[1]
CONFIG = SHARE / 'config'

ARGUMENTS = (
    Argument(
        'rigs',
        str(CONFIG / 'multi_stereo.yaml'),
        'YAML file with the cameras, their topics and parameters, and those of the node.',
    ),
    namespace('Namespace of the node; those of the cameras lie below it.'),
    Argument(
        'params_file',
        str(CONFIG / 'stereo.yaml'),
        'YAML file with further parameters of the node; those of rigs override it.',
    ),
    *NETWORK_ARGUMENTS,
    *PROCESS_ARGUMENTS,
)


def stereo_node(
    values: Mapping[str, Any], rigs: CameraRigs, environment: Mapping[str, str]
) -> dict[str, Any]:
    """Return the options of launch_ros's Node for the stereo node."""
    overrides = passed_on(ARGUMENTS, values, lambda text: ParameterValue(text, value_type=str))
    files = [str(values['params_file']), written(rigs.parameters)]
    return stereo_node_options(
        values,
        parameters=[*files, *filter(None, [overrides])],
        remappings=rigs.remappings,
        environment=environment,
        share=SHARE,
    )


def written(parameters: Mapping[str, Any]) -> str:
    """Return the path of a new file with these parameters, which the node reads as they are."""
    content = {'/**': {PARAMETERS_KEY: dict(parameters)}}
    with tempfile.NamedTemporaryFile('w', suffix='.yaml', delete=False) as file:
        yaml.safe_dump(content, file)
    return file.name


def launch_nodes(context: LaunchContext) -> list[Node]:
    """Return the node, now that the arguments have values; nothing runs yet if one is wrong."""
    check_names(Path(__file__), {argument.name for argument in ARGUMENTS})
    values: dict[str, Any] = {
        argument.name: argument.value(LaunchConfiguration(argument.name).perform(context))
        for argument in ARGUMENTS
    }
    for name in ('params_file', 'rigs'):
        values[name] = existing_file(name, values[name])
    node_parameters(values['params_file'], STEREO_NODE)
    return [Node(**stereo_node(values, read_rigs(values['rigs']), context.environment))]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    declared = [
        DeclareLaunchArgument(
            argument.name, default_value=argument.default, description=argument.description
        )
        for argument in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=launch_nodes)])
