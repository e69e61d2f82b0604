"""
Stand-in for the ROS 2 package tf_transformations: rotations and rigid transforms.

Quaternions are x, y, z, w; angles are radians; matrices are homogeneous (4, 4) float64. Euler axes
are four letters such as `sxyz` (turns about static axes) or `rzyx` (about the rotating ones). The
mathematics is that of transforms3d, whose quaternions are w, x, y, z.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from transforms3d import euler, quaternions

Matrix = npt.NDArray[np.float64]

__all__ = [
    'concatenate_matrices',
    'euler_from_quaternion',
    'euler_matrix',
    'inverse_matrix',
    'quaternion_from_euler',
    'quaternion_from_matrix',
    'quaternion_matrix',
    'translation_matrix',
]


def quaternion_from_euler(ai: float, aj: float, ak: float, axes: str = 'sxyz') -> Matrix:
    """Return the quaternion (4,) of three turns (roll, pitch and yaw for `sxyz`)."""
    return _xyzw(euler.euler2quat(ai, aj, ak, axes))


def euler_from_quaternion(
    quaternion: npt.ArrayLike, axes: str = 'sxyz'
) -> tuple[float, float, float]:
    """Return the three angles of the quaternion (4,)."""
    ai, aj, ak = euler.quat2euler(_wxyz(quaternion), axes)
    return float(ai), float(aj), float(ak)


def quaternion_matrix(quaternion: npt.ArrayLike) -> Matrix:
    """Return the rotation by the quaternion (4,), which need not have unit length."""
    return _homogeneous(quaternions.quat2mat(_wxyz(quaternion)))


def quaternion_from_matrix(matrix: npt.ArrayLike) -> Matrix:
    """Return the unit quaternion (4,), w >= 0, of the rotation in a matrix (4, 4) or (3, 3)."""
    return _xyzw(quaternions.mat2quat(np.asarray(matrix, dtype=np.float64)[:3, :3]))


def euler_matrix(ai: float, aj: float, ak: float, axes: str = 'sxyz') -> Matrix:
    """Return the rotation by three turns."""
    return _homogeneous(euler.euler2mat(ai, aj, ak, axes))


def translation_matrix(direction: npt.ArrayLike) -> Matrix:
    """Return the translation by the vector (3,)."""
    matrix = np.eye(4)
    matrix[:3, 3] = np.asarray(direction, dtype=np.float64)[:3]
    return matrix


def concatenate_matrices(*matrices: npt.ArrayLike) -> Matrix:
    """Return the product of the matrices, the identity for none: the last one acts first."""
    product: Matrix = np.eye(4)
    for matrix in matrices:
        product = product @ np.asarray(matrix, dtype=np.float64)
    return product


def inverse_matrix(matrix: npt.ArrayLike) -> Matrix:
    """Return the inverse; raise numpy.linalg.LinAlgError for a singular matrix."""
    return np.linalg.inv(np.asarray(matrix, dtype=np.float64))


def _homogeneous(rotation: Any) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    return matrix


def _xyzw(wxyz: Any) -> Matrix:
    return np.roll(np.asarray(wxyz, dtype=np.float64), -1)


def _wxyz(xyzw: npt.ArrayLike) -> Matrix:
    return np.roll(np.asarray(xyzw, dtype=np.float64), 1)
