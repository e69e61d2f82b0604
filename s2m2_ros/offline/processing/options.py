"""What is asked of the processing of recordings."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from s2m2_ros.errors import S2M2Error
from s2m2_ros.io.sources.view_layout import ViewLayout
from s2m2_ros.messages.depth_encodings import METERS
from s2m2_ros.messages.output_topics import CLOUDS, OUTPUT_TOPICS, REGISTERED
from s2m2_ros.offline.output_formats import DEFAULT_OUTPUTS, FORMAT_OUTPUTS, OutputFormat
from s2m2_ros.ros_names import require_frame, require_namespace
from s2m2_ros.setting_names import SettingNames
from s2m2_ros.text_safety import safe_text

ALL = 'all'
FIELDS = SettingNames(
    others={'shared_topic': 'pairs', 'input_layout': 'layout', 'right_source': ''}
)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProcessOptions:
    """What is read of a recording and what is written.

    Attributes:
        outputs: output topics, as the node names them, or 'all'; empty for `DEFAULT_OUTPUTS`.
            Those that no format takes are left out.
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
        temporal_fixed_frame: in which the temporal filter follows the camera by recorded
            transforms, as the node's parameter; empty: it does not.
        names: what all of these are called in messages.

    """

    outputs: Sequence[str] = ()
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
    temporal_fixed_frame: str = ''
    names: SettingNames = field(default=FIELDS, compare=False, metadata={'is_recorded': False})

    def __post_init__(self) -> None:
        if not self.formats:
            raise S2M2Error(f'{self.names("formats")}: name at least one')
        object.__setattr__(self, 'pairs', tuple(dict.fromkeys(map(tuple, self.pairs))))
        object.__setattr__(self, 'formats', tuple(f for f in OutputFormat if f in self.formats))
        if self.writes_recording and len(self.formats) > 1:
            raise S2M2Error(
                f'{self.names("formats")}: mcap and rosbag2 are written alone: name one, or kinds '
                'of files'
            )
        # In the order of the table, so that the order asked for changes no byte.
        names = self._written()
        object.__setattr__(self, 'outputs', tuple(n for n in OUTPUT_TOPICS if n in names))
        if self.points_color_source == 'color' and not self.color_info:
            raise S2M2Error(
                f'{self.names("points_color_source")} = color needs {self.names("color_info")}, '
                'the camera_info of the color camera'
            )
        if self.keep and not self.writes_recording:
            raise S2M2Error(
                f'{self.names("keep")}: topics can be kept in a recording only, in the formats '
                'mcap and rosbag2'
            )
        self._check_numbers()
        self._check_pairs()
        self._check_names()

    def _written(self) -> Sequence[str]:
        """Return the chosen outputs that a format takes; those that none takes are logged."""
        known = [n for n in OUTPUT_TOPICS if self.color_info or n not in REGISTERED]
        taken = {name for kind in self.formats for name in FORMAT_OUTPUTS[kind]}
        if ALL in self.outputs or not self.outputs:
            chosen = known if self.outputs else DEFAULT_OUTPUTS
            return [name for name in chosen if name in taken]
        for name in self.outputs:
            self._check_output(name, known)
        for kind in self.formats:
            if not set(self.outputs) & set(FORMAT_OUTPUTS[kind]):
                raise S2M2Error(
                    f'the format {kind.value} takes none of the chosen outputs '
                    f'({", ".join(self.outputs)}); it takes {", ".join(FORMAT_OUTPUTS[kind])}'
                )
        for name in dict.fromkeys(self.outputs):
            if name not in taken:
                kinds = ' and '.join(kind.value for kind in self.formats)
                _logger.warning("the output '%s' is not written: %s cannot hold it", name, kinds)
        return [name for name in self.outputs if name in taken]

    def _check_output(self, name: str, known: Sequence[str]) -> None:
        if name in REGISTERED and name not in known:
            raise S2M2Error(
                f"the output '{name}' needs {self.names('color_info')}, the camera_info of the "
                'color camera'
            )
        if name not in known:
            listed = ', '.join(name for name in OUTPUT_TOPICS if name not in REGISTERED)
            outputs = self.names('outputs')
            raise S2M2Error(
                f"{outputs}: no output '{safe_text(name)}': it must be one of {listed}, {ALL}; "
                f'or, with {self.names("color_info")}, of {", ".join(sorted(REGISTERED))}'
            )

    def _check_numbers(self) -> None:
        for name in ('rate', 'segment_seconds', 'segment_pairs', 'color_slop'):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise S2M2Error(f'{self.names(name)} = {value:g} must be above 0')
        if self.batch < 0:
            raise S2M2Error(f'{self.names("batch")} = {self.batch} must be 0 or more')

    def _check_pairs(self) -> None:
        for left, right in self.pairs:
            if not (left and right):
                raise S2M2Error(f'{self.names("pairs")}: name both topics')
            if (left == right) != self.layout.in_one_image:
                layout = f'{self.names("input_layout")} is {self.layout.value}'
                wrong = (
                    f"{layout}, but {self.names('pairs')} names '{left}' for both views"
                    if left == right
                    else f'{layout}, so {self.names("pairs")} must name one topic twice'
                )
                raise S2M2Error(wrong)

    def _check_names(self) -> None:
        if self.namespace is not None:
            require_namespace(self.names('namespace'), self.namespace)
        require_frame(self.names('frame_id'), self.frame_id)
        if self.points_frame:
            require_frame(self.names('points_frame'), self.points_frame)
        if self.temporal_fixed_frame:
            name = self.names('temporal_fixed_frame')
            require_frame(name, self.temporal_fixed_frame)

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
        recorded = [f for f in fields(value) if f.metadata.get('is_recorded', True)]
        return {f.name: as_json(getattr(value, f.name)) for f in recorded}
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
