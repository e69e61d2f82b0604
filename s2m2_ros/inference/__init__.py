"""Images in; disparity, visibility and confidence out, on any device."""

from s2m2_ros.inference.backend import Backend, BackendOptions, Maps
from s2m2_ros.inference.errors import (
    BackendUnavailableError,
    ClosedError,
    DeviceMemoryError,
    ImageError,
    InferenceError,
)
from s2m2_ros.inference.matcher import StereoMatcher
from s2m2_ros.inference.result import MatchResult
from s2m2_ros.inference.timing import StageTimings

__all__ = [
    'Backend',
    'BackendOptions',
    'BackendUnavailableError',
    'ClosedError',
    'DeviceMemoryError',
    'ImageError',
    'InferenceError',
    'Maps',
    'MatchResult',
    'StageTimings',
    'StereoMatcher',
]
