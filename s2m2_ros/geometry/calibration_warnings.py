"""Warnings about calibrations that are usable but suspicious."""

from __future__ import annotations

import math

from s2m2_ros.geometry.camera_model import CameraModel

# Longer than the baselines of nearly all robots' cameras; centimeters, or squares of a chessboard
# taken for meters, give more.
LONG_BASELINE = 1.0
# Shorter than those of nearly all; centimeters taken for millimeters give less.
SHORT_BASELINE = 0.015
# Fractions of the image's width or height between principal point and middle. Lens and mount of
# real cameras, and rectification, give up to some 16 %; a calibration of another resolution
# displaces both coordinates alike.
FAR_FROM_MIDDLE = 0.2
BOTH_FROM_MIDDLE = 0.1
WIDEST_VIEW = 150.0
NARROWEST_VIEW = 3.0


def calibration_warnings(left: CameraModel, right: CameraModel) -> tuple[str, ...]:
    """Return warnings about two calibrations that `StereoCamera.from_projection` accepts.

    Each is a whole sentence that begins with the source (topic or file). Sizes and matrices are
    those of the full resolution, before ROI and binning, so a cropped image is no cause.
    """
    found = [_baseline(left, right), _view(left)]
    found += [_principal_point(camera) for camera in (left, right)]
    return tuple(dict.fromkeys(text for text in found if text))


def _baseline(left: CameraModel, right: CameraModel) -> str:
    baseline = left.P[3] / left.P[0] - right.P[3] / right.P[0]
    if 0 < baseline < SHORT_BASELINE:
        return (
            f'{right.source}: the baseline is {baseline * 1000:.4g} mm, unusually short. Was it '
            'written in the unit that the file wants (millimeters for Middlebury, else meters)?'
        )
    if baseline <= LONG_BASELINE:
        return ''
    return (
        f'{right.source}: the baseline is {baseline:.4g} m, unusually long. In which unit was the '
        'calibration board measured? Depth is in that unit: it must be meters, not centimeters, '
        'inches or squares of the board'
    )


def _principal_point(camera: CameraModel) -> str:
    x, y = camera.P[2] / camera.width - 0.5, camera.P[6] / camera.height - 0.5
    place = f'the principal point ({camera.P[2]:g}, {camera.P[6]:g})'
    size = f'the image of {camera.width}x{camera.height}'
    if max(abs(x), abs(y)) > 0.5:
        found = f'{place} lies outside of {size}'
    elif max(abs(x), abs(y)) > FAR_FROM_MIDDLE or (
        min(abs(x), abs(y)) > BOTH_FROM_MIDDLE and x * y > 0
    ):
        found = f'{place} lies far from the middle of {size}'
    else:
        return ''
    return (
        f'{camera.source}: {found}. Probably the calibration is of another resolution: scale it, '
        'calibrate at this resolution, or give binning and region of interest in camera_info'
    )


def _view(camera: CameraModel) -> str:
    degrees = math.degrees(2 * math.atan2(camera.width, 2 * camera.P[0]))
    if NARROWEST_VIEW <= degrees <= WIDEST_VIEW:
        return ''
    return (
        f'{camera.source}: with fx = {camera.P[0]:g} px the image of {camera.width} px is '
        f'{degrees:.3g} degrees wide, which hardly any camera is. Is fx in pixels, and the '
        'calibration of this resolution?'
    )
