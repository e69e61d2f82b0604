"""The file that says which stereo cameras a robot carries, for one node that serves them all.

No import of launch, as in `launch_arguments`.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from s2m2_ros.launch_arguments import (
    LaunchArgumentError,
    input_remappings,
    load_yaml,
    suggestion,
    why_no_target,
)
from s2m2_ros.text_safety import safe_text

# The keys of a rig that name topics, and the inputs of the node that they are.
TOPICS: Mapping[str, str] = {
    'left_image': 'left/image_rect',
    'right_image': 'right/image_rect',
    'left_camera_info': 'left/camera_info',
    'right_camera_info': 'right/camera_info',
    'color_image': 'color/image_rect',
    'color_camera_info': 'color/camera_info',
}
RIG_KEYS = (*TOPICS, 'parameters')
FILE_KEYS = ('cameras', 'parameters')


@dataclass(frozen=True)
class CameraRigs:
    """What a file says.

    Attributes:
        parameters: of the node, those of cameras among them, by full names.
        remappings: from an input of the node to the topic of a camera.

    """

    parameters: Mapping[str, Any]
    remappings: tuple[tuple[str, str], ...]


class _Loader(yaml.SafeLoader):
    """Rejects keys that are given twice, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{safe_text(key)}' is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def read_rigs(path: Path) -> CameraRigs:
    """Return what the file says of the cameras; LaunchArgumentError if it is not right."""
    content = load_yaml(path, _Loader)
    _check_keys(path, content, FILE_KEYS, 'the file')
    cameras = content.get('cameras')
    if not isinstance(cameras, Mapping) or not cameras:
        raise LaunchArgumentError(f"'{path}' must name the cameras: 'cameras: {{front: {{}}}}'")
    parameters = _flat(path, content.get('parameters'), '')
    if 'cameras' in parameters:
        raise LaunchArgumentError(f"'{path}': leave 'cameras' out of the parameters")
    remappings: list[tuple[str, str]] = []
    for name, given in cameras.items():
        if not isinstance(name, str):
            raise LaunchArgumentError(
                f"'{path}': the camera {safe_text(name)} has no name that is a text: YAML reads "
                'some words as values, choose another'
            )
        rig = {} if given is None else given
        where = f"camera '{safe_text(name)}'"
        _check_keys(path, rig, RIG_KEYS, where)
        parameters |= _flat(path, rig.get('parameters'), f'{name}.')
        for key, topic in TOPICS.items():
            if key in rig:
                target = _topic(path, rig[key], f'{key} of {where}')
                remappings += input_remappings(f'{name}/{topic}', target)
    return CameraRigs({'cameras': list(cameras), **parameters}, tuple(remappings))


def _topic(path: Path, value: Any, what: str) -> str:
    reason = why_no_target(value) if isinstance(value, str) else 'it is no text'
    if reason:
        raise LaunchArgumentError(
            f"'{path}': {what} is {safe_text(repr(value))}, no topic: {reason}"
        )
    return str(value)


def _check_keys(path: Path, content: Any, known: Collection[str], what: str) -> None:
    if not isinstance(content, Mapping):
        raise LaunchArgumentError(
            f"'{path}': {what} must be a mapping with {', '.join(known)}, not "
            f'{safe_text(repr(content))}'
        )
    for key in content:
        if key not in known:
            raise LaunchArgumentError(
                f"'{path}': {what} has no '{safe_text(key)}'{suggestion(str(key), known)}; there "
                f'are {", ".join(known)}'
            )


def _flat(path: Path, values: Any, prefix: str) -> dict[str, Any]:
    """Return nested parameters by their full names."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise LaunchArgumentError(
            f"'{path}': parameters must be a mapping, not {safe_text(repr(values))}"
        )
    found: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, Mapping)
        found |= _flat(path, value, f'{prefix}{name}.') if nested else {f'{prefix}{name}': value}
    return found
