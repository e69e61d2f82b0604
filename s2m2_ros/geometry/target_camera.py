"""A camera beside the stereo pair, into whose image depth is registered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from s2m2_ros.geometry.camera_model import CalibrationError, CameraModel, ImageProjection
from s2m2_ros.geometry.cloud import RigidTransform
from s2m2_ros.geometry.rectification import (
    FISHEYE_MODELS,
    IDENTITY,
    RawCalibration,
    check_raw,
    distortion_coefficients,
    raw_calibration,
)

# OpenCV's coefficients k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4; then two of a tilted sensor.
PINHOLE_TERMS = 12
# Of an image that depth is registered to, which only a camera_info describes: bounds memory.
MOST_PIXELS = 2**25
# The radii, in focal lengths, at which a lens is examined: up to 87 degrees off the axis.
EXAMINED_RADII = np.linspace(0.0, 20.0, 20001)

IDENTITY_ROTATION = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

Matrix = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class TargetCamera:
    """Where the points of the left camera appear in another camera's image, as sent.

    Attributes:
        width, height: of the image (ROI and binning applied), in pixels.
        fx, fy, cx, cy: of the image, in pixels; the first pixel's center is (0, 0).
        rotation, translation: from the left optical frame into that of the image, meters.
        frame_id: of the camera.
        tx, ty: ``P[3]`` and ``P[7]`` of a camera in whose frame another one stands, pixel meters.
        distortion: 12 coefficients of the pinhole model or 4 of the fisheye one; empty: none.
        fisheye: whether the distortion is that of OpenCV's fisheye model (equidistant).
        is_raw: whether the image is that of K and D, not the rectified one of P.

    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    rotation: Matrix
    translation: tuple[float, float, float]
    frame_id: str = ''
    tx: float = 0.0
    ty: float = 0.0
    distortion: tuple[float, ...] = ()
    fisheye: bool = False
    is_raw: bool = False

    @classmethod
    def of(cls, model: CameraModel, transform: RigidTransform, *, raw: bool) -> TargetCamera:
        """Return the camera of a raw image (K, D, R) or of a rectified one (P).

        ``transform``: from the left optical frame into the camera's. The frame of a calibration
        is that of the rectified camera, as in ROS; they differ by R, which is identity for single
        cameras. ``P[3]`` counts only if the transform leaves the camera where the left one is:
        otherwise the transform says where it stands. Raises CalibrationError.
        """
        return cls._raw(model, transform) if raw else cls._rectified(model, transform)

    @classmethod
    def _rectified(cls, model: CameraModel, transform: RigidTransform) -> TargetCamera:
        projection = _image(model)
        shared = not any(transform.translation)
        return cls(
            width=projection.width,
            height=projection.height,
            fx=projection.fx,
            fy=projection.fy,
            cx=projection.cx,
            cy=projection.cy,
            rotation=transform.rotation,
            translation=transform.translation,
            frame_id=transform.frame_id,
            tx=projection.tx if shared else 0.0,
            ty=model.P[7] / max(model.binning_y, 1) if shared else 0.0,
        )

    @classmethod
    def _raw(cls, model: CameraModel, transform: RigidTransform) -> TargetCamera:
        raw = raw_calibration(model)
        check_raw(raw)
        K = raw.K
        # K in the place of P: the checks of size, ROI and binning are the same.
        image = _image(replace(model, P=(*K[:3], 0.0, *K[3:6], 0.0, *K[6:], 0.0)))
        into_raw = np.array(raw.R if any(raw.R) else IDENTITY).reshape(3, 3).T
        rotation = into_raw @ np.array(transform.rotation)
        x, y, z = into_raw @ np.array(transform.translation)
        return cls(
            width=image.width,
            height=image.height,
            fx=image.fx,
            fy=image.fy,
            cx=image.cx,
            cy=image.cy,
            rotation=tuple((float(r[0]), float(r[1]), float(r[2])) for r in rotation),
            translation=(float(x), float(y), float(z)),
            frame_id=transform.frame_id,
            distortion=_terms(raw),
            fisheye=raw.distortion_model.lower() in FISHEYE_MODELS,
            is_raw=True,
        )

    def require_size(self, width: int, height: int, source: str) -> None:
        """Raise CalibrationError unless images of this size belong to this camera."""
        if (width, height) != (self.width, self.height):
            raise CalibrationError(
                f'{source}: the calibration is for images of {self.width}x{self.height} (after '
                f'ROI and binning), but they are {width}x{height}; do image and camera_info '
                'belong together, and were the images resized without their camera_info?'
            )

    @cached_property
    def largest_radius(self) -> float:
        """X/Z, Y/Z of a point beyond this distance from the axis do not reach the image.

        A polynomial that fits inside of the image turns back outside of it, and would show points
        that the lens does not.
        """
        if not self.distortion:
            return float('inf')
        distorted = _distorted_radius(EXAMINED_RADII, self.distortion, self.fisheye)
        turns = np.flatnonzero(~(np.diff(distorted) > 0))
        return float(EXAMINED_RADII[turns[0]] if len(turns) else EXAMINED_RADII[-1])

    @cached_property
    def magnification(self) -> float:
        """The most by which the lens enlarges anywhere in the image; at least 1."""
        if not self.distortion:
            return 1.0
        radii = EXAMINED_RADII[self.largest_radius >= EXAMINED_RADII]
        distorted = _distorted_radius(radii, self.distortion, self.fisheye)
        corners = [
            np.hypot((x - self.cx) / self.fx, (y - self.cy) / self.fy)
            for x in (0, self.width)
            for y in (0, self.height)
        ]
        shown = distorted[:-1] <= max(corners)
        enlarged = (np.diff(distorted) / np.diff(radii))[shown]
        return float(max(1.0, enlarged.max(initial=1.0)))

    def distort(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where X/Z and Y/Z appear, in focal lengths; NaN beyond the lens."""
        if not self.distortion:
            return x, y
        r2 = x * x + y * y
        r2 = torch.where(r2 <= self.largest_radius**2, r2, torch.nan)
        return (
            _fisheye(x, y, r2, self.distortion)
            if self.fisheye
            else _pinhole(x, y, r2, self.distortion)
        )


def _image(model: CameraModel) -> ImageProjection:
    """Return the projection by P; CalibrationError for an image that is too large."""
    projection = model.image_projection()
    if projection.width * projection.height > MOST_PIXELS:
        raise CalibrationError(
            f'{model.source}: the image size is {projection.width}x{projection.height}; depth is '
            f'registered to images of {MOST_PIXELS} pixels at most'
        )
    return projection


def _terms(raw: RawCalibration) -> tuple[float, ...]:
    """Return the coefficients in the number that `TargetCamera` has; empty if all are zero."""
    if not any(raw.D):
        return ()
    values = [float(value) for value in distortion_coefficients(raw)]
    if raw.distortion_model.lower() in FISHEYE_MODELS:
        return tuple(values)
    if any(values[PINHOLE_TERMS:]):
        raise CalibrationError(
            f'{raw.source}: D describes a tilted sensor, into whose raw image depth cannot be '
            'registered here: use the rectified image of image_proc, image_rect'
        )
    values = values[:PINHOLE_TERMS]
    return tuple(values + [0.0] * (PINHOLE_TERMS - len(values)))


def _distorted_radius(radii: np.ndarray, terms: tuple[float, ...], fisheye: bool) -> np.ndarray:
    if fisheye:
        angle = np.arctan(radii)
        square = angle * angle
        k1, k2, k3, k4 = terms
        return np.asarray(
            angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
        )
    k1, k2, _, _, k3, k4, k5, k6 = terms[:8]
    r2 = radii * radii
    below = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    above = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    # Behind a pole of the fraction nothing is meant any more.
    below = np.where(np.minimum.accumulate(below) > 0, below, np.nan)
    return np.asarray(radii * above / below)


def _pinhole(
    x: torch.Tensor, y: torch.Tensor, r2: torch.Tensor, terms: tuple[float, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = terms
    radial = (((k3 * r2 + k2) * r2 + k1) * r2 + 1) / (((k6 * r2 + k5) * r2 + k4) * r2 + 1)
    xy = x * y * 2
    u = x * radial + xy * p1 + (x * x * 2 + r2) * p2 + (r2 * s2 + s1) * r2
    v = y * radial + (y * y * 2 + r2) * p1 + xy * p2 + (r2 * s4 + s3) * r2
    return u, v


def _fisheye(
    x: torch.Tensor, y: torch.Tensor, r2: torch.Tensor, terms: tuple[float, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    k1, k2, k3, k4 = terms
    r = r2.sqrt()
    angle = r.atan()
    square = angle * angle
    distorted = ((((k4 * square + k3) * square + k2) * square + k1) * square + 1) * angle
    scale = torch.where(r <= 1e-6, 1.0, distorted / r)  # which keeps NaN
    return x * scale, y * scale
