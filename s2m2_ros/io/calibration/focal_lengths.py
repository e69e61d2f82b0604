"""Focal length, principal point and baseline by name, without projection matrices.

Settings of ORB-SLAM for rectified images (``Camera.fx``, ``Camera.bf``), Cityscapes' ``camera``
files, and files with fx, cx and baseline, or with K and baseline.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from s2m2_ros.geometry.camera_model import CalibrationError
from s2m2_ros.geometry.stereo_camera import MAX_BASELINE
from s2m2_ros.io.calibration.document import Document
from s2m2_ros.io.calibration.matrices import models_of_p
from s2m2_ros.io.calibration.middlebury import check_doffs
from s2m2_ros.io.calibration.names import NO_SIDE, flatten, matrices_by_kind, pair_of
from s2m2_ros.io.calibration.reader import StereoModels
from s2m2_ros.io.calibration.values import Size, holds, is_given, number, numbers_if, whole_number
from s2m2_ros.text_safety import safe_text

# Names by what they mean, without case and underscores.
NAMES = {
    'fx': ('fx', 'f', 'focal', 'focallength', 'focallengthpx'),
    'fy': ('fy',),
    'cx': ('cx', 'cx0', 'cxleft', 'leftcx', 'u0', 'ppx'),
    'right cx': ('cx1', 'cxright', 'rightcx'),
    # Middlebury's: right cx minus left cx.
    'doffs': ('doffs', 'doff'),
    'cy': ('cy', 'cy0', 'v0', 'ppy'),
    'width': ('width', 'imagewidth'),
    'height': ('height', 'imageheight'),
    # Baseline times focal length, ORB-SLAM's way.
    'bf': ('bf',),
    'baseline': ('baselinemeters', 'baselinemetres', 'baselinem', 'baseline', 'b'),
    'baseline in mm': ('baselinemm',),
}
BASELINES = {'bf', 'baseline', 'baseline in mm'}
DISTORTION = ('k1', 'k2', 'k3', 'p1', 'p2')
MEANINGS = {name: meaning for meaning, names in NAMES.items() for name in names}

Scalars = dict[str, Any]


def recognizes(document: Document) -> bool:
    """Return whether fx, cx, cy (or K) and a baseline are there, and no distortion."""
    found = scalars(document.content)
    return (
        {'fx', 'cx', 'cy'} <= set(found)
        and bool(BASELINES & set(found))
        and not distorted(document.content)
    )


def distorted(content: Mapping[str, Any]) -> bool:
    """Return whether a coefficient of distortion is not zero: the images are not rectified."""
    single = [
        numbers_if(value, 1)
        for path, value in flatten(content).items()
        if path.rpartition('.')[2].lower() in DISTORTION
    ]
    lists = [numbers_if(D, *range(1, 15)) for D in matrices_by_kind(content).get('D', {}).values()]
    return any(any(coefficients) for coefficients in (*single, *lists))


def read(document: Document, image_size: Size) -> StereoModels:
    """Read the numbers; the baseline is in meters unless its name says millimeters."""
    path, found = document.path, scalars(document.content)
    value = {name: number(path, name, found[name]) for name in found}
    fx, cx, cy = value['fx'], value['cx'], value['cy']
    fy, right_cx = value.get('fy', fx), value.get('right cx', cx + value.get('doffs', 0.0))
    if 'doffs' in value:
        check_doffs(path, value['doffs'], cx, right_cx, ('the left camera', 'the right camera'))
    baseline = value.get('baseline', value.get('baseline in mm', 0.0) / 1000)
    if abs(baseline) > MAX_BASELINE:
        raise CalibrationError(
            f'{path}: the baseline is {baseline:g}; it must be in meters: for {baseline:g} mm '
            f'write {baseline / 1000:g}'
        )
    width, height = (
        whole_number(path, name, found[name]) if name in found else default
        for name, default in zip(('width', 'height'), image_size, strict=True)
    )
    left = (fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    shift = value.get('bf', fx * baseline)
    right = (fx, 0.0, right_cx, -shift, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    return models_of_p(path, (left, right), (width, height))


def what_is_wrong(content: Mapping[str, Any]) -> str:
    """Return why numbers by name are not read although some are there; empty where none is."""
    named = list(_named(content))
    first = dict(reversed(named))
    if not {'fx', 'cx'} <= set(first):
        return ''
    for name, value in named:
        if is_given(value) and not holds(value, 1):
            return f'{name} is {safe_text(value, 40)!r}, which is not one number'
    for name, value in named:
        if value != first[name]:
            return f'{name} is {safe_text(first[name], 40)} and {safe_text(value, 40)}'
    missing = {'cy'} - set(first) or (set() if BASELINES & set(first) else {'baseline'})
    return f'fx and cx are there, but no {missing.pop()}' if missing else ''


def scalars(content: Mapping[str, Any]) -> Scalars:
    """Return single numbers by meaning; none if one has two values. K gives fx, fy, cx and cy."""
    found: Scalars = {}
    for name, value in _named(content):
        if not holds(value, 1):
            continue
        if found.get(name, value) != value:
            return {}
        found[name] = value
    return found if 'fx' in found else {**found, **_of_camera_matrices(content)}


def _named(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values whose names are known, with what they mean."""
    for path, value in flatten(content).items():
        name = MEANINGS.get(re.sub(r'[^a-z0-9]', '', path.rpartition('.')[2].lower()))
        if name is not None:
            yield name, value


def _of_camera_matrices(content: Mapping[str, Any]) -> Scalars:
    """Return what K, or the K of both cameras, or [fx, fy, cx, cy], says."""
    named = matrices_by_kind(content)
    pair = pair_of(named, 'K') or (named.get('K', {}).get(NO_SIDE),) * 2
    left, right = (numbers_if(K, 9) for K in pair)
    if left and right:
        found = {'fx': left[0], 'fy': left[4], 'cx': left[2], 'cy': left[5]}
        return {**found, 'right cx': right[2]} if left[:2] == right[:2] else {}
    return dict(zip(('fx', 'fy', 'cx', 'cy'), numbers_if(pair[0], 4), strict=False))
