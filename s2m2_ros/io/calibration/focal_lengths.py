"""Focal length, principal point and baseline as single numbers, by name.

Settings of ORB-SLAM for rectified images (``Camera.fx``, ``Camera.bf``), Cityscapes' ``camera``
files, and JSON files with fx, cx and baseline.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from s2m2_ros.geometry.camera_model import CalibrationError
from s2m2_ros.geometry.stereo_camera import MAX_BASELINE
from s2m2_ros.io.calibration.document import Document
from s2m2_ros.io.calibration.matrices import models_of_p
from s2m2_ros.io.calibration.names import flatten
from s2m2_ros.io.calibration.reader import StereoModels
from s2m2_ros.io.calibration.values import Size, holds, number, whole_number

# Names by what they mean, without case and underscores.
FX = ('fx', 'f', 'focal', 'focallength', 'focallengthpx')
FY = ('fy',)
CX = ('cx', 'cx0', 'cxleft', 'leftcx', 'u0', 'ppx')
RIGHT_CX = ('cx1', 'cxright', 'rightcx')
CY = ('cy', 'cy0', 'v0', 'ppy')
# Meters in one unit of what each name says.
BASELINES = {
    'baselinemeters': 1.0,
    'baselinemetres': 1.0,
    'baselinem': 1.0,
    'baselinemm': 1e-3,
    'baseline': 1.0,
    'b': 1.0,
}
# Baseline times focal length, ORB-SLAM's way.
PRODUCT = ('bf',)
DISTORTION = ('k1', 'k2', 'k3', 'p1', 'p2')
OTHERS = ('width', 'height', 'imagewidth', 'imageheight')


def recognises(document: Document) -> bool:
    """Return whether fx, cx, cy and a baseline are there, and no distortion."""
    found = scalars(document.content)
    named = all(_first(found, names) for names in (FX, CX, CY))
    return named and any(key in found for key in (*BASELINES, *PRODUCT)) and not distorted(found)


def distorted(found: Mapping[str, Any]) -> bool:
    """Return whether a coefficient of distortion is not zero: the images are not rectified."""
    return any(not _is_zero(found[name]) for name in DISTORTION if name in found)


def read(document: Document, image_size: Size) -> StereoModels:
    """Read the numbers; the baseline is in meters unless its name says millimetres."""
    path, found = document.path, scalars(document.content)

    def value(names: tuple[str, ...], default: float = 0.0) -> float:
        name = _first(found, names)
        return number(path, name, found[name]) if name else default

    fx, cx, cy = value(FX), value(CX), value(CY)
    fy, right_cx = value(FY, fx), value(RIGHT_CX, cx)
    shift = value(PRODUCT)
    if not shift:
        name = next((name for name in BASELINES if name in found), '')
        baseline = (number(path, name, found[name]) if name else 0.0) * BASELINES.get(name, 1.0)
        if abs(baseline) > MAX_BASELINE:
            raise CalibrationError(
                f'{path}: {name} is {baseline:g}; it must be in meters: for {baseline:g} mm '
                f'write {baseline / 1000:g}'
            )
        shift = fx * baseline
    size = tuple(
        whole_number(path, names[0], found[name]) if (name := _first(found, names)) else default
        for names, default in zip(
            (('width', 'imagewidth'), ('height', 'imageheight')), image_size, strict=True
        )
    )
    left = (fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    right = (fx, 0.0, right_cx, -shift, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    return models_of_p(path, (left, right), (size[0], size[1]))


def scalars(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return single numbers by the last part of their names; empty if one has two values."""
    found: dict[str, Any] = {}
    for path, value in flatten(content).items():
        name = re.sub(r'[^a-z0-9]', '', path.rpartition('.')[2].lower())
        known = (*FX, *FY, *CX, *RIGHT_CX, *CY, *BASELINES, *PRODUCT, *DISTORTION, *OTHERS)
        if name not in known or not holds(value, 1):
            continue
        if name in found and found[name] != value:
            return {}
        found[name] = value
    return found


def _first(found: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((name for name in names if name in found), '')


def _is_zero(value: Any) -> bool:
    try:
        return float(value) == 0
    except (TypeError, ValueError):
        return False
