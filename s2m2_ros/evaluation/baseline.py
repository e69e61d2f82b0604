"""OpenCV's semi-global block matcher, the reference for every score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from s2m2_ros.inference.matcher import StereoMatcher
from s2m2_ros.inference.neighborhoods import farther_neighbors


def open_baseline() -> StereoMatcher:
    """Return the `sgbm` backend as users run it; its holes are NaN. Needs OpenCV alone.

    Raises BackendError where OpenCV is missing.
    """
    return StereoMatcher.open(backend='sgbm', device='cpu')


def fill_holes(disparity: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the disparity (H, W) with holes filled from the farther neighbor of their row.

    That is the usual guess for occlusions (Middlebury's own scripts do it). A row without any
    estimate becomes 0.
    """
    filled = farther_neighbors(torch.from_numpy(disparity)).nan_to_num(0.0)
    return np.asarray(filled.numpy())
