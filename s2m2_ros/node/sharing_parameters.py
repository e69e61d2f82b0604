"""Parameters of a node with several cameras: which ones, and what they share."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields

from s2m2_ros.node.parameter_values import (
    Constraint,
    ParameterError,
    check_fields,
    constraint_of,
    parameter,
)
from s2m2_ros.node.parameters import ALIASES, CONSTRAINTS
from s2m2_ros.text_safety import safe_text

# The default of cameras: ROS 2 Humble reads no empty arrays from YAML.
UNNAMED = ''
ONE_CAMERA = (UNNAMED,)
# The names are parts of topics and of parameters.
CAMERA_NAME = re.compile(r'[A-Za-z][A-Za-z0-9_]*', re.ASCII)
LONGEST_CAMERA_NAME = 64
MOST_CAMERAS = 16
# First parts of parameters that rclpy itself declares, or declares on demand.
RCLPY_NAMES = ('use_sim_time', 'start_type_description_service', 'qos_overrides')


@dataclass(frozen=True)
class Sharing:
    """Which cameras there are, and what they share; ParameterError for impossible values."""

    cameras: tuple[str, ...] = parameter(
        ONE_CAMERA,
        'Names of the cameras that this node serves with one matcher (doc/several_cameras.md): '
        "topics of 'front' are front/left/image_rect, front/points, ..., its parameters "
        "front.max_depth, ...; what is not set is as for the node. ['']: one camera, in the "
        "node's own namespace.",
        read_only=True,
    )
    max_batch: int = parameter(
        4,
        'Pairs of one size, of different cameras, that are matched at once, at most. 1: one by '
        'one.',
        range=(1, 64),
    )
    batch_wait: float = parameter(
        0.0,
        'Seconds after its arrival that a pair waits for those of other cameras of its size, at '
        'most, so that they are matched at once. 0: only those that wait anyhow.',
        range=(0.0, 1.0),
    )
    merged_points: str = parameter(
        '',
        'Frame of merged_points, the clouds of all cameras in one, through tf2. Empty: it is not '
        'published.',
        read_only=True,
        frame_name=True,
    )
    merged_slop: float = parameter(
        0.1,
        'Seconds that the timestamps of the clouds in one merged_points may be apart, at most; of '
        'each camera the nearest is taken.',
        range=(0.0, 1.0),
    )
    merged_wait: float = parameter(
        0.1,
        'Seconds that a cloud waits for those of the same instant whose images the node has not '
        'received yet, at most. More where a camera comes late through its network.',
        range=(0.0, 10.0),
    )

    def __post_init__(self) -> None:
        # `-p cameras:=front` is a string; an empty array means what the default means.
        given = (self.cameras,) if isinstance(self.cameras, str) else self.cameras
        object.__setattr__(self, 'cameras', given or ONE_CAMERA)
        check_fields(self)
        if self.is_plain:
            if self.merged_points:
                raise ParameterError(
                    f"merged_points = '{safe_text(self.merged_points)}' needs cameras: name them, "
                    'or set points_frame for the cloud of one camera'
                )
            return
        check_camera_names(self.cameras)
        if self.merged_points and importlib.util.find_spec('tf2_ros') is None:
            raise ParameterError(
                f"merged_points = '{self.merged_points}' needs tf2_ros, which is not installed: "
                'leave it empty'
            )

    @property
    def is_plain(self) -> bool:
        """Whether there is one camera, in the node's own namespace."""
        return self.cameras == ONE_CAMERA


SHARING_CONSTRAINTS: Mapping[str, Constraint] = {
    option.name: constraint_of(option) for option in fields(Sharing)
}


def check_camera_names(names: tuple[str, ...]) -> None:
    """Raise ParameterError unless topics and parameters can be named after these cameras."""
    if len(names) > MOST_CAMERAS:
        raise ParameterError(f'cameras: {len(names)} are given, at most {MOST_CAMERAS} can be')
    for name in names:
        if reason := _no_camera_name(name):
            raise ParameterError(f"cameras: '{safe_text(name)}' is not a name: {reason}")
    for name, count in Counter(names).items():
        if count > 1:
            raise ParameterError(f"cameras: '{name}' is given {count} times: rename the others")


def _no_camera_name(name: str) -> str | None:
    if not name:
        return 'it is empty'
    if len(name) > LONGEST_CAMERA_NAME:
        return f'it is longer than {LONGEST_CAMERA_NAME} characters'
    if CAMERA_NAME.fullmatch(name) is None:
        return 'use letters, digits and underscores, and a letter first'
    if '__' in name or name.endswith('_'):
        return 'topics have no two underscores in sequence, and none at an end'
    if name in {*CONSTRAINTS, *SHARING_CONSTRAINTS, *ALIASES, *RCLPY_NAMES}:
        return 'a parameter has this name'
    return None
