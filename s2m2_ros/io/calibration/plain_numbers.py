"""Text that consists of numbers alone: ``K.txt`` of FoundationStereo, matrices of `savetxt`."""

from __future__ import annotations

from s2m2_ros.geometry.camera_model import CalibrationError, CameraModel
from s2m2_ros.geometry.stereo_camera import MAX_BASELINE
from s2m2_ros.io.calibration.document import Document
from s2m2_ros.io.calibration.matrices import models_of_p, models_of_q
from s2m2_ros.io.calibration.numpy_files import UNNAMED
from s2m2_ros.io.calibration.reader import StereoModels
from s2m2_ros.io.calibration.values import Size, numbers_if

# What a text of so many numbers is.
K_AND_BASELINE, ONE_P, Q, TWO_P = 10, 12, 16, 24
LONGEST_TEXT = 4096


def recognizes(document: Document) -> bool:
    """Return whether there are K and a baseline, Q, or P1 and P2, and nothing else."""
    found = _numbers(document)
    if len(found) == K_AND_BASELINE:
        return found[6:9] == (0.0, 0.0, 1.0)
    if len(found) == Q:
        return found[0] == found[5] == 1
    return len(found) == TWO_P and found[10] == found[22] == 1


def recognizes_one_camera(document: Document) -> bool:
    """Return whether there is one 3x4 matrix and nothing else."""
    found = _numbers(document)
    return len(found) == ONE_P and found[10] == 1


def read(document: Document, image_size: Size) -> StereoModels:
    """Read the 3x3 matrix K and the baseline in meters, or the 4x4 matrix Q, or P1 and P2."""
    path = document.path
    found = _numbers(document)
    if len(found) == Q:
        return models_of_q(path, found, image_size)
    if len(found) == TWO_P:
        return models_of_p(path, (found[:12], found[12:]), image_size)
    K, baseline = found[:9], found[9]
    if abs(baseline) > MAX_BASELINE:
        raise CalibrationError(
            f'{path}: the baseline, the number after K, is {baseline:g}; it must be in meters: '
            f'for {baseline:g} mm write {baseline / 1000:g}'
        )
    left = (*K[:3], 0.0, *K[3:6], 0.0, *K[6:], 0.0)
    right = (*K[:3], -K[0] * baseline, *K[3:6], 0.0, *K[6:], 0.0)
    return models_of_p(path, (left, right), image_size)


def read_one_camera(document: Document, image_size: Size) -> CameraModel:
    """Read the projection matrix of one camera, row by row."""
    return CameraModel(_numbers(document), *image_size, source=str(document.path))


def _numbers(document: Document) -> tuple[float, ...]:
    """Return the numbers that a file consists of; none if there is anything else in it."""
    content = document.content.get(UNNAMED)
    if content is None and len(document.text) <= LONGEST_TEXT:
        lines = (line.partition('#')[0] for line in document.text.split('\n'))
        content = ' '.join(lines)
    return numbers_if(content, K_AND_BASELINE, ONE_P, Q, TWO_P)
