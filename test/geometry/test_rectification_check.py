"""What sparse features tell of two views that were moved on purpose."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from s2m2_ros.geometry.rectification_check import (
    Examination,
    ViewOrder,
    examine,
    rectification_helps,
)
from support.stereo_scene import CX_LEFT, CX_RIGHT, PlaneScene

OFFSET = CX_LEFT - CX_RIGHT


def views(width: int = 640, height: int = 480) -> tuple[np.ndarray, np.ndarray]:
    """Return a pair whose texture has corners at a scale that survives shrinking."""
    left, right = PlaneScene(width=width // 2, height=height // 2).images()
    size = (width, height)
    return cv2.resize(left, size), cv2.resize(right, size)


def moved(image: np.ndarray, *, down: float = 0.0, degrees: float = 0.0) -> np.ndarray:
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    matrix[1, 2] += down
    return np.asarray(
        cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=1)
    )


def test_a_rectified_pair_is_fine() -> None:
    found = examine(*views(), disparity_offset=2 * OFFSET)
    assert found.matches >= 30
    assert abs(found.vertical_offset) < 0.2
    assert found.vertical_spread < 0.5
    assert not found.swapped


@pytest.mark.parametrize('down', [-6.0, 1.5, 12.0])
@pytest.mark.parametrize('width', [640, 1280])
def test_a_vertical_offset_is_measured(down: float, width: int) -> None:
    left, right = views(width, width * 3 // 4)
    found = examine(left, moved(right, down=down))
    # Moved down, the right view's rows are larger: y_left - y_right = -down.
    assert found.vertical_offset == pytest.approx(-down, abs=0.3)


def test_a_turned_camera_spreads_the_offsets() -> None:
    left, right = views()
    found = examine(left, moved(right, degrees=1.5))
    # At 1.5 degrees rows move by 0.026 px for each pixel from the middle: +-8 px at the sides.
    assert found.vertical_spread > 2


def test_swapped_views_are_noticed() -> None:
    left, right = views()
    assert examine(right, left).swapped
    assert not examine(left, right).swapped


def test_the_principal_points_count() -> None:
    left, right = views()
    # Disparities reach from 32 to 80 px here: with this offset all lie beyond infinity.
    assert examine(left, right, disparity_offset=100.0).swapped


def test_views_turned_together_look_swapped() -> None:
    # Both cameras upside down: that is what exchanged cameras look like, too.
    left, right = (np.ascontiguousarray(view[::-1, ::-1]) for view in views())
    assert examine(left, right).order is ViewOrder.SWAPPED
    assert examine(right, left).order is ViewOrder.CORRECT


def test_far_points_alone_do_not_show_the_order() -> None:
    left, _ = views()
    shift = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    right = cv2.warpAffine(left, shift, (640, 480), borderMode=cv2.BORDER_REPLICATE)
    # 1 px beyond infinity, on every point: too little to say so.
    assert examine(left, np.asarray(right)).order is ViewOrder.UNKNOWN


@pytest.mark.parametrize(('turns', 'degrees'), [(1, 90), (2, 180)])
def test_one_view_turned_against_the_other_is_noticed(turns: int, degrees: int) -> None:
    left, right = (np.ascontiguousarray(view[:, 80:560]) for view in views())
    found = examine(left, np.ascontiguousarray(np.rot90(right, turns)))
    assert abs(found.rotation) == pytest.approx(degrees, abs=2)
    assert not found.unrelated


def test_blank_images_say_nothing() -> None:
    blank = np.full((480, 640), 90, np.uint8)
    found = examine(blank, blank)
    assert found.matches == 0
    assert found.content.left_blank and found.content.right_blank
    assert found.order is ViewOrder.UNKNOWN


def test_unrelated_images_are_noticed_and_say_nothing_else() -> None:
    other = PlaneScene(width=640, height=480).images(seed=99)[1]
    found = examine(views()[0], other)
    assert found.unrelated
    assert math.isnan(found.vertical_offset)
    assert not found.swapped
    assert not examine(*views()).unrelated


def test_whether_rectification_helps_shows_in_the_rows() -> None:
    straight, off = Examination(100, 0.1, 0.2), Examination(100, 3.0, 2.0)
    assert rectification_helps(off, straight) is True
    assert rectification_helps(straight, off) is False
    assert rectification_helps(Examination(5), straight) is True
    assert rectification_helps(straight, Examination(5)) is None
