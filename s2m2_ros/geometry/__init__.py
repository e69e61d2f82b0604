"""What a disparity means in meters."""

from s2m2_ros.geometry.camera_model import CalibrationError, CameraModel, RegionOfInterest
from s2m2_ros.geometry.clearing import ClearingOptions
from s2m2_ros.geometry.cloud import CloudLayout, CloudOptions, RigidTransform, Workspace
from s2m2_ros.geometry.filters import DisparityMaps, FlyingPixelFilter, PixelFilter
from s2m2_ros.geometry.outputs import (
    MIN_DISPARITY,
    UNKNOWN_DISPARITY,
    HostOutputs,
    Output,
    OutputOptions,
    compute_outputs,
)
from s2m2_ros.geometry.stereo_camera import (
    NegativeBaselineError,
    PrincipalPoint,
    StereoCamera,
)
from s2m2_ros.geometry.target_camera import TargetCamera
from s2m2_ros.geometry.voxels import VoxelGrid

__all__ = [
    'MIN_DISPARITY',
    'UNKNOWN_DISPARITY',
    'CalibrationError',
    'CameraModel',
    'ClearingOptions',
    'CloudLayout',
    'CloudOptions',
    'DisparityMaps',
    'FlyingPixelFilter',
    'HostOutputs',
    'NegativeBaselineError',
    'Output',
    'OutputOptions',
    'PixelFilter',
    'PrincipalPoint',
    'RegionOfInterest',
    'RigidTransform',
    'StereoCamera',
    'TargetCamera',
    'VoxelGrid',
    'Workspace',
    'compute_outputs',
]
