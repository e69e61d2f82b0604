"""What is asked of the processing of recordings."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from s2m2_ros.errors import S2M2Error
from s2m2_ros.io.sources.view_layout import ViewLayout
from s2m2_ros.messages.depth_encodings import METERS
from s2m2_ros.messages.output_topics import CLOUDS, OUTPUT_TOPICS, REGISTERED

DEFAULT_OUTPUTS = (
    'disparity',
    'depth',
    'depth/camera_info',
    'confidence',
    'occlusion_mask',
    'points',
)
ALL = 'all'


class OutputFormat(Enum):
    """What is written: a recording, or a folder of files for each pair."""

    MCAP = 'mcap'
    ROSBAG2 = 'rosbag2'
    PNG = 'png'
    PFM = 'pfm'
    PLY = 'ply'
    NPZ = 'npz'

    @property
    def is_recording(self) -> bool:
        """Return whether all pairs are in one recording."""
        return self in (OutputFormat.MCAP, OutputFormat.ROSBAG2)


@dataclass(frozen=True)
class ProcessOptions:
    """What is read of a recording and what is written.

    Attributes:
        outputs: output topics, as the node names them.
        formats: one kind of recording, or kinds of files.
        keep: topics of the recording to carry along, names or patterns as of a shell; 'all'.
        pairs: left and right image topics of each rig; empty to find them by their names.
        namespace: before the output topics; None for the one that the images of a rig share.
        color_info: recorded camera_info of the camera that depth is registered to; empty: none.
        color_calibration: which images that describes, as the node's parameter.
        points_color_source: whose image colors clouds, as the node's parameter.
        color_image: recorded images of that camera; empty: those that color_info belongs to.
        color_slop: seconds between these and left images at most, as the node's parameter.
        points_frame: that clouds are transformed into, as the node's parameter.
        calibration: file or files in place of the recorded calibration.
        layout: where the views are, if one image holds both.
        pixel_range: black and white of images of more than 8 bits, as the node's parameter.
        depth_encoding: of the output depth, as the node's parameter.
        rate: pairs per second of image files, which have no timestamps.
        frame_id: frame of images that name none: files and videos.
        segment_seconds: length of a segment of a recording.
        segment_pairs: length of a segment of image files and videos.
        batch: pairs of one size that are matched together; 0: 1 on a CPU, 4 on a GPU.

    """

    outputs: Sequence[str] = DEFAULT_OUTPUTS
    formats: Sequence[OutputFormat] = (OutputFormat.MCAP,)
    keep: Sequence[str] = ()
    pairs: Sequence[tuple[str, str]] = ()
    namespace: str | None = None
    color_info: str = ''
    color_calibration: str = 'auto'
    points_color_source: str = 'left'
    color_image: str = ''
    color_slop: float = 0.05
    points_frame: str = ''
    calibration: Sequence[Path] = ()
    layout: ViewLayout = ViewLayout.TWO_TOPICS
    pixel_range: str = 'auto'
    depth_encoding: str = METERS
    rate: float = 10.0
    frame_id: str = 'left_camera_optical_frame'
    segment_seconds: float = 5.0
    segment_pairs: int = 50
    batch: int = 0

    def __post_init__(self) -> None:
        known = [n for n in OUTPUT_TOPICS if self.color_info or n not in REGISTERED]
        names = known if ALL in self.outputs else list(dict.fromkeys(self.outputs))
        for name in names:
            if name in REGISTERED and name not in known:
                raise S2M2Error(f"'{name}' needs color_info, the camera_info of the color camera")
            if name not in known:
                listed = ', '.join(known)
                raise S2M2Error(f"no output '{name}': it must be one of {listed}, {ALL}")
        if not names or not self.formats:
            raise S2M2Error('name at least one output and one format')
        # In the order of the table, so that the order asked for changes no byte.
        object.__setattr__(self, 'outputs', tuple(n for n in OUTPUT_TOPICS if n in names))
        object.__setattr__(self, 'formats', tuple(f for f in OutputFormat if f in self.formats))
        if any(f.is_recording for f in self.formats) and len(self.formats) > 1:
            raise S2M2Error(
                'mcap and rosbag2 are written alone: name one format, or kinds of files'
            )
        if self.points_color_source == 'color' and not self.color_info:
            raise S2M2Error(
                'points_color_source = color needs color_info, the camera_info of the color camera'
            )
        if self.keep and not self.writes_recording:
            raise S2M2Error('topics can be kept in a recording only: --format mcap or rosbag2')
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name in ('rate', 'segment_seconds', 'segment_pairs', 'color_slop'):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise S2M2Error(f'{name} = {value:g} must be above 0')
        if self.batch < 0:
            raise S2M2Error(f'batch = {self.batch} must be 0 or more')

    @property
    def colors_clouds(self) -> bool:
        """Return whether images of the color camera are needed."""
        return self.points_color_source == 'color' and not CLOUDS.isdisjoint(self.outputs)

    @property
    def writes_recording(self) -> bool:
        """Return whether the result is a recording."""
        return self.formats[0].is_recording


def as_json(value: Any) -> Any:  # a table of kinds
    """Return options, dataclasses of any kind, as JSON values that differ if the options do."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, int | str | None) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, np.ndarray):
        # Masks: their digest stands for them.
        content = np.ascontiguousarray(value).tobytes()
        return [str(value.dtype), *value.shape, hashlib.sha256(content).hexdigest()]
    is_sequence = isinstance(value, Sequence | frozenset)
    return [as_json(item) for item in value] if is_sequence else str(value)
