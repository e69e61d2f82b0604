"""Rectify the images of raw cameras: maps from K, D, R and P, applied on the images' device.

The maps are OpenCV's; `cv2.remap` applies them to images on a CPU and torch on other devices,
which differs by rounding alone. (OpenCV before 5 rounds coordinates to 1/32 of a pixel.)
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from s2m2_ros.geometry.camera_model import (
    CalibrationError,
    CameraModel,
    RegionOfInterest,
)

FloatMap = npt.NDArray[np.float32]

# Names of distortion models, as drivers write them, and how many coefficients each may have.
PINHOLE_MODELS = ('plumb_bob', 'rational_polynomial', 'brown_conrady', 'radtan')
PINHOLE_COEFFICIENTS = (4, 5, 8, 12, 14)
FISHEYE_MODELS = ('equidistant', 'fisheye', 'kannala_brandt', 'kannala_brandt4')
# Pinhole models may have as many, so that this number alone does not tell them apart.
FISHEYE_COEFFICIENTS = 4
# Models that say that there is no distortion; also taken with coefficients that are all zero.
UNDISTORTED_MODELS = ('', 'none')
# Entries of a rotation matrix, and its determinant, may be off by this much by rounding.
ROTATION_NOISE = 1e-3
# Below this distortion and rotation an image is rectified, but for rounding of the calibration.
NEGLIGIBLE_DISTORTION = 1e-6
NEGLIGIBLE_ROTATION = 1e-6
# Maps of two cameras, before and after a new calibration.
CACHED_MAPS = 4
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class RawCalibration:
    """What a ``camera_info`` says of one raw camera (ROS REP 104).

    ``K`` (9 numbers) and ``P`` (12 numbers) are row by row and in pixels of the full resolution
    ``width`` x ``height``; ``D`` holds the coefficients of ``distortion_model``; ``R`` (9
    numbers) turns the raw camera's frame into the rectified one, empty or zeros mean identity.
    ROI and binning are as in :class:`CameraModel`. ``source`` names the topic or file in errors.
    """

    K: Sequence[float]
    D: Sequence[float]
    R: Sequence[float]
    P: Sequence[float]
    width: int
    height: int
    distortion_model: str = 'plumb_bob'
    binning_x: int = 1
    binning_y: int = 1
    roi: RegionOfInterest = field(default_factory=RegionOfInterest)
    source: str = 'camera_info'

    def __post_init__(self) -> None:
        """Take the numbers over as tuples, so that a calibration can be a key."""
        for name in ('K', 'D', 'R', 'P'):
            values = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, values)

    def rectified(self) -> CameraModel:
        """Return the camera that the rectified image belongs to."""
        return CameraModel(
            P=self.P,
            width=self.width,
            height=self.height,
            binning_x=self.binning_x,
            binning_y=self.binning_y,
            roi=self.roi,
            source=self.source,
        )


def raw_calibration(model: CameraModel) -> RawCalibration:
    """Return the raw part of a camera's calibration."""
    return RawCalibration(
        K=model.K,
        D=model.D,
        R=model.R,
        P=model.P,
        width=model.width,
        height=model.height,
        distortion_model=model.distortion_model,
        binning_x=model.binning_x,
        binning_y=model.binning_y,
        roi=model.roi,
        source=model.source,
    )


def needs_rectification(model: RawCalibration) -> bool:
    """Return whether the calibration describes a camera whose images are not rectified.

    It does if lens distortion or rotation are not negligible. An image that was rectified by
    ``image_proc`` comes with the camera_info of the raw one, which this cannot detect: ask it only
    where the images may be raw.
    """
    rotation = np.asarray(model.R or IDENTITY)
    return bool(
        any(abs(value) > NEGLIGIBLE_DISTORTION for value in model.D)
        or (rotation.any() and np.abs(rotation - IDENTITY).max() > NEGLIGIBLE_ROTATION)
    )


def rectification_maps(model: RawCalibration) -> tuple[FloatMap, FloatMap]:
    """Return the column and row (H, W) in the raw image, as sent, of each rectified pixel.

    ROI and binning apply to both images alike. Raises :class:`CalibrationError`, which names the
    source, the value and a likely cause.
    """
    projection = model.rectified().image_projection()
    check_raw(model)
    bin_x, bin_y = max(model.binning_x, 1), max(model.binning_y, 1)
    camera = np.array(model.K, np.float64).reshape(3, 3)
    camera[0, 2] -= model.roi.x_offset
    camera[1, 2] -= model.roi.y_offset
    camera[0] /= bin_x
    camera[1] /= bin_y
    rectified = np.array(
        [[projection.fx, 0, projection.cx], [0, projection.fy, projection.cy], [0, 0, 1]]
    )
    rotation = np.array(model.R if any(model.R) else IDENTITY).reshape(3, 3)
    size = (projection.width, projection.height)
    distortion = distortion_coefficients(model)
    if _is_fisheye(model):
        maps = cv2.fisheye.initUndistortRectifyMap(
            camera, distortion, rotation, rectified, size, cv2.CV_32FC1
        )
    else:
        maps = cv2.initUndistortRectifyMap(
            camera, distortion, rotation, rectified, size, cv2.CV_32FC1
        )
    columns, rows = (np.asarray(m, np.float32) for m in maps)
    return columns, rows


class Rectifier:
    """Rectifies the images of one camera on one device.

    Attributes:
        camera: the camera that the rectified images belong to.
        valid: (H, W) bool on the device: pixels that the raw image shows; others are black.

    """

    def __init__(self, model: RawCalibration, device: torch.device | str = 'cpu') -> None:
        """Compute the maps; raises :class:`CalibrationError`."""
        self.camera = model.rectified()
        self.device = torch.device(device)
        columns, rows = rectification_maps(model)
        self._height, self._width = columns.shape
        self._maps = columns, rows
        inside = (
            (columns >= 0)
            & (columns <= self._width - 1)
            & (rows >= 0)
            & (rows <= self._height - 1)
        )
        self.valid = torch.from_numpy(inside).to(self.device)
        self._grid: torch.Tensor | None = None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the rectified images (B, C, H, W), uint8 or float32 as given, on the device."""
        height, width = images.shape[-2:]
        if (height, width) != (self._height, self._width):
            raise CalibrationError(
                f'{self.camera.source}: the calibration is for raw images of {self._width}x'
                f'{self._height} (after ROI and binning), but they are {width}x{height}; were the '
                'images resized without their camera_info?'
            )
        if images.device.type == 'cpu':
            return remap_on_cpu(images, *self._maps)
        if self._grid is None:
            self._grid = sampling_grid(*self._maps, device=images.device)
        return remap_on_device(images, self._grid)


class RectifierCache:
    """Rectifiers of the calibrations that were used last, so that maps are computed once."""

    def __init__(self) -> None:
        self._rectifiers: OrderedDict[tuple[RawCalibration, str], Rectifier] = OrderedDict()

    def get(self, model: RawCalibration, device: torch.device | str = 'cpu') -> Rectifier:
        """Return the rectifier of a calibration; raises :class:`CalibrationError`."""
        key = model, str(device)
        if key not in self._rectifiers:
            self._rectifiers[key] = Rectifier(model, device)
            while len(self._rectifiers) > CACHED_MAPS:
                self._rectifiers.popitem(last=False)
        self._rectifiers.move_to_end(key)
        return self._rectifiers[key]


def remap_on_cpu(images: torch.Tensor, columns: FloatMap, rows: FloatMap) -> torch.Tensor:
    """Return images (B, C, H, W) on a CPU, sampled bilinearly; outside is 0."""
    planes = images.reshape(-1, *images.shape[-2:])
    remapped = [
        cv2.remap(np.ascontiguousarray(plane), columns, rows, cv2.INTER_LINEAR)
        for plane in planes.numpy()
    ]
    return torch.from_numpy(np.stack(remapped)).reshape(images.shape)


def sampling_grid(
    columns: FloatMap, rows: FloatMap, *, device: torch.device | str
) -> torch.Tensor:
    """Return (1, H, W, 2) coordinates as `grid_sample` takes them: -1 to 1 over the image."""
    height, width = columns.shape
    coordinates = np.stack((columns, rows), axis=-1).astype(np.float64)
    # Far outside is outside, and must stay finite as float32.
    limited = np.clip(coordinates, -2.0, (width + 1.0, height + 1.0))
    grid = limited * 2 / (max(width - 1, 1), max(height - 1, 1)) - 1
    return torch.from_numpy(grid.astype(np.float32))[None].to(device)


def remap_on_device(images: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Return images (B, C, H, W), sampled bilinearly by torch; outside is 0."""
    sampled = functional.grid_sample(
        images.float(),
        grid.expand(images.shape[0], -1, -1, -1),
        mode='bilinear',
        padding_mode='zeros',
        align_corners=True,
    )
    if images.dtype == torch.uint8:
        return sampled.round_().clamp_(0, 255).to(torch.uint8)
    return sampled.to(images.dtype)


def check_raw(model: RawCalibration) -> None:
    """Raise CalibrationError unless K, D and R are those of a calibrated camera."""
    if len(model.K) != 9 or not any(model.K):
        raise CalibrationError(
            f'{model.source}: K is empty; the camera is probably not calibrated, so its images '
            'cannot be rectified: run a stereo calibration'
        )
    for name, values in (('K', model.K), ('D', model.D), ('R', model.R)):
        if not all(math.isfinite(value) for value in values):
            raise CalibrationError(f'{model.source}: {name} holds NaN or infinity')
    if model.K[0] <= 0 or model.K[4] <= 0:
        raise CalibrationError(
            f'{model.source}: the focal lengths K[0] = {model.K[0]:g} and K[4] = {model.K[4]:g} '
            'must be positive; the camera is probably not calibrated'
        )
    if len(model.R) not in (0, 9):
        raise CalibrationError(f'{model.source}: R has {len(model.R)} numbers, not 9')
    rotation = np.array(model.R if any(model.R) else IDENTITY).reshape(3, 3)
    difference = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if difference > ROTATION_NOISE or np.linalg.det(rotation) < 0:
        raise CalibrationError(
            f'{model.source}: R is no rotation matrix; it must turn the raw camera into the '
            'rectified one, row by row'
        )


def _is_fisheye(model: RawCalibration) -> bool:
    return model.distortion_model.lower() in FISHEYE_MODELS and any(model.D)


def distortion_doubt(model: RawCalibration) -> str:
    """Return what is uncertain about a distortion whose model has no name; empty if nothing."""
    unnamed = model.distortion_model.lower() in UNDISTORTED_MODELS
    if not unnamed or len(model.D) != FISHEYE_COEFFICIENTS or not any(model.D):
        return ''
    return (
        f'{model.source}: D has {FISHEYE_COEFFICIENTS} numbers and no distortion model is '
        'named: they are taken for k1, k2, p1 and p2 of plumb_bob. If cv2.fisheye made them, '
        'depth is wrong: add a line `distortion_model: equidistant`'
    )


def distortion_coefficients(model: RawCalibration) -> npt.NDArray[np.float64]:
    """Return the coefficients as OpenCV takes them; CalibrationError for unknown models."""
    name, values = model.distortion_model.lower(), np.array(model.D, np.float64)
    if not values.any():
        return np.zeros(FISHEYE_COEFFICIENTS)
    if name in FISHEYE_MODELS:
        if len(values) < FISHEYE_COEFFICIENTS or values[FISHEYE_COEFFICIENTS:].any():
            raise _wrong_number(model, str(FISHEYE_COEFFICIENTS))
        return values[:FISHEYE_COEFFICIENTS]
    if name not in (*PINHOLE_MODELS, *UNDISTORTED_MODELS):
        known = ', '.join(('plumb_bob', 'rational_polynomial', 'equidistant'))
        raise CalibrationError(
            f"{model.source}: the distortion model '{model.distortion_model}' cannot be rectified "
            f'here; it must be one of {known}: rectify the images before, or calibrate with one '
            'of these models'
        )
    if len(values) not in PINHOLE_COEFFICIENTS:
        raise _wrong_number(model, ', '.join(map(str, PINHOLE_COEFFICIENTS)))
    return values


def _wrong_number(model: RawCalibration, expected: str) -> CalibrationError:
    return CalibrationError(
        f'{model.source}: D has {len(model.D)} numbers, but distortion model '
        f"'{model.distortion_model}' has {expected}"
    )
