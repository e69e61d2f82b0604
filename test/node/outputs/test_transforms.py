"""Poses as geometry understands them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped

from s2m2_ros.node.outputs.transforms import rigid_transform, rigid_transform_from_message


def test_quarter_turn_about_z() -> None:
    half = math.sqrt(0.5)
    transform = rigid_transform((1.0, 2.0, 3.0), (0.0, 0.0, half, half), frame_id='map')
    expected = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(transform.rotation, np.array(expected), atol=1e-12)
    assert list(transform.translation) == [1.0, 2.0, 3.0]
    assert transform.frame_id == 'map'


def test_optical_frame_into_body_frame() -> None:
    # REP 103: optical z is forward (body x), x is right (body -y), y is down (body -z).
    transform = rigid_transform((0.0, 0.0, 0.0), (-0.5, 0.5, -0.5, 0.5), frame_id='base')
    expected = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    np.testing.assert_allclose(transform.rotation, np.array(expected), atol=1e-12)


def test_message() -> None:
    message = TransformStamped()
    message.header.frame_id = 'odom'
    message.child_frame_id = 'left_optical'
    message.transform.translation.y = 4.0
    message.transform.rotation.x = 2.0  # any length turns the same way
    message.transform.rotation.w = 0.0
    transform = rigid_transform_from_message(message)
    assert transform.frame_id == 'odom'
    assert list(transform.translation) == [0.0, 4.0, 0.0]
    expected = np.diag([1.0, -1.0, -1.0])
    np.testing.assert_allclose(transform.rotation, expected, atol=1e-12)


@pytest.mark.parametrize('quaternion', [(0.0, 0.0, 0.0, 0.0), (math.nan, 0.0, 0.0, 1.0)])
def test_impossible_poses_are_refused(quaternion: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match='no pose'):
        rigid_transform((0.0, 0.0, 0.0), quaternion, frame_id='map')
