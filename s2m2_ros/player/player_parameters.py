"""The parameters of `stereo_player`: what to play, how fast, and with which calibration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.node import Node

from s2m2_ros.io.recording_reader import Recording
from s2m2_ros.io.stereo_frame import PlaybackError, StereoFrame
from s2m2_ros.io.stereo_sources import find_pairs
from s2m2_ros.player.image_source import ImageFiles

RECORDING_SUFFIXES = frozenset({'.mcap', '.db3'})
IMAGE_FILES_RATE = 10.0
MAX_RATE = 1000.0


def _option(default: Any, description: str) -> Any:
    return field(default=default, metadata={'description': description})


@dataclass(frozen=True)
class PlayerOptions:
    """Every parameter with its default; all are read once, at the start."""

    source: str = _option(
        '', 'folder of stereo pairs, left image, folder of left images, or recording'
    )
    right_source: str = _option(
        '', 'right image, or folder of right images; where source is its left counterpart'
    )
    calibration: str = _option(
        '',
        'calibration that `s2m2 match` reads: a file, or a folder with left.yaml and right.yaml; '
        'goes before the recorded one',
    )
    right_calibration: str = _option(
        '', 'camera_info file of the right camera; where calibration is that of the left one'
    )
    rate: float = _option(
        0.0, f'pairs a second; 0: as recorded, or {IMAGE_FILES_RATE:g} for image files'
    )
    loop: bool = _option(True, 'start again at the end; else the player ends')
    restamp: bool = _option(True, 'stamp with the time of publishing; else as recorded')
    wait_for_listeners: bool = _option(
        False, 'publish nothing before all four topics have a listener'
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
    recorded_left: str = _option('', 'topic of the left images in a recording; empty: find it')
    recorded_right: str = _option('', 'topic of the right images in a recording; empty: find it')


class Source(Protocol):
    """Something that gives stereo pairs, from the start each time it is iterated over."""

    def __iter__(self) -> Iterator[StereoFrame]: ...


def declare_options(node: Node) -> PlayerOptions:
    """Declare every parameter, described and read-only, and return the values given."""
    values = {}
    for option in fields(PlayerOptions):
        descriptor = ParameterDescriptor(
            description=option.metadata['description'], read_only=True
        )
        if option.name == 'rate':
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=0.0, to_value=MAX_RATE)
            ]
        values[option.name] = node.declare_parameter(option.name, option.default, descriptor).value
    return PlayerOptions(**values)


def open_source(options: PlayerOptions) -> Source:
    """Return what the options say to play; raises :class:`S2M2Error`."""
    if not options.source:
        raise PlaybackError('nothing to play: set the parameter source')
    path = Path(options.source).expanduser()
    if not path.exists():
        raise PlaybackError(f"source: there is no '{path}'")
    frame_ids = (options.left_frame, options.right_frame)
    files = (options.calibration, options.right_calibration)
    calibration = [Path(file).expanduser() for file in files if file]
    if path.suffix in RECORDING_SUFFIXES or (path / 'metadata.yaml').is_file():
        return Recording(
            path,
            left_topic=options.recorded_left,
            right_topic=options.recorded_right,
            calibration=calibration,
            frame_ids=frame_ids,
        )
    if not calibration:
        raise PlaybackError('image files come without calibration: set the parameter calibration')
    right = Path(options.right_source).expanduser() if options.right_source else None
    return ImageFiles(find_pairs(path, right), calibration, frame_ids)
