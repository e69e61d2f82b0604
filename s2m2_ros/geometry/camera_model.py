"""One rectified camera as its calibration describes it (ROS REP 104), without ROS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from s2m2_ros.errors import S2M2Error

# Entries of a rectified P that must vanish may carry this fraction of the focal length in noise.
RELATIVE_NOISE = 1e-6


class CalibrationError(S2M2Error):
    """A calibration that cannot be used; names the topic or file, the value and a likely cause."""


@dataclass(frozen=True)
class RegionOfInterest:
    """A window of the full image, in pixels of the full resolution; all zeros means all of it."""

    x_offset: int = 0
    y_offset: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class CameraModel:
    """What a ``camera_info`` (or a calibration file) says of one rectified camera.

    ``P`` is the 3x4 projection matrix, row by row (12 numbers), in pixels of the full resolution
    ``width`` x ``height``; ``P[3] = -fx * baseline`` (pixel meters) for the right camera of a
    pair. ``roi`` is cut out first, then the image is binned; a binning of 0 means 1, as in ROS.
    ``source`` names the topic or file in error messages. Nothing is checked before
    :meth:`image_projection` or :meth:`StereoCamera.from_projection` is called.

    ``K`` (9 numbers), ``D`` (any number), ``R`` (9) and ``distortion_model`` describe the raw
    camera as in ``camera_info``; they are empty where nothing is known of it, and only a
    rectification needs them.
    """

    P: Sequence[float]
    width: int
    height: int
    binning_x: int = 1
    binning_y: int = 1
    roi: RegionOfInterest = RegionOfInterest()
    source: str = 'camera_info'
    K: tuple[float, ...] = ()
    D: tuple[float, ...] = ()
    R: tuple[float, ...] = ()
    distortion_model: str = ''

    def image_projection(self) -> ImageProjection:
        """Return the projection into the image that is really sent, after ROI and binning.

        Raises :class:`CalibrationError` if the calibration is not one of a rectified camera.
        """
        _check_size(self)
        _check_projection(self)
        bin_x, bin_y = max(self.binning_x, 1), max(self.binning_y, 1)
        x_offset, y_offset, width, height = _window(self)
        P = self.P
        return ImageProjection(
            width=width // bin_x,
            height=height // bin_y,
            fx=P[0] / bin_x,
            fy=P[5] / bin_y,
            cx=(P[2] - x_offset) / bin_x,
            cy=(P[6] - y_offset) / bin_y,
            tx=P[3] / bin_x,
        )


@dataclass(frozen=True)
class ImageProjection:
    """A camera matrix in pixels of the image as sent: ``tx`` is ``P[3]``, in pixel meters."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    tx: float


def _check_size(model: CameraModel) -> None:
    if model.width < 1 or model.height < 1:
        raise CalibrationError(
            f'{model.source}: the image size is {model.width}x{model.height}; the camera is '
            'probably not calibrated: calibrate it, or give its driver the calibration file'
        )


def _check_projection(model: CameraModel) -> None:
    P = model.P
    if len(P) != 12 or not any(P):
        raise CalibrationError(
            f'{model.source}: P is empty; the camera is probably not calibrated as one of a '
            'stereo pair, so its images are not rectified: run a stereo calibration and rectify'
        )
    if not all(math.isfinite(value) for value in P):
        raise CalibrationError(f'{model.source}: P holds NaN or infinity: {matrix_text(P)}')
    if P[0] <= 0 or P[5] <= 0:
        raise CalibrationError(
            f'{model.source}: the focal lengths P[0] = {P[0]:g} and P[5] = {P[5]:g} must be '
            'positive; the camera is probably not calibrated'
        )
    noise = RELATIVE_NOISE * P[0]
    # P[7] and P[11] only have a meaning with the other camera's: StereoCamera checks them.
    must_vanish = (P[1], P[4], P[8], P[9])
    if any(abs(value) > noise for value in must_vanish) or abs(P[10] - 1) > RELATIVE_NOISE:
        raise CalibrationError(
            f'{model.source}: P = {matrix_text(P)} is no rectified projection '
            '[fx 0 cx Tx; 0 fy cy 0; 0 0 1 0]; is it written row by row, for rectified images?'
        )


def _window(model: CameraModel) -> tuple[int, int, int, int]:
    """Return x_offset, y_offset, width and height of the ROI, or of the whole image."""
    roi = model.roi
    width = roi.width or model.width - roi.x_offset
    height = roi.height or model.height - roi.y_offset
    inside = (
        roi.x_offset >= 0
        and roi.y_offset >= 0
        and roi.x_offset + width <= model.width
        and roi.y_offset + height <= model.height
    )
    if not inside or width < max(model.binning_x, 1) or height < max(model.binning_y, 1):
        raise CalibrationError(
            f'{model.source}: the region of interest {roi.width}x{roi.height} at ({roi.x_offset}, '
            f'{roi.y_offset}), binned by {model.binning_x}x{model.binning_y}, does not lie inside '
            f'the full image of {model.width}x{model.height}; width and height of a camera_info '
            'are those of the full resolution'
        )
    return roi.x_offset, roi.y_offset, width, height


def matrix_text(P: Sequence[float]) -> str:
    """Return a 3x4 matrix as an error shows it."""
    rows = (' '.join(f'{value:g}' for value in P[i : i + 4]) for i in (0, 4, 8))
    return f'[{"; ".join(rows)}]'
