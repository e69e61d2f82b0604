"""Images in; disparity, visibility and confidence out, on any device.

Names are imported when they are first used, so that `inference.registry` can be read without
torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s2m2_ros.errors import ImageError
    from s2m2_ros.inference.backend import Backend, BackendOptions, Maps
    from s2m2_ros.inference.errors import (
        BackendUnavailableError,
        ClosedError,
        DeviceMemoryError,
        InferenceError,
        ProcessError,
    )
    from s2m2_ros.inference.hardware.timing import StageTimings
    from s2m2_ros.inference.matcher import StereoMatcher
    from s2m2_ros.inference.result import MatchResult

_HOMES = {
    'Backend': 's2m2_ros.inference.backend',
    'BackendOptions': 's2m2_ros.inference.backend',
    'BackendUnavailableError': 's2m2_ros.inference.errors',
    'ClosedError': 's2m2_ros.inference.errors',
    'DeviceMemoryError': 's2m2_ros.inference.errors',
    'ImageError': 's2m2_ros.errors',
    'InferenceError': 's2m2_ros.inference.errors',
    'Maps': 's2m2_ros.inference.backend',
    'MatchResult': 's2m2_ros.inference.result',
    'ProcessError': 's2m2_ros.inference.errors',
    'StageTimings': 's2m2_ros.inference.hardware.timing',
    'StereoMatcher': 's2m2_ros.inference.matcher',
}

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
    'ProcessError',
    'StageTimings',
    'StereoMatcher',
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_HOMES[name]), name)
