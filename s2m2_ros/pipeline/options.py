"""Options of the pipeline, besides the outputs that are wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from s2m2_ros.geometry import (
    ClearingOptions,
    CloudOptions,
    FlyingPixelFilter,
    OutputOptions,
    PixelFilter,
    VoxelGrid,
)
from s2m2_ros.geometry.cloud import Color
from s2m2_ros.geometry.distance_check import RigCorrection
from s2m2_ros.geometry.image_mask import ImageMask
from s2m2_ros.pipeline.temporal import TemporalOptions

Rectify = Literal['auto', 'true', 'false']


@dataclass(frozen=True)
class PipelineOptions:
    """Everything that may change from pair to pair.

    Attributes:
        outputs: thresholds, filters and layouts.
        rectify: 'true' rectifies the images by their calibrations, 'false' takes them as they
            are, 'auto' rectifies raw ones.
        correction: of this rig's depth, as `s2m2 calibrate-check` finds it.
        allow_negative: the cameras may converge, so points beyond infinity are no fault.
        max_vertical_misalignment: in pixels; above it the examination reports misaligned views.
        mask: which pixels of the left rectified image count in every output.
        temporal: whether and how disparity is averaged over pairs.

    """

    outputs: OutputOptions = field(default_factory=OutputOptions)
    rectify: Rectify = 'auto'
    correction: RigCorrection = field(default_factory=RigCorrection)
    allow_negative: bool = False
    max_vertical_misalignment: float = 1.5
    mask: ImageMask = field(default_factory=ImageMask)
    temporal: TemporalOptions = field(default_factory=TemporalOptions)


def output_options(
    *,
    confidence_threshold: float = 0.5,
    occlusion_threshold: float = 0.5,
    min_depth: float = 0.0,
    max_depth: float = 0.0,
    depth_filter: bool = False,
    points_filter: bool = True,
    points_flying_pixel_filter: bool = True,
    points_organized: bool = True,
    points_layout: str = 'packed',
    points_color: Color = 'rgb',
    points_confidence: bool = False,
    points_uncertainty: bool = False,
    points_decimation: int = 1,
    points_border: float = 0.0,
    clearing_decimation: int = 8,
    clearing_range: float = 10.0,
    points_voxel_size: float = 0.0,
    points_voxel_growth: float = 0.0,
) -> OutputOptions:
    """Return the options that these parameters of the node, or of a command, mean.

    The parameters are described in the table of the node's parameters; `max_depth` 0 means no
    limit. Node and command line share this function, so that equal parameters give equal clouds.
    """
    in_range = PixelFilter(min_depth=min_depth, max_depth=max_depth or math.inf)
    trusted = replace(
        in_range, min_confidence=confidence_threshold, min_visibility=occlusion_threshold
    )
    return OutputOptions(
        min_confidence=confidence_threshold,
        min_visibility=occlusion_threshold,
        depth_filter=trusted if depth_filter else in_range,
        clearing=ClearingOptions(
            decimation=clearing_decimation,
            max_range=clearing_range,
            min_confidence=confidence_threshold,
            min_visibility=occlusion_threshold,
        ),
        cloud=CloudOptions(
            organized=points_organized,
            padded=points_layout == 'padded',
            color=points_color,
            confidence=points_confidence,
            uncertainty=points_uncertainty,
            decimation=points_decimation,
            border=points_border,
            voxels=(
                VoxelGrid(points_voxel_size, points_voxel_growth) if points_voxel_size else None
            ),
            filter=replace(
                trusted if points_filter else in_range,
                flying_pixels=FlyingPixelFilter() if points_flying_pixel_filter else None,
            ),
        ),
    )
