"""What enters the pipeline and what leaves it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from s2m2_ros.geometry import CameraModel, HostOutputs, StereoCamera
from s2m2_ros.geometry.content_check import ContentCheck
from s2m2_ros.geometry.pair_findings import Finding
from s2m2_ros.pipeline.temporal import Moment


@dataclass(frozen=True, eq=False)
class PairInput:
    """Two images as they came, and the calibration that belongs to them.

    Attributes:
        left, right: (H, W) gray or (H, W, 3) RGB, uint8 or float32 in 0..255.
        calibration: of the left and the right camera; None: only maps in pixels can be computed.
        left_name, right_name: topics or files, for messages to people.
        notes: what is worth knowing of the images, whole sentences.
        warnings: what is suspicious of them; both come back with the outputs.
        color: the image of the options' target camera, as left and right; it colors the cloud.
        moment: of the left image; only the temporal filter needs it.

    """

    left: np.ndarray
    right: np.ndarray
    calibration: tuple[CameraModel, CameraModel] | None = None
    left_name: str = 'left image'
    right_name: str = 'right image'
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    color: np.ndarray | None = None
    moment: Moment = field(default_factory=Moment)


@dataclass(frozen=True)
class StageTimes:
    """How long the stages took, in milliseconds; NaN for those that did not run."""

    upload_ms: float = math.nan
    inference_ms: float = math.nan
    geometry_ms: float = math.nan
    download_ms: float = math.nan


@dataclass(frozen=True, eq=False)
class PairOutputs:
    """Everything that leaves the pipeline for one pair.

    Attributes:
        host: the outputs that were asked for, as host arrays.
        left, right: the images that were matched, alike in size and type; tensors where they
            were rectified on a GPU.
        camera: of these images; None without calibration.
        resolution: of the disparity in pixels of the images: finer differences mean nothing.
        working_size: height and width that were matched.
        rectified: whether the images were rectified here.
        content: whether the images hold anything to match.
        findings: what is wrong with the content.
        notes: what is worth knowing of images or calibration, whole sentences.
        warnings: what is suspicious of them.
        times: how long each stage took.
        mean_confidence: over a coarse grid; NaN if nothing was matched.

    """

    host: HostOutputs
    left: np.ndarray | torch.Tensor
    right: np.ndarray | torch.Tensor
    camera: StereoCamera | None
    resolution: float
    working_size: tuple[int, int]
    rectified: bool = False
    content: ContentCheck = field(default_factory=ContentCheck)
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    times: StageTimes = field(default_factory=StageTimes)
    mean_confidence: float = math.nan

    @property
    def left_image(self) -> np.ndarray:
        """The left image on the host, uint8 (H, W) or (H, W, 3) RGB."""
        return host_image(self.left)


def host_image(image: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return an image on the host as uint8; its values are uint8 or float in 0..255."""
    array = image.cpu().numpy() if isinstance(image, torch.Tensor) else image
    return array if array.dtype == np.uint8 else array.round().clip(0, 255).astype(np.uint8)
