"""The node's parameters: the one table of name, default, description, range and choices."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from s2m2_ros.geometry import RegionOfInterest
from s2m2_ros.geometry.distance_check import (
    DEPTH_SCALES,
    DISPARITY_OFFSETS,
    RigCorrection,
)
from s2m2_ros.geometry.image_mask import (
    BoolMap,
    ImageMask,
    Polygon,
    polygons_from_numbers,
    roi_from_numbers,
)
from s2m2_ros.geometry.voxels import LARGEST_GROWTH, LARGEST_SIZE, SMALLEST_SIZE
from s2m2_ros.inference.matcher_options import MatcherOptions
from s2m2_ros.inference.presets import AUTO, BY_PRESET, CHOICES
from s2m2_ros.inference.registry import BACKENDS, PRECISIONS
from s2m2_ros.inference.sgbm_options import SgbmOptions
from s2m2_ros.io.images.mask_files import read_mask
from s2m2_ros.io.images.pixel_range import SETTINGS
from s2m2_ros.io.sources.view_layout import ViewLayout
from s2m2_ros.node.parameter_values import (
    Constraint,
    ParameterError,
    check_fields,
    constraint_of,
    or_parameter_error,
    parameter,
    type_name,
)
from s2m2_ros.pipeline import PipelineOptions, TemporalOptions, output_options
from s2m2_ros.pipeline.temporal import Mode
from s2m2_ros.setting_names import PARAMETERS, SettingNames
from s2m2_ros.text_safety import safe_text

__all__ = ['Constraint', 'ParameterError', 'type_name']

# The default of mask_polygon: ROS 2 Humble reads no empty arrays from YAML.
NO_POLYGON = (0.0, 0.0)
# Parameters of the node that `output_options` takes by the same names.
_OUTPUT_PARAMETERS = tuple(inspect.signature(output_options).parameters)


@dataclass(frozen=True)
class Settings:
    """A snapshot of all parameters; ParameterError for values that do not go together."""

    checkpoint: str = parameter(
        'starter',
        "Weights: a name that 's2m2 weights list' shows, or the path of a .pth or .safetensors "
        'file, or of the .onnx file of another network (doc/other_networks.md). Ignored by the '
        'sgbm backend.',
        read_only=True,
        node_wide=True,
    )
    backend: str = parameter(
        'auto',
        'What computes the disparity; auto takes the fastest that works here, sgbm needs neither '
        'checkpoint nor GPU.',
        read_only=True,
        choices=('auto', *BACKENDS),
        node_wide=True,
    )
    device: str = parameter(
        'auto',
        'auto (a CUDA device if there is one), cpu, cuda, cuda:1, ...',
        read_only=True,
        node_wide=True,
    )
    precision: str = parameter(
        'auto',
        'Precision of convolutions and attention; auto is float16 on a CUDA device, on a '
        'processor bfloat16 where it is fast and agrees with float32, else float32.',
        read_only=True,
        choices=('auto', *PRECISIONS),
        node_wide=True,
    )
    preset: str = parameter(
        AUTO,
        'Speed against accuracy, in place of max_width and refine_iterations, which override it: '
        'accurate, balanced or fast. auto is accurate on a GPU; on a processor the most accurate '
        'that should give two pairs per second of 640x480 (doc/presets.md).',
        read_only=True,
        choices=CHOICES,
        node_wide=True,
    )
    refine_iterations: int = parameter(
        BY_PRESET,
        'Local refinement steps; 3 as published, fewer is faster. -1: as preset says.',
        read_only=True,
        range=(BY_PRESET, 10),
        node_wide=True,
    )
    allow_negative: bool = parameter(
        False, 'Allow negative disparities (verged cameras).', read_only=True, node_wide=True
    )
    sgbm_search_fraction: float = parameter(
        0.25,
        'Largest disparity that the sgbm backend searches, as a fraction of the width of the '
        'images. Nearer surfaces than fx * baseline / (fraction * width) meters stay unknown.',
        read_only=True,
        range=(0.01, 1.0),
        node_wide=True,
    )
    sgbm_working_width: int = parameter(
        800,
        'The sgbm backend matches wider images at this width, in pixels; its time grows with the '
        'cube of the width. 0: no limit.',
        read_only=True,
        range=(0, 8192),
        node_wide=True,
    )
    sgbm_speckle_size: int = parameter(
        200,
        'The sgbm backend removes connected regions of at most so many pixels. 0: none.',
        read_only=True,
        range=(0, 1000000),
        node_wide=True,
    )
    warm_up_width: int = parameter(
        0,
        'Width of the images to expect, in pixels: what a backend prepares for each size is then '
        'ready before the first pair. 0: unknown.',
        read_only=True,
        range=(0, 8192),
        node_wide=True,
    )
    warm_up_height: int = parameter(
        0,
        'Height of the images to expect, in pixels. 0: unknown.',
        read_only=True,
        range=(0, 8192),
        node_wide=True,
    )
    max_width: int = parameter(
        BY_PRESET,
        'Match at this width at most, in pixels, and scale the disparity back: faster, less '
        'memory, less detail. 0: no limit. -1: as preset says.',
        range=(BY_PRESET, 8192),
    )
    fallback_backend: str = parameter(
        '',
        'Backend to switch to when the chosen one cannot be opened or fails repeatedly, e.g. '
        'sgbm. Empty: none.',
        choices=('', *BACKENDS),
        node_wide=True,
    )
    max_rate: float = parameter(
        0.0,
        'Pairs per second that are matched at most, evenly spaced; others are dropped at once. 0: '
        'no limit.',
        range=(0.0, 1000.0),
    )
    autostart: bool = parameter(
        True,
        'Configure and activate at start, and retry if that fails; false leaves the transitions '
        'to a lifecycle manager.',
        read_only=True,
        node_wide=True,
    )

    confidence_threshold: float = parameter(
        0.5,
        'Confidence from which a pixel is trusted: in confidence_mask, points_filter and '
        'depth_filter.',
        range=(0.0, 1.0),
    )
    occlusion_threshold: float = parameter(
        0.5,
        'Visibility below which a pixel is occluded: in occlusion_mask, points_filter and '
        'depth_filter.',
        range=(0.0, 1.0),
    )
    min_depth: float = parameter(
        0.0, 'Nearest depth in meters that depth and points keep.', range=(0.0, 1000.0)
    )
    max_depth: float = parameter(
        0.0,
        'Farthest depth in meters that depth and points keep. 0: no limit.',
        range=(0.0, 100000.0),
    )
    depth_scale: float = parameter(
        1.0,
        'Correction of this rig: every depth is multiplied by it (s2m2 calibrate-check finds it).',
        range=DEPTH_SCALES,
    )
    disparity_offset: float = parameter(
        0.0,
        'Correction of this rig: pixels added to every disparity (s2m2 calibrate-check finds it).',
        range=DISPARITY_OFFSETS,
    )
    depth_filter: bool = parameter(
        False, 'Set low-confidence and occluded pixels of the depth image to NaN.'
    )
    depth_encoding: str = parameter(
        '32FC1',
        'Of depth and depth/compressedDepth: 32FC1 (meters, NaN where unknown) or 16UC1 '
        '(millimeters, 0 where unknown or beyond 65.535 m).',
        choices=('32FC1', '16UC1'),
    )
    points_filter: bool = parameter(
        True, 'Remove low-confidence and occluded pixels from the cloud.'
    )
    points_flying_pixel_filter: bool = parameter(
        True, 'Remove points that hang between foreground and background from the cloud.'
    )
    points_organized: bool = parameter(
        True,
        'One point for each pixel, rows x columns, NaN where unknown; false sends the known '
        'points only, as one row.',
    )
    points_layout: str = parameter(
        'packed',
        'packed: 12 bytes for x, y, z and 4 for each further field; padded: the 32 bytes of '
        "PCL's aligned types.",
        choices=('packed', 'padded'),
    )
    points_color: str = parameter(
        'rgb', 'Field for the color of the left image.', choices=('rgb', 'intensity', 'none')
    )
    points_color_source: str = parameter(
        'left',
        'Whose image colors the cloud: left, or color, the camera of color/image_rect, where it '
        'sees the point; elsewhere the left image stays.',
        choices=('left', 'color'),
    )
    points_confidence: bool = parameter(False, 'Add a confidence field to the cloud.')
    points_uncertainty: bool = parameter(
        False,
        'Add a field uncertainty to the cloud: the standard deviation of the depth in meters.',
    )
    points_decimation: int = parameter(
        1, 'Take every n-th row and column into the cloud.', range=(1, 32)
    )
    points_border: float = parameter(
        0.0,
        'Remove from the cloud what lies at the edges of the image, as a fraction of its width: '
        'a costmap cannot clear what was marked there.',
        range=(0.0, 0.45),
    )
    clearing_decimation: int = parameter(
        8,
        'Take every n-th row and column into points_clearing; other ones each time, so that '
        'every pixel gets its turn.',
        range=(1, 64),
    )
    clearing_range: float = parameter(
        10.0,
        'Distance from the left camera in meters at which rays of points_clearing end when they '
        'meet nothing nearer. More than raytrace_max_range of the costmap.',
        range=(0.1, 1000.0),
    )
    points_voxel_size: float = parameter(
        0.0,
        'Send one point for each voxel of this edge in meters, in the frame of the cloud: '
        'centroid, mean color, highest confidence, lowest uncertainty. At least 0.001. The cloud '
        'is then never organized, whatever points_organized says. 0: every point.',
        range=(0.0, LARGEST_SIZE),
    )
    points_voxel_growth: float = parameter(
        0.0,
        'Let voxels grow with the uncertainty of the depth: the edge is the least of '
        'points_voxel_size times 1, 2, 4, ... 64 that is at least so many standard deviations. '
        '0: all of one size.',
        range=(0.0, LARGEST_GROWTH),
    )
    points_rate: float = parameter(
        0.0,
        'Clouds per second at most, by the timestamps of the images; other outputs come with '
        'every pair. 0: with every pair.',
        range=(0.0, 1000.0),
    )
    points_frame: str = parameter(
        '',
        'Frame that points and points_clearing are transformed into, through tf2. Empty: the left '
        'camera optical frame.',
        frame_name=True,
    )
    roi: tuple[int, ...] = parameter(
        (0, 0, 0, 0),
        'Region of interest [x, y, width, height] in pixels of the left rectified image; the rest '
        'is left out of every output. Width or height 0: to the edge of the image.',
    )
    mask_file: str = parameter(
        '',
        'Image file of the size of the left rectified image; where it is black (the robot '
        'itself), pixels are left out of every output. Read when the node is configured. Empty: '
        'none.',
        read_only=True,
    )
    mask_polygon: tuple[float, ...] = parameter(
        NO_POLYGON,
        'Corners x1, y1, x2, y2, ... in pixels of the left rectified image; what they enclose is '
        'left out of every output. Where the first corner comes again the polygon ends, and '
        'another may follow. [0.0, 0.0]: none.',
    )

    temporal_filter: str = parameter(
        'off',
        'Average disparity over pairs where it agrees (doc/temporal_filter.md): static for a '
        'camera that stands still, tf for one that moves, by its poses in temporal_fixed_frame.',
        choices=get_args(Mode),
    )
    temporal_fixed_frame: str = parameter(
        'odom',
        'Frame that stands still and does not jump, for temporal_filter: tf.',
        frame_name=True,
    )
    temporal_frames: int = parameter(
        20,
        'Pairs that the temporal filter averages over: noise falls by sqrt(2 n - 1).',
        range=(2, 200),
    )
    temporal_max_gap: float = parameter(
        5.0,
        'Seconds between the timestamps of two pairs after which the temporal filter begins anew.',
        range=(0.01, 3600.0),
    )

    input_layout: str = parameter(
        'two_topics',
        'Where the views are: in two topics, or both in the images of left/image_rect, '
        'side_by_side (left half, right half) or top_bottom (upper half, lower half).',
        choices=tuple(layout.value for layout in ViewLayout),
    )
    image_transport: str = parameter(
        'auto',
        'raw subscribes to left/image_rect, compressed to left/image_rect/compressed (and right); '
        'auto to what is published: raw, else compressed, else left/image_rect/ffmpeg.',
        choices=('auto', 'raw', 'compressed'),
    )
    cache_camera_info: bool = parameter(
        True,
        'Match every pair of images with the newest camera_info, whatever its timestamp; false '
        'demands one whose timestamp matches its image.',
    )
    color_calibration: str = parameter(
        'auto',
        'What of color/camera_info describes the color images: raw takes K, D and R, rectified '
        'takes P; auto decides by the name of color/image_rect after remapping (image_raw or '
        'image_rect).',
        choices=('auto', 'raw', 'rectified'),
    )
    color_slop: float = parameter(
        0.05,
        'Seconds that the timestamps of a left image and of the color image that colors its cloud '
        'may be apart, at most.',
        range=(0.0001, 10.0),
    )
    rectify: str = parameter(
        'auto',
        'true rectifies the images by the K, D, R and P of their camera_info, false takes them as '
        'they are; auto rectifies raw images (by the name image_raw, else by what they show).',
        choices=('auto', 'true', 'false'),
    )
    pixel_range: str = parameter(
        'auto',
        'Values of images of more than 8 bits: auto finds black and white from both images, full '
        'takes the whole range of the type, a number takes so many bits.',
        choices=SETTINGS,
    )
    approximate_sync: bool = parameter(
        False,
        'Pair images whose timestamps lie within slop; false demands equal timestamps. Equal '
        'ones are preferred either way.',
    )
    slop: float = parameter(
        0.02,
        'Seconds that the timestamps of a pair may be apart (strictly less, and less than half '
        'of the period of the images), with approximate_sync.',
        range=(0.0001, 10.0),
    )
    sync_queue_size: int = parameter(
        10,
        'Images of each camera that wait for their matching messages; fewer if they would take '
        'more than 256 MiB.',
        range=(1, 1000),
    )
    sync_timeout: float = parameter(
        3.0, 'Seconds without a pair after which the node says why.', range=(0.1, 3600.0)
    )

    diagnostics_period: float = parameter(
        1.0, 'Seconds between two messages on /diagnostics.', range=(0.1, 60.0), node_wide=True
    )
    calibration_check_period: float = parameter(
        10.0,
        'Seconds between two checks of a pair for misaligned or swapped cameras. 0: never.',
        range=(0.0, 86400.0),
    )
    max_vertical_misalignment: float = parameter(
        1.5,
        'Vertical offset between the views, in pixels, above which diagnostics warn.',
        range=(0.1, 1000.0),
    )

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
