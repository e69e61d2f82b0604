"""Compare depth with a tape measure: a flat target at known distances, and what corrects a rig.

A plane is exactly linear in disparity, so a plane is fitted to the disparity of a region, and
compared at the region's center with what the distance asks for. A wrong baseline or focal length
scales depth; a wrong difference of the principal points adds to the disparity. One distance
cannot separate them; with two, ``Z (d + offset) = f B scale`` is solved for both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import numpy.typing as npt

from s2m2_ros.errors import S2M2Error
from s2m2_ros.geometry.camera_model import RegionOfInterest
from s2m2_ros.geometry.stereo_camera import PrincipalPoint, StereoCamera

FloatArray = npt.NDArray[np.floating]

# Side of the default region over that of the image.
CENTRAL_FRACTION = 1 / 3
MIN_KNOWN_FRACTION = 0.3
# A target is flat if so many pixels lie within this of the plane, in pixels of disparity.
FLATNESS = 1.0
MIN_FLAT_FRACTION = 0.7
FIT_ROUNDS = 6
# What a disparity averaged over the region may be off by, in pixels: the matcher's bias.
DISPARITY_ERROR = 0.1
# Distances closer than this ratio cannot separate scale and offset.
MIN_DISTANCE_RATIO = 1.3
# A correction below this many standard deviations is within the measurement.
SIGNIFICANT_DEVIATIONS = 2.0
# Errors of depth, and of disparity in pixels, beyond which more is wrong than a bumped camera.
DRIFT = 0.1
OFFSET_DRIFT = 2.0
# Corrections that the node takes; what lies beyond is a mistake, not an error of a rig.
DEPTH_SCALES = (0.1, 10.0)
DISPARITY_OFFSETS = (-100.0, 100.0)
# Nobody measures farther by tape, and no rig is checked there, in meters.
FARTHEST = 100.0
# A target turned by more than this, in degrees, has no one distance.
MAX_TILT = 5.0


class DistanceCheckError(S2M2Error):
    """A target that cannot be measured; says why and what to do."""


class ErrorKind(Enum):
    """What an error in depth looks like."""

    NONE = 'none'
    UNKNOWN = 'unknown'
    SCALE = 'scale'
    OFFSET = 'offset'
    BOTH = 'both'


@dataclass(frozen=True)
class RigCorrection:
    """Corrections of one rig: ``Z = f B depth_scale / (d + disparity_offset)``.

    ``disparity_offset`` is in pixels of the images as sent.
    """

    depth_scale: float = 1.0
    disparity_offset: float = 0.0


@dataclass(frozen=True)
class TargetPlane:
    """The plane fitted to a region of adjusted disparity.

    Attributes:
        disparity: at the region's center in pixels.
        spread: robust standard deviation of the residuals in pixels.
        flat_fraction: fraction of the known pixels that lie on the plane.
        tilt: angle between the target's normal and the optical axis in degrees.

    """

    disparity: float
    spread: float
    flat_fraction: float
    tilt: float


@dataclass(frozen=True)
class TargetMeasurement:
    """One target: the tape's distance in meters along the optical axis, and its plane."""

    distance: float
    plane: TargetPlane


@dataclass(frozen=True)
class DistanceCheck:
    """What the targets show.

    Attributes:
        kind: what the error looks like.
        depth_errors: (stereo - tape) / tape for each target.
        depth_uncertainties: standard deviation of these, from tape and matcher.
        correction: what `kind` asks for; none for NONE and UNKNOWN.
        as_scale: the correction if all of it is scale.
        as_offset: the correction if all of it is offset.

    """

    kind: ErrorKind
    depth_errors: tuple[float, ...]
    depth_uncertainties: tuple[float, ...]
    correction: RigCorrection
    as_scale: RigCorrection
    as_offset: RigCorrection


def corrected(camera: StereoCamera, correction: RigCorrection) -> StereoCamera:
    """Return the camera whose depth has the correction applied.

    The scale goes into the baseline, the offset into the right principal point, so that every
    output (depth, cloud, disparity with its f and T) agrees.
    """
    right = PrincipalPoint(camera.right.x + correction.disparity_offset, camera.right.y)
    return replace(camera, baseline=camera.baseline * correction.depth_scale, right=right)


def central_region(width: int, height: int) -> RegionOfInterest:
    """Return the middle third of an image, each way."""
    inner_width = max(8, round(width * CENTRAL_FRACTION))
    inner_height = max(8, round(height * CENTRAL_FRACTION))
    return RegionOfInterest(
        (width - inner_width) // 2, (height - inner_height) // 2, inner_width, inner_height
    )


def fit_target(
    disparity: FloatArray,
    camera: StereoCamera,
    region: RegionOfInterest | None = None,
    *,
    suspect: str = '',
) -> TargetPlane:
    """Fit a plane to the adjusted disparity (H, W) in pixels, NaN = unknown or not trusted.

    `suspect` is what is known to be wrong with the pair: likelier than a target without texture.
    Raises DistanceCheckError if the region lies outside, is unknown, or shows no flat target.
    """
    height, width = disparity.shape
    region = region or central_region(width, height)
    if (
        min(region.x_offset, region.y_offset) < 0
        or min(region.width, region.height) < 8
        or region.x_offset + region.width > width
        or region.y_offset + region.height > height
    ):
        raise DistanceCheckError(
            f'the region {region.width}x{region.height} at ({region.x_offset}, {region.y_offset}) '
            f'must lie inside the image of {width}x{height} and be at least 8x8 pixels'
        )
    part = disparity[
        region.y_offset : region.y_offset + region.height,
        region.x_offset : region.x_offset + region.width,
    ].astype(np.float64)
    # Columns and rows from the region's center.
    y, x = np.mgrid[: region.height, : region.width].astype(np.float64)
    x, y = x - (region.width - 1) / 2, y - (region.height - 1) / 2
    known = np.isfinite(part)
    if known.mean() < MIN_KNOWN_FRACTION:
        advice = (
            'the target needs texture (a poster, newspaper, a carpet) and light, and must fill '
            'the region'
        )
        raise DistanceCheckError(
            f'only {known.mean():.0%} of the region has a trusted disparity: {suspect or advice}'
        )
    design = np.stack((np.ones(int(known.sum())), x[known], y[known]), axis=1)
    solution, residuals = _robust_plane(design, part[known])
    flat = float((np.abs(residuals) <= FLATNESS).mean())
    if flat < MIN_FLAT_FRACTION:
        raise DistanceCheckError(
            f'only {flat:.0%} of the region lies on one plane: the target must be flat and fill '
            'the region; choose the region with --roi, or take a larger target'
        )
    center_x = region.x_offset + (region.width - 1) / 2
    center_y = region.y_offset + (region.height - 1) / 2
    spread = 1.4826 * float(np.median(np.abs(residuals)))
    tilt = _tilt(solution, camera, center_x, center_y)
    return TargetPlane(float(solution[0]), spread, flat, tilt)


def check_distances(
    camera: StereoCamera, measurements: Sequence[TargetMeasurement], *, tape_error: float = 0.002
) -> DistanceCheck:
    """Return how depth is off, from one target or several.

    `tape_error` is the standard deviation of the distances in meters. Raises DistanceCheckError
    for distances that are not positive or not in meters, for targets at or beyond infinity, and
    where no correction that the node takes would bring stereo to the tape.
    """
    distance = np.array([m.distance for m in measurements], np.float64)
    disparity = np.array([m.plane.disparity for m in measurements], np.float64)
    if not len(distance):
        raise DistanceCheckError('a distance is needed')
    for value in distance:
        require_distance(float(value))
    if not (disparity > 0).all():
        raise DistanceCheckError(
            'the target lies at or beyond infinity by its disparity '
            f'({", ".join(f"{d:.2f}" for d in disparity)} px): do the images belong to the '
            'calibration, and are left and right in order?'
        )
    product = camera.focal_length * camera.baseline
    expected = product / distance
    error = expected / disparity - 1
    # Both in pixels of disparity: of the matcher, and of the tape.
    deviation = np.hypot(DISPARITY_ERROR, expected * tape_error / distance)
    as_scale = RigCorrection(depth_scale=_scale_alone(expected, disparity, deviation))
    as_offset = RigCorrection(disparity_offset=_offset_alone(expected, disparity, deviation))
    kind, correction = _judge(expected, disparity, deviation)
    if kind is ErrorKind.SCALE:
        correction = as_scale
    elif kind is ErrorKind.OFFSET:
        correction = as_offset
    # An offset says nothing of the scale; all others could be one.
    asked = as_scale if kind is ErrorKind.UNKNOWN else correction
    if kind is not ErrorKind.NONE and not _is_accepted(asked):
        raise _implausible(distance, product / disparity)
    return DistanceCheck(
        kind=kind,
        depth_errors=tuple(float(e) for e in error),
        depth_uncertainties=tuple(float(s) for s in deviation / disparity),
        correction=correction,
        as_scale=as_scale,
        as_offset=as_offset,
    )


def require_distance(distance: float) -> None:
    """Raise DistanceCheckError unless a distance may be one in meters."""
    if not 0 < distance < math.inf:
        raise DistanceCheckError(
            f'the distance must be positive, in meters: above 0 meters, not {distance:g}'
        )
    if distance > FARTHEST:
        raise DistanceCheckError(
            f'a distance of {distance:g} m is beyond {FARTHEST:g} m: were millimeters written? '
            f'({distance:g} mm are {distance / 1000:g} m)'
        )


def _is_accepted(correction: RigCorrection) -> bool:
    scale, offset = correction.depth_scale, correction.disparity_offset
    return (
        DEPTH_SCALES[0] <= scale <= DEPTH_SCALES[1]
        and DISPARITY_OFFSETS[0] <= offset <= DISPARITY_OFFSETS[1]
    )


def _implausible(distance: FloatArray, depth: FloatArray) -> DistanceCheckError:
    tape, stereo = (', '.join(f'{z:.4g}' for z in values) for values in (distance, depth))
    return DistanceCheckError(
        f'{tape} m by tape and {stereo} m by stereo are too far apart for a correction '
        f'(depth_scale takes {DEPTH_SCALES[0]:g} to {DEPTH_SCALES[1]:g}): were millimeters or '
        'centimeters written instead of meters, or does the calibration belong to another rig?'
    )


def _robust_plane(design: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the coefficients and all residuals of a least-squares fit without outliers."""
    kept = np.abs(values - np.median(values)) <= max(
        4 * FLATNESS, 3 * 1.4826 * float(np.median(np.abs(values - np.median(values))))
    )
    for _ in range(FIT_ROUNDS):
        solution = np.linalg.lstsq(design[kept], values[kept], rcond=None)[0]
        residuals = values - design @ solution
        limit = 3 * 1.4826 * float(np.median(np.abs(residuals[kept])))
        kept = np.abs(residuals) <= max(limit, 0.05)
    return solution, residuals


def _tilt(solution: FloatArray, camera: StereoCamera, x: float, y: float) -> float:
    """Return the angle of the plane's normal to the optical axis in degrees.

    d = a + b (u - x) + c (v - y) = f B / Z with u = f X/Z + cx is the plane
    (b f) X + (c fy) Y + (a + b (cx - x) + c (cy - y)) Z = f B.
    """
    a, b, c = (float(value) for value in solution)
    normal_x, normal_y = b * camera.focal_length, c * camera.focal_length_y
    normal_z = a + b * (camera.left.x - x) + c * (camera.left.y - y)
    return math.degrees(math.atan2(math.hypot(normal_x, normal_y), abs(normal_z)))


def _scale_alone(expected: FloatArray, disparity: FloatArray, deviation: FloatArray) -> float:
    """Return the scale s with ``d = s expected``, by weighted least squares."""
    weight = deviation**-2.0
    return float((weight * disparity * expected).sum() / (weight * expected**2).sum())


def _offset_alone(expected: FloatArray, disparity: FloatArray, deviation: FloatArray) -> float:
    """Return the offset o with ``d + o = expected``, by weighted least squares."""
    weight = deviation**-2.0
    return float((weight * (expected - disparity)).sum() / weight.sum())


def _judge(
    expected: FloatArray, disparity: FloatArray, deviation: FloatArray
) -> tuple[ErrorKind, RigCorrection]:
    if (np.abs(expected - disparity) <= SIGNIFICANT_DEVIATIONS * deviation).all():
        return ErrorKind.NONE, RigCorrection()
    if expected.max() < MIN_DISTANCE_RATIO * expected.min():
        return ErrorKind.UNKNOWN, RigCorrection()
    # d = s expected - o, each target weighted by its own uncertainty.
    design = np.stack((expected, -np.ones_like(expected)), axis=1) / deviation[:, None]
    scale, offset = np.linalg.lstsq(design, disparity / deviation, rcond=None)[0]
    scale_deviation, offset_deviation = np.sqrt(np.linalg.inv(design.T @ design).diagonal())
    if scale <= 0:
        raise DistanceCheckError(
            'the nearer distance belongs to the target with the smaller disparity: give each '
            'distance with its own pair of images'
        )
    scaled = abs(scale - 1) > SIGNIFICANT_DEVIATIONS * scale_deviation
    shifted = abs(offset) > SIGNIFICANT_DEVIATIONS * offset_deviation
    both = RigCorrection(float(scale), float(offset))
    if scaled and shifted:
        return ErrorKind.BOTH, both
    if scaled == shifted:
        # Neither alone is significant, though their sum is: the simpler that fits better.
        alone_scale = _scale_alone(expected, disparity, deviation) * expected - disparity
        alone_offset = expected - disparity - _offset_alone(expected, disparity, deviation)
        scaled = bool(
            ((alone_scale / deviation) ** 2).sum() <= ((alone_offset / deviation) ** 2).sum()
        )
    return (ErrorKind.SCALE if scaled else ErrorKind.OFFSET), both


def report(
    camera: StereoCamera, measurements: Sequence[TargetMeasurement], check: DistanceCheck
) -> tuple[str, ...]:
    """Return the result in sentences, the values to set last."""
    lines = [
        _measured(camera, measurement, error, uncertainty)
        for measurement, error, uncertainty in zip(
            measurements, check.depth_errors, check.depth_uncertainties, strict=True
        )
    ]
    lines += [
        f'the target is turned by {m.plane.tilt:.1f} degrees: turn it to face the camera, or its '
        'distance is not one number'
        for m in measurements
        if m.plane.tilt > MAX_TILT
    ]
    if _is_beyond_drift(check):
        lines.append(
            f'more than {DRIFT:.0%} and {OFFSET_DRIFT:g} px are no drift of a calibration: before '
            'correcting anything, make sure that it belongs to these cameras at this resolution, '
            'that the images are rectified (of raw ones, it must hold K, D and R), and that the '
            'tape is in meters'
        )
    return (*lines, *_conclusions(camera, check))


def _is_beyond_drift(check: DistanceCheck) -> bool:
    """Return whether the error is too large for cameras that were bumped or got warm."""
    # Far away, an offset of less than a pixel is a large error of depth.
    offset = abs(check.as_offset.disparity_offset)
    error = max(map(abs, check.depth_errors))
    return check.kind is not ErrorKind.NONE and error > DRIFT and offset > OFFSET_DRIFT


def _measured(
    camera: StereoCamera, measurement: TargetMeasurement, error: float, uncertainty: float
) -> str:
    plane, distance = measurement.plane, measurement.distance
    depth = camera.focal_length * camera.baseline / plane.disparity
    side = 'too large' if error > 0 else 'too small'
    return (
        f'the target at {distance:.3f} m by tape is at {depth:.3f} m by stereo: depth is '
        f'{abs(error):.1%} ({abs(depth - distance) * 1000:.0f} mm) {side}, uncertain by '
        f'{uncertainty:.1%}; disparity {plane.disparity:.2f} px, expected '
        f'{camera.focal_length * camera.baseline / distance:.2f} px; {plane.flat_fraction:.0%} of '
        f'the region lies on the plane, with a spread of {plane.spread:.2f} px'
    )


def _conclusions(camera: StereoCamera, check: DistanceCheck) -> tuple[str, ...]:
    scale, offset = check.as_scale.depth_scale, check.as_offset.disparity_offset
    as_scale = (
        f'the baseline would be {camera.baseline * scale:.5g} m instead of {camera.baseline:.5g} '
        f'm, or the focal length {camera.focal_length * scale:.5g} px instead of '
        f'{camera.focal_length:.5g} px: depth_scale = {scale:.4f}'
    )
    as_offset = (
        'the difference of the principal points (cx_left - cx_right) would be '
        f'{camera.principal_point_difference - offset:.2f} px instead of '
        f'{camera.principal_point_difference:.2f} px: disparity_offset = {offset:.3f}'
    )
    if check.kind is ErrorKind.NONE:
        return ('depth agrees with the tape within the uncertainty: no correction is needed',)
    if check.kind is ErrorKind.UNKNOWN:
        reason = 'one distance cannot'
        if len(check.depth_errors) > 1:
            reason = 'the distances are too close to each other to'
        return (
            f'{reason} separate a wrong scale from an offset in disparity',
            f'if it is a scale, {as_scale}',
            f'if it is an offset, {as_offset}',
            'measure another target, at least 1.5 times as far or as near (--pair2, '
            '--distance2), to separate them',
        )
    if check.kind is ErrorKind.SCALE:
        return (f'the error looks like a scale: {as_scale}, disparity_offset = 0',)
    if check.kind is ErrorKind.OFFSET:
        return (f'the error looks like an offset in disparity: {as_offset}, depth_scale = 1',)
    both = check.correction
    return (
        'the error looks like a scale and an offset in disparity: '
        f'depth_scale = {both.depth_scale:.4f}, disparity_offset = {both.disparity_offset:.3f}',
    )
