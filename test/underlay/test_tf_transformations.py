"""Rotations, compared with hand-worked numbers and products of elementary rotations."""

from __future__ import annotations

from math import cos, pi, sin, sqrt
from typing import Any

import numpy as np
import pytest
import tf_transformations as tf
from hypothesis import given
from hypothesis import strategies as st

HALF = sqrt(0.5)
angles = st.floats(-pi, pi)
pitches = st.floats(-1.5, 1.5)  # away from the poles, where two angles describe one turn


def elementary(axis: str, angle: float) -> Any:
    """Return the right-handed rotation (3, 3) about one axis."""
    c, s = cos(angle), sin(angle)
    return np.array(
        {
            'x': [[1, 0, 0], [0, c, -s], [0, s, c]],
            'y': [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            'z': [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }[axis]
    )


def composed(ai: float, aj: float, ak: float, axes: str) -> Any:
    """Return the turns of an axes string: static ones act from the left, rotating ones follow."""
    first, second, third = (
        elementary(axis, angle) for axis, angle in zip(axes[1:], (ai, aj, ak), strict=True)
    )
    return third @ second @ first if axes[0] == 's' else first @ second @ third


@pytest.mark.parametrize(
    ('turns', 'expected'),
    [
        ((0, 0, 0), (0, 0, 0, 1)),
        ((pi / 2, 0, 0), (HALF, 0, 0, HALF)),
        ((0, pi / 2, 0), (0, HALF, 0, HALF)),
        ((0, 0, pi / 2), (0, 0, HALF, HALF)),
        ((-pi / 2, 0, -pi / 2), (-0.5, 0.5, -0.5, 0.5)),  # REP 103: body to optical frame
    ],
)
def test_quaternion_from_roll_pitch_yaw(turns: Any, expected: Any) -> None:
    quaternion = tf.quaternion_from_euler(*turns)
    np.testing.assert_allclose(quaternion, expected, atol=1e-12)


def test_optical_frame_looks_along_the_x_axis_of_the_body() -> None:
    matrix = tf.quaternion_matrix([-0.5, 0.5, -0.5, 0.5])
    np.testing.assert_allclose(matrix @ [0, 0, 1, 1], [1, 0, 0, 1], atol=1e-12)  # z is forward
    np.testing.assert_allclose(matrix @ [1, 0, 0, 1], [0, -1, 0, 1], atol=1e-12)  # x is right
    np.testing.assert_allclose(matrix @ [0, 1, 0, 1], [0, 0, -1, 1], atol=1e-12)  # y is down


@pytest.mark.parametrize('axes', ['sxyz', 'szyx', 'syxz', 'sxyx', 'rxyz', 'rzyx', 'rzxz'])
@given(ai=angles, aj=angles, ak=angles)
def test_euler_matrix_is_the_product_of_its_turns(
    axes: str, ai: float, aj: float, ak: float
) -> None:
    expected = np.eye(4)
    expected[:3, :3] = composed(ai, aj, ak, axes)
    np.testing.assert_allclose(tf.euler_matrix(ai, aj, ak, axes), expected, atol=1e-9)
    quaternion = tf.quaternion_from_euler(ai, aj, ak, axes)
    assert np.linalg.norm(quaternion) == pytest.approx(1)
    np.testing.assert_allclose(tf.quaternion_matrix(quaternion), expected, atol=1e-9)


@given(roll=angles, pitch=pitches, yaw=angles)
def test_euler_angles_come_back(roll: float, pitch: float, yaw: float) -> None:
    x, y, z = tf.euler_from_quaternion(tf.quaternion_from_euler(roll, pitch, yaw))
    np.testing.assert_allclose(
        composed(x, y, z, 'sxyz'), composed(roll, pitch, yaw, 'sxyz'), atol=1e-7
    )
    assert y == pytest.approx(pitch, abs=1e-6)


def test_euler_from_quaternion_by_hand_in_both_conventions() -> None:
    yaw_then_roll = tf.quaternion_from_euler(0.3, 0.2, 0.1)
    assert tf.euler_from_quaternion(yaw_then_roll) == pytest.approx((0.3, 0.2, 0.1))
    assert tf.euler_from_quaternion(yaw_then_roll, 'rzyx') == pytest.approx((0.1, 0.2, 0.3))
    assert tf.euler_from_quaternion([0, 0, HALF, HALF]) == pytest.approx((0, 0, pi / 2))


def test_quaternion_matrix_by_hand() -> None:
    quarter_turn_about_z = [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    for length in (1, 3):
        matrix = tf.quaternion_matrix(np.array([0, 0, HALF, HALF]) * length)
        np.testing.assert_allclose(matrix, quarter_turn_about_z, atol=1e-12)


@given(ai=angles, aj=angles, ak=angles)
def test_quaternion_from_matrix_is_the_inverse_up_to_sign(ai: float, aj: float, ak: float) -> None:
    quaternion = np.asarray(tf.quaternion_from_euler(ai, aj, ak))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = composed(ai, aj, ak, 'sxyz'), [1, 2, 3]
    back = np.asarray(tf.quaternion_from_matrix(matrix))
    assert abs(back @ quaternion) == pytest.approx(1, abs=1e-9)


def test_translation_and_product_and_inverse() -> None:
    move = tf.translation_matrix([1, 2, 3])
    np.testing.assert_array_equal(move @ [0, 0, 0, 1], [1, 2, 3, 1])
    turn = tf.euler_matrix(0, 0, pi / 2)
    both = tf.concatenate_matrices(move, turn)  # turns first, then moves
    np.testing.assert_allclose(both @ [1, 0, 0, 1], [1, 3, 3, 1], atol=1e-12)
    np.testing.assert_allclose(
        tf.inverse_matrix(both),
        [[0, 1, 0, -2], [-1, 0, 0, 1], [0, 0, 1, -3], [0, 0, 0, 1]],
        atol=1e-12,
    )
    np.testing.assert_array_equal(tf.concatenate_matrices(), np.eye(4))


def test_singular_matrix_has_no_inverse() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        tf.inverse_matrix(np.zeros((4, 4)))
