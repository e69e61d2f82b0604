"""Middlebury's ``calib.txt`` of 2014 and 2021, which ETH3D uses too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from s2m2_ros.geometry.camera_model import CalibrationError, CameraModel
from s2m2_ros.geometry.stereo_camera import MIN_BASELINE
from s2m2_ros.io.calibration.document import Document
from s2m2_ros.io.calibration.reader import StereoModels
from s2m2_ros.io.calibration.values import Size, is_given, number, numbers, whole_number

FIRST_KEY = re.compile(r'^[ \t]*cam0[ \t]*=', re.MULTILINE)
# Files round doffs, some to whole pixels.
DOFFS_TOLERANCE = 0.5
# Characters; nine numbers take far fewer.
LONGEST_MATRIX = 1000


def recognizes(document: Document) -> bool:
    """Return whether a line begins with ``cam0=``."""
    return FIRST_KEY.search(document.text) is not None


def read(document: Document, image_size: Size) -> StereoModels:
    """Read e.g. `cam0=[3997.684 0 1176.728; 0 3997.684 1011.728; 0 0 1]`, baseline in mm."""
    path, entries = document.path, _entries(document.path, document.text)
    cameras = [numbers(path, key, _required(path, entries, key), 9) for key in ('cam0', 'cam1')]
    baseline = number(path, 'baseline', _required(path, entries, 'baseline')) / 1000
    if 0 < baseline < MIN_BASELINE:
        raise CalibrationError(
            f'{path}: baseline={baseline * 1000:g}: the baseline must be in millimeters; for '
            f'{baseline * 1000:g} m write baseline={baseline * 1e6:g}'
        )
    if is_given(entries.get('doffs')):
        doffs = number(path, 'doffs', entries['doffs'])
        check_doffs(path, doffs, cameras[0][2], cameras[1][2], ('cam0', 'cam1'))
    width, height = (
        whole_number(path, key, entries[key]) if key in entries else default
        for key, default in zip(('width', 'height'), image_size, strict=True)
    )

    def model(K: tuple[float, ...], shift: float) -> CameraModel:
        P = (*K[:3], shift, *K[3:6], 0.0, *K[6:], 0.0)
        return CameraModel(P, width, height, source=str(path))

    return model(cameras[0], 0.0), model(cameras[1], -cameras[1][0] * baseline)


def _entries(path: Path, text: str) -> dict[str, str]:
    """Return the ``key=value`` entries; a matrix may go on over several lines."""
    entries: dict[str, str] = {}
    key = ''
    for line in text.split('\n'):
        content = line.partition('#')[0]
        if '=' in content:
            key, _, value = content.partition('=')
            key = key.strip()
            if entries.setdefault(key, value).strip() != value.strip():
                raise CalibrationError(f'{path}: {key} is there twice: remove the wrong one')
        elif _is_open(entries.get(key, '')):
            entries[key] += f' {content[:LONGEST_MATRIX]}'
    return entries


def _is_open(value: str) -> bool:
    return len(value) < LONGEST_MATRIX and '[' in value and ']' not in value


def _required(path: Path, entries: Mapping[str, str], key: str) -> str:
    if not is_given(entries.get(key)):
        raise CalibrationError(f'{path}: {key} is missing')
    return entries[key]


def check_doffs(
    path: Path, doffs: float, left: float, right: float, cameras: tuple[str, str]
) -> None:
    """Raise CalibrationError unless `doffs` is the difference of both cx, nearly."""
    if abs(doffs - (right - left)) > DOFFS_TOLERANCE:
        raise CalibrationError(
            f'{path}: doffs contradicts cx: doffs={doffs:g}, but cx of {cameras[1]} minus cx of '
            f'{cameras[0]} is {right - left:g}. If the images fit doffs, write cx '
            f'{left + doffs:g} in {cameras[1]}; if they fit {cameras[0]} and {cameras[1]}, write '
            f'doffs={right - left:g}'
        )
