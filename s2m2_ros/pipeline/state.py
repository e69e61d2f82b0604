"""What the pipeline keeps of one camera from pair to pair."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from s2m2_ros.geometry import CameraModel, StereoCamera, Workspace
from s2m2_ros.geometry.image_mask import ImageMask
from s2m2_ros.geometry.rectification import RectifierCache
from s2m2_ros.pipeline.temporal import Remembered


@dataclass(frozen=True, eq=False)
class KeptPixels:
    """Which pixels count, as float32 (H, W): on a CPU, booleans take 20 times as long.

    ``factor`` is 1 where they do and 0 elsewhere, ``unknown`` is 0 and NaN.
    """

    factor: torch.Tensor
    unknown: torch.Tensor


class PipelineState:
    """Memory and caches of one camera; for one thread.

    Reset it when the camera is activated or its timestamps jump; a new calibration is noticed
    here.

    Attributes:
        workspace: where the records of clouds lie.
        rectifiers: the maps of raw cameras.
        rectify: whether the images are raw and are rectified here; None: not decided yet.
        clearing_phase: of the rays through free space, another one for each pair.
        temporal: what the temporal filter remembers; None: nothing.

    """

    def __init__(self, workspace: Workspace | None = None) -> None:
        """Keep the records of clouds in `workspace`, which outputs may lie in."""
        self.workspace = workspace or Workspace()
        self.rectifiers = RectifierCache()
        self.rectify: bool | None = None
        self.clearing_phase = 0
        self.temporal: Remembered | None = None
        self._calibration: tuple[CameraModel, CameraModel] | None = None
        self._camera: StereoCamera | None = None
        self._kept: tuple[object, KeptPixels] | None = None

    def reset(self) -> None:
        """Forget what earlier pairs showed."""
        self._calibration = self._camera = None
        self.rectify = self.temporal = None

    def follow(self, calibration: tuple[CameraModel, CameraModel]) -> None:
        """Forget what was found with another calibration than this."""
        if calibration != self._calibration:
            self.reset()
            self._calibration = calibration

    def camera(self, calibration: tuple[CameraModel, CameraModel]) -> StereoCamera:
        """Return the stereo camera of a calibration; CalibrationError if it is none."""
        self.follow(calibration)
        if self._camera is None:
            self._camera = StereoCamera.from_projection(*calibration)
        return self._camera

    def kept(self, mask: ImageMask, width: int, height: int, device: torch.device) -> KeptPixels:
        """Return which pixels count; MaskError if the mask does not fit the size."""
        key = (mask, width, height, device)
        if self._kept is None or self._kept[0] != key:
            counts = torch.from_numpy(mask.kept(width, height)).to(device)
            self._kept = (key, KeptPixels(counts.float(), torch.where(counts, 0.0, torch.nan)))
        return self._kept[1]
