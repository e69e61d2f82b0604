"""The node's parameters: the one table of name, default, description, range and choices."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from s2m2_ros.errors import S2M2Error
from s2m2_ros.geometry.distance_check import (
    DEPTH_SCALES,
    DISPARITY_OFFSETS,
    RigCorrection,
)
from s2m2_ros.inference.registry import BACKENDS, PRECISIONS
from s2m2_ros.inference.sgbm_options import SgbmOptions
from s2m2_ros.io.images.pixel_range import SETTINGS
from s2m2_ros.io.sources.view_layout import ViewLayout
from s2m2_ros.pipeline import PipelineOptions, output_options
from s2m2_ros.text_safety import safe_text

LONGEST_FRAME_NAME = 200
# Parameters of the node that `output_options` takes by the same names.
_OUTPUT_PARAMETERS = tuple(inspect.signature(output_options).parameters)


class ParameterError(S2M2Error):
    """A parameter has a value that the node cannot work with; says which and why."""


@dataclass(frozen=True)
class Constraint:
    """What a parameter may be: a description, and a range, choices, or the name of a frame."""

    description: str
    read_only: bool
    range: tuple[float, float] | None
    choices: tuple[str, ...]
    frame_name: bool


def _parameter(
    default: Any,
    description: str,
    *,
    read_only: bool = False,
    range: tuple[float, float] | None = None,
    choices: Sequence[str] = (),
    frame_name: bool = False,
) -> Any:
    constraint = Constraint(description, read_only, range, tuple(choices), frame_name)
    return field(default=default, metadata={'constraint': constraint})


@dataclass(frozen=True)
class Settings:
    """A snapshot of all parameters; ParameterError for values that do not go together."""

    checkpoint: str = _parameter(
        'starter',
        "Weights: a name that 's2m2 weights list' shows, or the path of a .pth or .safetensors "
        'file. Ignored by the sgbm backend.',
        read_only=True,
    )
    backend: str = _parameter(
        'auto',
        'What computes the disparity; auto takes the fastest that works here, sgbm needs neither '
        'checkpoint nor GPU.',
        read_only=True,
        choices=('auto', *BACKENDS),
    )
    device: str = _parameter(
        'auto', 'auto (a CUDA device if there is one), cpu, cuda, cuda:1, ...', read_only=True
    )
    precision: str = _parameter(
        'auto',
        'Precision of convolutions and attention; auto is float16 on a CUDA device, on a '
        'processor bfloat16 where it is fast and agrees with float32, else float32.',
        read_only=True,
        choices=('auto', *PRECISIONS),
    )
    refine_iterations: int = _parameter(
        3,
        'Local refinement steps; 3 as published, fewer is faster.',
        read_only=True,
        range=(0, 10),
    )
    allow_negative: bool = _parameter(
        False, 'Allow negative disparities (verged cameras).', read_only=True
    )
    sgbm_search_fraction: float = _parameter(
        0.25,
        'Largest disparity that the sgbm backend searches, as a fraction of the width of the '
        'images. Nearer surfaces than fx * baseline / (fraction * width) meters stay unknown.',
        read_only=True,
        range=(0.01, 1.0),
    )
    sgbm_working_width: int = _parameter(
        800,
        'The sgbm backend matches wider images at this width, in pixels; its time grows with the '
        'cube of the width. 0: no limit.',
        read_only=True,
        range=(0, 8192),
    )
    sgbm_speckle_size: int = _parameter(
        200,
        'The sgbm backend removes connected regions of at most so many pixels. 0: none.',
        read_only=True,
        range=(0, 1000000),
    )
    warm_up_width: int = _parameter(
        0,
        'Width of the images to expect, in pixels: what a backend prepares for each size is then '
        'ready before the first pair. 0: unknown.',
        read_only=True,
        range=(0, 8192),
    )
    warm_up_height: int = _parameter(
        0,
        'Height of the images to expect, in pixels. 0: unknown.',
        read_only=True,
        range=(0, 8192),
    )
    max_width: int = _parameter(
        0,
        'Match at this width at most, in pixels, and scale the disparity back: faster, less '
        'memory, less detail. 0: no limit.',
        range=(0, 8192),
    )
    fallback_backend: str = _parameter(
        '',
        'Backend to switch to when the chosen one cannot be opened or fails repeatedly, e.g. '
        'sgbm. Empty: none.',
        choices=('', *BACKENDS),
    )
    autostart: bool = _parameter(
        True,
        'Configure and activate at start, and retry if that fails; false leaves the transitions '
        'to a lifecycle manager.',
        read_only=True,
    )

    confidence_threshold: float = _parameter(
        0.5,
        'Confidence from which a pixel is trusted: in confidence_mask, points_filter and '
        'depth_filter.',
        range=(0.0, 1.0),
    )
    occlusion_threshold: float = _parameter(
        0.5,
        'Visibility below which a pixel is occluded: in occlusion_mask, points_filter and '
        'depth_filter.',
        range=(0.0, 1.0),
    )
    min_depth: float = _parameter(
        0.0, 'Nearest depth in meters that depth and points keep.', range=(0.0, 1000.0)
    )
    max_depth: float = _parameter(
        0.0,
        'Farthest depth in meters that depth and points keep. 0: no limit.',
        range=(0.0, 100000.0),
    )
    depth_scale: float = _parameter(
        1.0,
        'Correction of this rig: every depth is multiplied by it (s2m2 calibrate-check finds it).',
        range=DEPTH_SCALES,
    )
    disparity_offset: float = _parameter(
        0.0,
        'Correction of this rig: pixels added to every disparity (s2m2 calibrate-check finds it).',
        range=DISPARITY_OFFSETS,
    )
    depth_filter: bool = _parameter(
        False, 'Set low-confidence and occluded pixels of the depth image to NaN.'
    )
    points_filter: bool = _parameter(
        True, 'Remove low-confidence and occluded pixels from the cloud.'
    )
    points_flying_pixel_filter: bool = _parameter(
        True, 'Remove points that hang between foreground and background from the cloud.'
    )
    points_organized: bool = _parameter(
        True,
        'One point for each pixel, rows x columns, NaN where unknown; false sends the known '
        'points only, as one row.',
    )
    points_layout: str = _parameter(
        'packed',
        'packed: 12 bytes for x, y, z and 4 for each further field; padded: the 32 bytes of '
        "PCL's aligned types.",
        choices=('packed', 'padded'),
    )
    points_color: str = _parameter(
        'rgb', 'Field for the color of the left image.', choices=('rgb', 'intensity', 'none')
    )
    points_confidence: bool = _parameter(False, 'Add a confidence field to the cloud.')
    points_uncertainty: bool = _parameter(
        False,
        'Add a field uncertainty to the cloud: the standard deviation of the depth in meters.',
    )
    points_decimation: int = _parameter(
        1, 'Take every n-th row and column into the cloud.', range=(1, 32)
    )
    points_border: float = _parameter(
        0.0,
        'Remove from the cloud what lies at the edges of the image, as a fraction of its width: '
        'a costmap cannot clear what was marked there.',
        range=(0.0, 0.45),
    )
    clearing_decimation: int = _parameter(
        8,
        'Take every n-th row and column into points_clearing; other ones each time, so that '
        'every pixel gets its turn.',
        range=(1, 64),
    )
    clearing_range: float = _parameter(
        10.0,
        'Distance from the left camera in meters at which rays of points_clearing end when they '
        'meet nothing nearer. More than raytrace_max_range of the costmap.',
        range=(0.1, 1000.0),
    )
    points_frame: str = _parameter(
        '',
        'Frame that points and points_clearing are transformed into, through tf2. Empty: the left '
        'camera optical frame.',
        frame_name=True,
    )

    input_layout: str = _parameter(
        'two_topics',
        'Where the views are: in two topics, or both in the images of left/image_rect, '
        'side_by_side (left half, right half) or top_bottom (upper half, lower half).',
        choices=tuple(layout.value for layout in ViewLayout),
    )
    image_transport: str = _parameter(
        'auto',
        'raw subscribes to left/image_rect, compressed to left/image_rect/compressed (and right); '
        'auto to what is published: raw, else compressed, else left/image_rect/ffmpeg.',
        choices=('auto', 'raw', 'compressed'),
    )
    cache_camera_info: bool = _parameter(
        True,
        'Match every pair of images with the newest camera_info, whatever its timestamp; false '
        'demands one whose timestamp matches its image.',
    )
    rectify: str = _parameter(
        'auto',
        'true rectifies the images by the K, D, R and P of their camera_info, false takes them as '
        'they are; auto rectifies raw images (by the name image_raw, else by what they show).',
        choices=('auto', 'true', 'false'),
    )
    pixel_range: str = _parameter(
        'auto',
        'Values of images of more than 8 bits: auto finds black and white from both images, full '
        'takes the whole range of the type, a number takes so many bits.',
        choices=SETTINGS,
    )
    approximate_sync: bool = _parameter(
        False,
        'Pair images whose timestamps lie within slop; false demands equal timestamps. Equal '
        'ones are preferred either way.',
    )
    slop: float = _parameter(
        0.02,
        'Seconds that the timestamps of a pair may be apart (strictly less, and less than half '
        'of the period of the images), with approximate_sync.',
        range=(0.0001, 10.0),
    )
    sync_queue_size: int = _parameter(
        10,
        'Images of each camera that wait for their matching messages; fewer if they would take '
        'more than 256 MiB.',
        range=(1, 1000),
    )
    sync_timeout: float = _parameter(
        3.0, 'Seconds without a pair after which the node says why.', range=(0.1, 3600.0)
    )

    diagnostics_period: float = _parameter(
        1.0, 'Seconds between two messages on /diagnostics.', range=(0.1, 60.0)
    )
    calibration_check_period: float = _parameter(
        10.0,
        'Seconds between two checks of a pair for misaligned or swapped cameras. 0: never.',
        range=(0.0, 86400.0),
    )
    max_vertical_misalignment: float = _parameter(
        1.5,
        'Vertical offset between the views, in pixels, above which diagnostics warn.',
        range=(0.1, 1000.0),
    )

    def __post_init__(self) -> None:
        for option in fields(self):
            value = _typed(option.name, getattr(self, option.name), type(option.default))
            object.__setattr__(self, option.name, value)
            _check(option.name, value, CONSTRAINTS[option.name])
        if self.max_depth and self.max_depth <= self.min_depth:
            raise ParameterError(
                f'max_depth = {self.max_depth:g} m must be 0 (no limit) or more than min_depth = '
                f'{self.min_depth:g} m'
            )
        if bool(self.warm_up_width) != bool(self.warm_up_height):
            raise ParameterError('set warm_up_width and warm_up_height both, or neither')
        if 0 < self.sgbm_working_width < 32:
            raise ParameterError(
                f'sgbm_working_width = {self.sgbm_working_width} must be 0 or at least 32'
            )
        if 0 < self.max_width < 32:
            raise ParameterError(f'max_width = {self.max_width} must be 0 or at least 32')
        if self.points_frame and importlib.util.find_spec('tf2_ros') is None:
            raise ParameterError(
                f"points_frame = '{self.points_frame}' needs tf2_ros, which is not installed: "
                'leave it empty for the left camera optical frame'
            )

    def sgbm_options(self) -> SgbmOptions:
        """Return how the sgbm backend matches."""
        return SgbmOptions(
            search_fraction=self.sgbm_search_fraction,
            working_width=self.sgbm_working_width,
            speckle_size=self.sgbm_speckle_size,
        )

    def pipeline_options(self) -> PipelineOptions:
        """Return what the pipeline needs to know; the cloud's transform is not among it."""
        return PipelineOptions(
            correction=RigCorrection(self.depth_scale, self.disparity_offset),
            rectify=self.rectify,  # type: ignore[arg-type]  # checked against the choices
            outputs=output_options(**{name: getattr(self, name) for name in _OUTPUT_PARAMETERS}),
            allow_negative=self.allow_negative,
            max_vertical_misalignment=self.max_vertical_misalignment,
        )


# How users call the types.
TYPE_NAMES: Mapping[type[Any], str] = {
    bool: 'bool',
    int: 'integer',
    float: 'double',
    str: 'string',
}

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
    option.name: option.metadata['constraint'] for option in fields(Settings)
}


def _typed(name: str, value: Any, kind: type[Any]) -> Any:
    """Return the value as its parameter's type: whole numbers are real ones too."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # YAML reads `rectify: true` as a bool and `pixel_range: 10` as an integer.
    if (name, type(value)) in (('rectify', bool), ('pixel_range', int)):
        return str(value).lower()
    if type(value) is not kind:
        raise ParameterError(
            f'{name} = {safe_text(repr(value))} must be of type {TYPE_NAMES[kind]}'
        )
    return value


def _check(name: str, value: Any, constraint: Constraint) -> None:
    if constraint.choices and value not in constraint.choices:
        choices = ', '.join(f"'{choice}'" for choice in constraint.choices)
        raise ParameterError(f"{name} = '{safe_text(value)}' must be one of {choices}")
    if constraint.range is not None:
        low, high = constraint.range
        if not low <= value <= high:
            raise ParameterError(f'{name} = {value} is not between {low:g} and {high:g}')
    if constraint.frame_name and value and (reason := _no_frame_name(value)):
        raise ParameterError(f"{name} = '{safe_text(value)}' is not the name of a frame: {reason}")


def _no_frame_name(value: str) -> str | None:
    if value.startswith('/'):
        return 'tf2 knows no names with a slash in front'
    if len(value) > LONGEST_FRAME_NAME:
        return f'it is longer than {LONGEST_FRAME_NAME} characters'
    if not value.isprintable() or value != value.strip():
        return 'it has blanks at an end, or characters that cannot be printed'
    return None
