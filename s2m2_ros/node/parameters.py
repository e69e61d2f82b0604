"""The node's parameters: the one table of name, default, description, range and choices.

Its rows are the fields in `node/tables/`, by subject.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from s2m2_ros.geometry import RegionOfInterest
from s2m2_ros.geometry.distance_check import (
    RigCorrection,
)
from s2m2_ros.geometry.image_mask import (
    BoolMap,
    ImageMask,
    Polygon,
    polygons_from_numbers,
    roi_from_numbers,
)
from s2m2_ros.geometry.voxels import SMALLEST_SIZE
from s2m2_ros.inference.matcher_options import MatcherOptions
from s2m2_ros.inference.presets import BY_PRESET
from s2m2_ros.inference.sgbm_options import SgbmOptions
from s2m2_ros.io.images.mask_files import read_mask
from s2m2_ros.node.parameter_values import (
    Constraint,
    ParameterError,
    check_fields,
    constraint_of,
    or_parameter_error,
    type_name,
)
from s2m2_ros.node.tables.inputs import InputParameters
from s2m2_ros.node.tables.network import NetworkParameters
from s2m2_ros.node.tables.outputs import NO_POLYGON, OutputParameters
from s2m2_ros.node.tables.watching import WatchingParameters
from s2m2_ros.pipeline import PipelineOptions, TemporalOptions, output_options
from s2m2_ros.setting_names import PARAMETERS, SettingNames
from s2m2_ros.text_safety import safe_text

__all__ = ['Constraint', 'ParameterError', 'type_name']

# Parameters of the node that `output_options` takes by the same names.
_OUTPUT_PARAMETERS = tuple(inspect.signature(output_options).parameters)


@dataclass(frozen=True)
class Settings(WatchingParameters, InputParameters, OutputParameters, NetworkParameters):
    """A snapshot of all parameters; ParameterError for values that do not go together.

    The bases are in reverse: fields are in the order of the groups.
    """

    # What the parameters are called in messages.
    names: InitVar[SettingNames] = PARAMETERS

    def __post_init__(self, names: SettingNames) -> None:
        self.__dict__['_called'] = names
        check_fields(self, names)
        if self.max_depth and self.max_depth <= self.min_depth:
            raise ParameterError(
                f'{names("max_depth")} = {self.max_depth:g} m must be 0 (no limit) or more than '
                f'{names("min_depth")} = {self.min_depth:g} m'
            )
        if bool(self.warm_up_width) != bool(self.warm_up_height):
            raise ParameterError('set warm_up_width and warm_up_height both, or neither')
        if 0 < self.sgbm_working_width < 32:
            raise ParameterError(
                f'{names("sgbm_working_width")} = {self.sgbm_working_width} must be 0 or at '
                'least 32'
            )
        if 0 < self.max_width < 32:
            raise ParameterError(
                f'{names("max_width")} = {self.max_width} must be 0 or at least 32, or -1 as '
                f'{names("preset")} says'
            )
        if self.upsampling < 1 and self.upsampling != BY_PRESET:
            raise ParameterError(
                f'{names("upsampling")} = {self.upsampling:g} must be 1 (off) to 4, or -1 as '
                f'{names("preset")} says'
            )
        if 0 < self.points_voxel_size < SMALLEST_SIZE:
            raise ParameterError(
                f'{names("points_voxel_size")} = {self.points_voxel_size:g} m must be 0 (off) or '
                f'at least {SMALLEST_SIZE:g}'
            )
        _ = self._region, self._polygons  # raise ParameterError
        if self.points_frame and importlib.util.find_spec('tf2_ros') is None:
            raise ParameterError(
                f"points_frame = '{self.points_frame}' needs tf2_ros, which is not installed: "
                'leave it empty for the left camera optical frame'
            )
        if self.temporal_filter == 'tf':
            _check_fixed_frame(self.temporal_fixed_frame)

    def _name(self, parameter: str) -> str:
        called: SettingNames = self.__dict__['_called']
        return called(parameter)

    @property
    def _region(self) -> RegionOfInterest:
        name = safe_text(f'{self._name("roi")} = {list(self.roi)}')
        return or_parameter_error(name, roi_from_numbers, self.roi)

    @property
    def _polygons(self) -> tuple[Polygon, ...]:
        numbers = () if self.mask_polygon == NO_POLYGON else self.mask_polygon
        return or_parameter_error(self._name('mask_polygon'), polygons_from_numbers, numbers)

    @cached_property
    def _picture(self) -> BoolMap | None:
        if not self.mask_file:
            return None
        return or_parameter_error(self._name('mask_file'), read_mask, Path(self.mask_file))

    @cached_property
    def mask(self) -> ImageMask:
        """Which pixels count; reads mask_file the first time. Raises ParameterError."""
        return ImageMask(self._region, self._polygons, self._picture)

    def with_changes(self, changes: Mapping[str, Any]) -> Settings:
        """Return the settings with these changes; a mask that was read is kept.

        Raises ParameterError.
        """
        changed = replace(self, **changes)
        kept = {'_picture'} if 'mask_file' not in changes else set()
        if not {'roi', 'mask_file', 'mask_polygon'} & set(changes):
            kept.add('mask')
        changed.__dict__.update({n: v for n, v in self.__dict__.items() if n in kept})
        return changed

    def with_mask_read(self) -> Settings:
        """Return the same settings with mask_file read again; raises ParameterError."""
        fresh = replace(self)
        _ = fresh.mask
        return fresh

    def matcher_options(self) -> MatcherOptions:
        """Return how pairs are matched."""
        return MatcherOptions(
            checkpoint=self.checkpoint,
            backend=self.backend,
            device=self.device,
            precision=self.precision,
            preset=self.preset,
            refine_iterations=self.refine_iterations,
            allow_negative=self.allow_negative,
            max_width=self.max_width,
            upsampling=self.upsampling,
            sgbm_refinement=self.sgbm_refinement,
            sgbm=SgbmOptions(
                search_fraction=self.sgbm_search_fraction,
                working_width=self.sgbm_working_width,
                speckle_size=self.sgbm_speckle_size,
            ),
        )

    def pipeline_options(self) -> PipelineOptions:
        """Return what the pipeline needs to know; the cloud's transform is not among it."""
        return PipelineOptions(
            correction=RigCorrection(self.depth_scale, self.disparity_offset),
            rectify=self.rectify,  # type: ignore[arg-type]  # checked against the choices
            outputs=output_options(**{name: getattr(self, name) for name in _OUTPUT_PARAMETERS}),
            allow_negative=self.allow_negative,
            max_vertical_misalignment=self.max_vertical_misalignment,
            mask=self.mask,
            temporal=TemporalOptions(
                self.temporal_filter,  # type: ignore[arg-type]  # checked against the choices
                self.temporal_frames,
                self.temporal_max_gap,
            ),
        )


# Titles of the groups in files for people, by the first parameter of each.
GROUPS: Mapping[str, str] = {
    'checkpoint': 'Which network, and how it runs',
    'confidence_threshold': 'Which pixels are published, and how',
    'input_layout': 'What comes in',
    'diagnostics_period': 'How the node watches itself',
}

# Names that stereo_image_proc's users know, and ours.
ALIASES: Mapping[str, str] = {
    'queue_size': 'sync_queue_size',
    'approximate_sync_tolerance_seconds': 'slop',
}

CONSTRAINTS: Mapping[str, Constraint] = {
    option.name: constraint_of(option) for option in fields(Settings)
}


def _check_fixed_frame(frame: str) -> None:
    """Raise ParameterError if poses in this frame cannot be found."""
    if not frame:
        raise ParameterError(
            'temporal_filter = tf needs temporal_fixed_frame, a frame that stands still, e.g. odom'
        )
    if importlib.util.find_spec('tf2_ros') is None:
        raise ParameterError(
            'temporal_filter = tf needs tf2_ros, which is not installed: set it to static for a '
            'camera that stands still, else to off'
        )
