"""The cameras that projection matrices, or OpenCV's Q, describe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from s2m2_ros.geometry.camera_model import CalibrationError, CameraModel
from s2m2_ros.io.calibration.reader import StereoModels
from s2m2_ros.io.calibration.values import Size

ROUNDING = 1e-6


def models_of_p(path: Path, P: Sequence[Sequence[float]], size: Size) -> StereoModels:
    """Return the cameras of the left and the right 3x4 matrix, row by row."""
    left, right = (CameraModel(tuple(matrix), *size, source=str(path)) for matrix in P)
    return left, right


def models_of_q(path: Path, Q: Sequence[float], size: Size) -> StereoModels:
    """Invert OpenCV's definition of Q (documentation of `stereoRectify`)."""
    focal, cx, cy = Q[11], -Q[3], -Q[7]
    if Q[14] == 0:
        raise CalibrationError(f'{path}: Q[3][2] is 0, so the baseline is infinite')
    if any(abs(Q[i] - (i in (0, 5))) > ROUNDING for i in (0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13)):
        raise CalibrationError(
            f'{path}: not a Q of cv2.stereoRectify: [1 0 0 -cx; 0 1 0 -cy; 0 0 0 f; 0 0 1/B '
            '(cx2-cx)/B], row by row'
        )
    # Q[3][2] = -1 / Tx and Q[3][3] = (cx - cx') / Tx, Tx being minus the baseline.
    shift = -focal / Q[14]
    right_cx = cx - Q[15] / -Q[14]
    left = (focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    right = (focal, 0.0, right_cx, shift, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    return models_of_p(path, (left, right), size)
