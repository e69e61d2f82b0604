"""What the pipeline keeps of one camera from pair to pair."""

from __future__ import annotations

from s2m2_ros.geometry import CameraModel, StereoCamera, Workspace


class PipelineState:
    """Memory and caches of one camera; for one thread.

    Reset it when the camera is activated, its timestamps jump or its calibration changes (the
    last is noticed here).
    """

    def __init__(self, workspace: Workspace | None = None) -> None:
        """Keep the records of clouds in `workspace`, which outputs may lie in."""
        self.workspace = workspace or Workspace()
        self._calibration: tuple[CameraModel, CameraModel] | None = None
        self._camera: StereoCamera | None = None

    def reset(self) -> None:
        """Forget what earlier pairs told."""
        self._calibration = self._camera = None

    def camera(self, calibration: tuple[CameraModel, CameraModel]) -> StereoCamera:
        """Return the stereo camera of a calibration; CalibrationError if it is none."""
        if self._camera is None or calibration != self._calibration:
            self.reset()
            self._camera = StereoCamera.from_projection(*calibration)
            self._calibration = calibration
        return self._camera
