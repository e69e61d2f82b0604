"""Parameters of the outputs: which pixels are published, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from s2m2_ros.geometry.distance_check import DEPTH_SCALES, DISPARITY_OFFSETS
from s2m2_ros.geometry.voxels import LARGEST_GROWTH, LARGEST_SIZE
from s2m2_ros.node.parameter_values import parameter
from s2m2_ros.pipeline.temporal import Mode

# The default of mask_polygon: ROS 2 Humble reads no empty arrays from YAML.
NO_POLYGON = (0.0, 0.0)


@dataclass(frozen=True)
class OutputParameters:
    """Which pixels are published, and how."""

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
