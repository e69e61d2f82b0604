"""The slanted view: what is near hides what is far, and the camera stands where it says."""

from __future__ import annotations

import numpy as np

from s2m2_ros.demo.render import BACKGROUND, View, render

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
STRAIGHT = View(to_the_right=0, above=0, distance=1.0, width=101, height=81)


def places(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Return the mean row and column of a color."""
    found = np.argwhere((picture == color).all(axis=2))
    assert len(found), f'no {color}'
    return np.asarray(found.mean(axis=0))


def cross(offset: float) -> np.ndarray:
    """Return (0, 0, 2), a point nearer and a point farther by offset."""
    return np.array([[0, 0, 2.0], [0, 0, 2.0 - offset], [0, 0, 2.0 + offset]], np.float32)


def test_straight_on_the_nearest_point_alone_is_seen() -> None:
    picture = render(cross(0.5), np.array([GREEN, RED, BLUE], np.uint8), STRAIGHT)
    seen = {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()}
    assert seen == {BACKGROUND, RED}
    assert np.abs(places(picture, RED) - [40.5, 50.5]).max() <= 1


def test_from_the_right_far_points_appear_to_the_right() -> None:
    view = View(to_the_right=30, above=0, distance=1.0, width=101, height=81)
    picture = render(cross(0.5), np.array([GREEN, RED, BLUE], np.uint8), view)
    assert places(picture, RED)[1] < places(picture, GREEN)[1] < places(picture, BLUE)[1]


def test_from_above_far_points_appear_higher() -> None:
    view = View(to_the_right=0, above=30, distance=1.0, width=101, height=81)
    picture = render(cross(0.5), np.array([GREEN, RED, BLUE], np.uint8), view)
    assert places(picture, BLUE)[0] < places(picture, GREEN)[0] < places(picture, RED)[0]


def test_a_point_lands_where_a_pinhole_camera_puts_it() -> None:
    # The middle, (0, 0, 2), is 2 m before the virtual camera; f = 50.5 / tan(31 degrees) = 84.05;
    # 0.4 m to the right at 2 m is 84.05 * 0.4 / 2 = 16.8 pixels right of the middle, 50.5.
    points = np.array([[0, 0, 2.0], [0, 0, 2.0], [0.4, 0, 2.0]], np.float32)
    picture = render(points, np.array([GREEN, GREEN, RED], np.uint8), STRAIGHT)
    assert abs(places(picture, RED)[1] - 67.3) <= 1


def test_no_points_no_picture() -> None:
    picture = render(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), STRAIGHT)
    assert (picture == BACKGROUND).all()
