"""The parameters of `stereo_player`: what to play, how fast, and with which calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from s2m2_ros.io.sources.pair_sources import SourceOptions, camera_number, open_source
from s2m2_ros.io.sources.stereo_frame import PairSource, PlaybackError
from s2m2_ros.io.sources.view_layout import ViewLayout, layout_named
from s2m2_ros.ros_names import wrong_frame

IMAGE_FILES_RATE = 10.0
MAX_RATE = 1000.0
# Former names, which still work.
ALIASES = {'wait_for_listeners': 'wait_for_subscribers'}
# `source:=0` is a whole number on the command line, `rate:=5` too.
NUMBERS_AS_TEXT = ('source', 'right_source')
# `rectified:=true` is a truth value on the command line.
TRUTHS_AS_TEXT = ('rectified',)


class Rectified(Enum):
    """Whether the images that a calibration file belongs to are rectified."""

    AUTO = 'auto'
    TRUE = 'true'
    FALSE = 'false'


def _option(default: Any, description: str) -> Any:
    return field(default=default, metadata={'description': description})


@dataclass(frozen=True)
class PlayerOptions:
    """Every parameter with its default; all are read once, at the start."""

    source: str = _option(
        '',
        'folder of stereo pairs, left image, folder of left images, video, recording, or camera '
        '(/dev/video0)',
    )
    right_source: str = _option(
        '', 'right image, folder or video; where source is its left counterpart'
    )
    input_layout: str = _option(
        ViewLayout.TWO_TOPICS.value,
        'two_topics: one image for each camera; side_by_side or top_bottom: each image holds both '
        'views, left or top is the left camera',
    )
    calibration: str = _option(
        '',
        'calibration that `s2m2 match` reads: a file, or a folder with left.yaml and right.yaml; '
        'overrides the recorded one; empty: the recorded one, or one next to the source',
    )
    right_calibration: str = _option(
        '', 'camera_info file of the right camera; where calibration is that of the left one'
    )
    rectified: str = _option(
        Rectified.AUTO.value,
        'auto, true or false: whether images that come with a calibration file are rectified; if '
        'not, the file must hold K, D and R, which are published for the node to rectify; auto: '
        'images of a camera (/dev/video0) are not, all others are; recordings have their own',
    )
    rate: float = _option(
        0.0, f'pairs per second; 0: as recorded, or {IMAGE_FILES_RATE:g} for image files'
    )
    loop: bool = _option(True, 'start again at the end; else the player ends')
    restamp: bool = _option(
        True, 'set timestamps to the time of publishing; else they are as recorded'
    )
    wait_for_subscribers: bool = _option(
        False, 'publish nothing before all four topics have a subscriber'
    )
    left_frame: str = _option(
        'left_camera_optical_frame', 'frame of the left camera where the source names none'
    )
    right_frame: str = _option(
        'right_camera_optical_frame', 'frame of the right camera where the source names none'
    )
    parent_frame: str = _option(
        'camera_link', 'parent of the cameras in the static transforms; empty: publish none'
    )
    recorded_left: str = _option(
        '', 'topic of the left images in a recording (or of both views); empty: find it'
    )
    recorded_right: str = _option('', 'topic of the right images in a recording; empty: find it')


def declare_options(node: Node) -> PlayerOptions:
    """Declare every parameter, described and read-only, and return the values given.

    Raises PlaybackError, which names the parameter, for a value of a wrong type or range.
    """
    values: dict[str, Any] = {}
    for option in fields(PlayerOptions):
        values[option.name] = _declare(node, option.name, option.default, option.metadata)
    for former, name in ALIASES.items():
        metadata = {'description': f'former name of {name}'}
        values[name] = _declare(node, former, values[name], metadata) or values[name]
    _check_frames(values)
    return PlayerOptions(**values)


def _check_frames(values: Mapping[str, Any]) -> None:
    frames = ('left_frame', 'right_frame', *(['parent_frame'] if values['parent_frame'] else []))
    for name in frames:
        if wrong := wrong_frame(f'parameter {name}', values[name]):
            raise PlaybackError(wrong)


def _declare(node: Node, name: str, default: Any, metadata: Mapping[str, Any]) -> Any:
    kind = type(default)
    descriptor = ParameterDescriptor(description=metadata['description'], read_only=True)
    # A whole number is taken for the text or the decimal number that it stands for.
    typed_loosely = name in NUMBERS_AS_TEXT or name in TRUTHS_AS_TEXT or kind is float
    descriptor.dynamic_typing = typed_loosely
    if kind is float:
        descriptor.floating_point_range = [FloatingPointRange(from_value=0.0, to_value=MAX_RATE)]
    try:
        value = node.declare_parameter(name, default, descriptor).value
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise PlaybackError(f'parameter {name}: {error}') from error
    is_truth = isinstance(value, bool)
    if is_truth and name in TRUTHS_AS_TEXT:
        value = str(value).lower()
    elif isinstance(value, int | float) and not is_truth and typed_loosely:
        value = kind(value)
    if not isinstance(value, kind):
        raise PlaybackError(f'parameter {name} must be a {kind.__name__}, not {value!r}')
    if kind is float and not 0 <= value <= MAX_RATE:
        raise PlaybackError(f'parameter {name} must be from 0 to {MAX_RATE:g}, not {value:g}')
    return value


def publishes_raw(options: PlayerOptions) -> bool:
    """Return whether images with a calibration file are raw; raises PlaybackError."""
    try:
        rectified = Rectified(options.rectified)
    except ValueError as error:
        names = ', '.join(choice.value for choice in Rectified)
        raise PlaybackError(
            f'parameter rectified must be one of {names}, not {options.rectified!r}'
        ) from error
    if rectified is Rectified.AUTO:
        return camera_number(options.source) is not None
    return rectified is Rectified.FALSE


def source_of(options: PlayerOptions) -> PairSource:
    """Return what the options say to play; raises :class:`S2M2Error`."""
    if not options.source:
        raise PlaybackError('nothing to play: set the parameter source')
    files = (options.calibration, options.right_calibration)
    return open_source(
        SourceOptions(
            source=options.source,
            right_source=options.right_source,
            calibration=[Path(file).expanduser() for file in files if file],
            layout=layout_named(options.input_layout),
            left_topic=options.recorded_left,
            right_topic=options.recorded_right,
        )
    )
