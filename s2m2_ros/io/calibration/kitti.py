"""KITTI's ``calib.txt`` and ``calib_cam_to_cam.txt``, and DrivingStereo's, written alike."""

from __future__ import annotations

import re
from collections.abc import Mapping

from s2m2_ros.geometry.camera_model import CalibrationError, CameraModel
from s2m2_ros.io.calibration.document import Document
from s2m2_ros.io.calibration.reader import StereoModels
from s2m2_ros.io.calibration.values import Size, numbers, whole_number

# Numbers must follow on the same line: OpenCV's files have a P1 too.
LINE = re.compile(r'(P|P_rect_|S_rect_)(\d{1,3}):[ \t]*([-+.\d][-+.\deE \t]*)')
# Cameras 2 and 3 are KITTI's color pair, 0 and 1 the gray one; 101 and 103 are DrivingStereo's.
PAIRS = ((2, 3), (0, 1), (101, 103))


def recognizes(document: Document) -> bool:
    """Return whether a line is one of ``P2: ...`` or ``P_rect_02: ...`` with numbers."""
    return any(name != 'S' for name, _ in _entries(document))


def read(document: Document, image_size: Size) -> StereoModels:
    """Read 12 numbers a camera; P[3] is -f times meters already."""
    entries = _entries(document)
    known = sorted(camera for name, camera in entries if name == 'P')
    pairs = [pair for pair in PAIRS if set(pair) <= set(known)]
    if not pairs and len(known) == 2:
        pairs = [(known[0], known[1])]
    if not pairs:
        found = ', '.join(str(camera) for camera in known[:8])
        raise CalibrationError(
            f'{document.path}: neither cameras 2 and 3 nor 0 and 1 are there, but {found}'
        )
    left, right = (_camera(document, entries, camera, image_size) for camera in pairs[0])
    return left, right


def _entries(document: Document) -> dict[tuple[str, int], str]:
    """Return the numbers by name (P or S) and camera; CalibrationError if one has two values."""
    entries: dict[tuple[str, int], str] = {}
    for line in document.text.split('\n'):
        match = LINE.fullmatch(line.strip())
        if not match:
            continue
        key = match[1][0], int(match[2])
        if entries.setdefault(key, match[3]).split() != match[3].split():
            raise CalibrationError(
                f'{document.path}: {match[1]}{match[2]} is there twice: remove the wrong one'
            )
    return entries


def _camera(
    document: Document, entries: Mapping[tuple[str, int], str], camera: int, image_size: Size
) -> CameraModel:
    path = document.path
    P = list(numbers(path, f'P{camera}', entries['P', camera], 12))
    # The published matrices hold millimeter offsets in the last column that a rectified pair
    # cannot have; the third camera's differ by microns.
    P[7] = P[11] = 0.0
    width, height = image_size
    if ('S', camera) in entries:
        name = f'S_rect_{camera:02}'
        size = numbers(path, name, entries['S', camera], 2)
        width, height = (whole_number(path, name, f'{value:.9g}') for value in size)
    return CameraModel(tuple(P), width, height, source=str(path))
