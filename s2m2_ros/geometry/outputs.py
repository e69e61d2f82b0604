"""From one estimate to everything that is published of it: one pass, one copy to the host."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch

from s2m2_ros.geometry.cloud import CloudLayout, CloudOptions
from s2m2_ros.geometry.filters import Estimate, PixelFilter
from s2m2_ros.geometry.stereo_camera import StereoCamera


class Output(Enum):
    """What can be asked of :func:`compute_outputs`; the values say what each array holds."""

    DISPARITY = 'adjusted disparity in pixels, float32 (H, W), UNKNOWN_DISPARITY where unknown'
    DEPTH = 'metres along the optical axis, float32 (H, W), NaN where unknown'
    CONFIDENCE = 'probability that the error is under 4 px, float32 (H, W)'
    VISIBILITY = '1 seen by both cameras, 0 occluded, float32 (H, W)'
    CONFIDENCE_MASK = 'uint8 (H, W), 255 where the disparity is trusted'
    OCCLUSION_MASK = 'uint8 (H, W), 255 where occluded'
    POINTS = 'records of CloudLayout, float32 (H, W, n) or (N, n)'


MIN_DISPARITY = 0.0
UNKNOWN_DISPARITY = MIN_DISPARITY - 1.0


@dataclass(frozen=True)
class OutputOptions:
    """Thresholds and layouts; every one may change from pair to pair.

    ``min_confidence`` is where the confidence mask begins (255 = trusted), ``min_visibility``
    where the occlusion mask ends; ``depth_filter`` applies to the depth image only.
    """

    min_confidence: float = 0.5
    min_visibility: float = 0.5
    depth_filter: PixelFilter = PixelFilter()
    cloud: CloudOptions = CloudOptions()


@dataclass(frozen=True)
class HostOutputs:
    """What was asked for, as host arrays (see :class:`Output`), and what explains them.

    ``max_disparity`` is finite and greater than every known disparity; 0 without a DISPARITY.
    ``cloud_frame_id`` is empty for the left optical frame.
    """

    camera: StereoCamera
    arrays: Mapping[Output, np.ndarray]
    max_disparity: float
    cloud_layout: CloudLayout | None
    cloud_frame_id: str


def compute_outputs(
    camera: StereoCamera,
    estimate: Estimate,
    wanted: Collection[Output],
    *,
    image: np.ndarray | torch.Tensor | None = None,
    options: OutputOptions | None = None,
) -> HostOutputs:
    """Compute what is wanted on the estimate's device and bring it to the host in one copy.

    ``estimate``: (H, W) tensors, as ``StereoMatcher.match`` returns them. ``image``: the left
    image, (H, W) or (H, W, 3) RGB, uint8 or float in 0..255, needed for a coloured cloud. Raises
    :class:`CalibrationError` if the size is not the camera's, ValueError if an input is missing.
    """
    raise NotImplementedError
