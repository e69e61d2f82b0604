"""A real pair with ground truth that comes inside a Python package."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from s2m2_ros.evaluation.pairs import DatasetError, StereoPair


def motorcycle() -> StereoPair:
    """Return Middlebury's motorcycle (2014) at quarter size, 741x500, as scikit-image holds it.

    Raises:
        DatasetError: if scikit-image is not installed.
    """
    if importlib.util.find_spec('skimage') is None:
        raise DatasetError('the motorcycle pair needs scikit-image: pip install scikit-image')
    from skimage.data import stereo_motorcycle

    read: Any = stereo_motorcycle
    left, right, disparity = read()
    truth = np.where(np.isfinite(disparity), disparity, np.nan).astype(np.float32)
    return StereoPair('motorcycle', left, right, truth, None)
