"""The node's parameters: one table that declares, describes and checks them."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)

from s2m2_ros.errors import S2M2Error
from s2m2_ros.geometry import CloudOptions, FlyingPixelFilter, OutputOptions, PixelFilter
from s2m2_ros.inference.registry import BACKENDS, PRECISIONS


class ParameterError(S2M2Error):
    """A parameter has a value that the node cannot work with; says which and why."""


@dataclass(frozen=True)
class Constraint:
    """What a parameter may be: a description, and a range or choices, both inclusive."""

    description: str
    read_only: bool
    range: tuple[float, float] | None
    choices: tuple[str, ...]


def _parameter(
    default: Any,
    description: str,
    *,
    read_only: bool = False,
    range: tuple[float, float] | None = None,
    choices: Sequence[str] = (),
) -> Any:
    constraint = Constraint(description, read_only, range, tuple(choices))
    return field(default=default, metadata={'constraint': constraint})


@dataclass(frozen=True)
class Settings:
    """A snapshot of all parameters; ParameterError for values that do not go together."""

    # Which network, and how it runs.
    checkpoint: str = _parameter(
        'starter',
        "Weights: a name that 's2m2 weights' lists, or the path of a .pth or .safetensors file. "
        'Not looked at by the sgbm backend.',
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
        'Precision of convolutions and attention; auto is float16 on a CUDA device, else float32.',
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
        False, 'Search disparities below 0 too, for cameras that converge.', read_only=True
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

    # Which pixels are published, and how.
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
        0.0, 'Nearest depth in metres that depth and points keep.', range=(0.0, 1000.0)
    )
    max_depth: float = _parameter(
        0.0,
        'Farthest depth in metres that depth and points keep. 0: no limit.',
        range=(0.0, 100000.0),
    )
    depth_filter: bool = _parameter(
        False, 'Blank untrusted and occluded pixels in the depth image (NaN).'
    )
    points_filter: bool = _parameter(True, 'Leave untrusted and occluded pixels out of the cloud.')
    points_flying_pixel_filter: bool = _parameter(
        True, 'Leave points that hang between foreground and background out of the cloud.'
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
        'rgb', 'Field for the colour of the left image.', choices=('rgb', 'intensity', 'none')
    )
    points_confidence: bool = _parameter(False, 'Add a confidence field to the cloud.')
    points_decimation: int = _parameter(
        1, 'Take every n-th row and column into the cloud.', range=(1, 32)
    )
    points_frame: str = _parameter(
        '',
        'Frame that the cloud is transformed into, through tf2. Empty: the left camera optical '
        'frame.',
    )

    # What comes in.
    image_transport: str = _parameter(
        'auto',
        'raw subscribes to left/image_rect, compressed to left/image_rect/compressed (and right); '
        'auto to what is published, raw if both are.',
        choices=('auto', 'raw', 'compressed'),
    )
    cache_camera_info: bool = _parameter(
        True,
        'Match every pair of images with the newest camera_info, whatever its timestamp; false '
        'demands one whose timestamp matches its image.',
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

    # How the node watches itself.
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
        for name, constraint in CONSTRAINTS.items():
            _check(name, getattr(self, name), constraint)
        if self.max_depth and self.max_depth <= self.min_depth:
            raise ParameterError(
                f'max_depth = {self.max_depth:g} m must be 0 (no limit) or more than min_depth = '
                f'{self.min_depth:g} m'
            )
        if bool(self.warm_up_width) != bool(self.warm_up_height):
            raise ParameterError('set warm_up_width and warm_up_height both, or neither')
        if 0 < self.max_width < 32:
            raise ParameterError(f'max_width = {self.max_width} must be 0 or at least 32')
        if self.points_frame and importlib.util.find_spec('tf2_ros') is None:
            raise ParameterError(
                f"points_frame = '{self.points_frame}' needs tf2_ros, which is not installed: "
                'leave it empty for the left camera optical frame'
            )

    def output_options(self) -> OutputOptions:
        """Return what the geometry needs to know; the cloud's transform is not among it."""
        in_range = PixelFilter(min_depth=self.min_depth, max_depth=self.max_depth or math.inf)
        trusted = replace(
            in_range,
            min_confidence=self.confidence_threshold,
            min_visibility=self.occlusion_threshold,
        )
        cloud_filter = replace(
            trusted if self.points_filter else in_range,
            flying_pixels=FlyingPixelFilter() if self.points_flying_pixel_filter else None,
        )
        return OutputOptions(
            min_confidence=self.confidence_threshold,
            min_visibility=self.occlusion_threshold,
            depth_filter=trusted if self.depth_filter else in_range,
            cloud=CloudOptions(
                organized=self.points_organized,
                padded=self.points_layout == 'padded',
                color=self.points_color,  # type: ignore[arg-type]  # checked against the choices
                confidence=self.points_confidence,
                decimation=self.points_decimation,
                filter=cloud_filter,
            ),
        )


CONSTRAINTS: Mapping[str, Constraint] = {
    option.name: option.metadata['constraint'] for option in fields(Settings)
}


def _check(name: str, value: Any, constraint: Constraint) -> None:
    if constraint.choices and value not in constraint.choices:
        choices = ', '.join(f"'{choice}'" for choice in constraint.choices)
        raise ParameterError(f"{name} = '{value}' is none of {choices}")
    if constraint.range is not None:
        low, high = constraint.range
        if not low <= value <= high:
            raise ParameterError(f'{name} = {value} is not between {low:g} and {high:g}')


def descriptor(name: str, default: Any) -> ParameterDescriptor:
    """Return how the parameter is described to tools such as rqt and `ros2 param describe`."""
    constraint = CONSTRAINTS[name]
    described = ParameterDescriptor(
        name=name, description=constraint.description, read_only=constraint.read_only
    )
    if constraint.choices:
        described.additional_constraints = 'one of: ' + ', '.join(
            choice or "'' (none)" for choice in constraint.choices
        )
    if constraint.range is not None:
        low, high = constraint.range
        if isinstance(default, float):
            described.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            described.integer_range = [
                IntegerRange(from_value=int(low), to_value=int(high), step=1)
            ]
    return described


class Parameters:
    """Declares the table on a node and keeps the newest valid snapshot.

    `settings` is replaced as a whole, so another thread that reads it once per pair never sees
    half of a change. Raises ParameterError if the values from launch or YAML are not valid.
    """

    def __init__(self, node: Any) -> None:
        for option in fields(Settings):
            self._declare(node, option.name, option.default)
        values = {name: node.get_parameter(name).value for name in CONSTRAINTS}
        self.settings = Settings(**values)
        self._listeners: list[Any] = []
        node.add_on_set_parameters_callback(self._set)

    def on_change(self, listener: Any) -> None:
        """Call `listener(before, after)` with both snapshots after each accepted change."""
        self._listeners.append(listener)

    @staticmethod
    def _declare(node: Any, name: str, default: Any) -> None:
        try:
            node.declare_parameter(name, default, descriptor(name, default))
        except Exception as error:  # rclpy's several classes for a wrong type or range
            raise ParameterError(f"parameter '{name}': {error}") from error

    def _set(self, parameters: Sequence[Any]) -> SetParametersResult:
        changes = {p.name: p.value for p in parameters if p.name in CONSTRAINTS}
        before = self.settings
        try:
            self.settings = replace(before, **changes)
        except (ParameterError, TypeError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        for listener in self._listeners:
            listener(before, self.settings)
        return SetParametersResult(successful=True)
