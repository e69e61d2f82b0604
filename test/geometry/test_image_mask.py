"""Which pixels count: regions, polygons and pictures, with what is impossible."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s2m2_ros.errors import S2M2Error
from s2m2_ros.geometry import RegionOfInterest
from s2m2_ros.geometry.image_mask import (
    ImageMask,
    MaskError,
    kept_by_picture,
    polygons_from_numbers,
    roi_from_numbers,
)

SQUARE = [1.0, 1.0, 3.0, 1.0, 3.0, 3.0, 1.0, 3.0]
TRIANGLE = [5.0, 0.0, 7.0, 0.0, 5.0, 2.0]


def kept(*, roi: tuple[int, ...] = (), polygon: list[float] | None = None) -> list[str]:
    """Return rows of an 8x4 image, `#` where a pixel counts."""
    mask = ImageMask(roi_from_numbers(roi), polygons_from_numbers(polygon or []))
    return [''.join('#' if k else '.' for k in row) for row in mask.kept(8, 4)]


def test_nothing_asked_for_keeps_all() -> None:
    assert ImageMask().keeps_all
    assert ImageMask(roi_from_numbers([0, 0, 0, 0])).keeps_all
    assert not ImageMask(roi_from_numbers([0, 0, 0, 1])).keeps_all
    assert ImageMask().kept(3, 2).all()


def test_a_region() -> None:
    assert kept(roi=(2, 1, 3, 2)) == ['........', '..###...', '..###...', '........']


def test_zero_reaches_to_the_edge() -> None:
    assert kept(roi=(6, 0, 0, 2)) == ['......##', '......##', '........', '........']
    assert ImageMask(roi_from_numbers((6, 1, 0, 0))).window(8, 4) == RegionOfInterest(6, 1, 2, 3)


def test_a_polygon_leaves_out_its_edges_too() -> None:
    assert kept(polygon=SQUARE) == ['########', '#...####', '#...####', '#...####']


def test_several_polygons_closed_or_not() -> None:
    expected = ['#####...', '#...#..#', '#...#.##', '#...####']
    for closing in ([], SQUARE[:2]):
        assert kept(polygon=[*TRIANGLE, *TRIANGLE[:2], *SQUARE, *closing]) == expected


def test_polygons_that_overlap_leave_out_both() -> None:
    """Not even and odd, which would keep what two of them cover."""
    wide = [0.0, 0.0, 7.0, 0.0, 7.0, 2.0, 0.0, 2.0]
    assert kept(polygon=[*SQUARE, *SQUARE[:2], *wide]) == ['........'] * 3 + ['#...####']


def test_a_polygon_that_crosses_itself_leaves_out_all_that_it_encloses() -> None:
    """A pentagram goes around its middle twice, which is no reason to keep it."""
    corners = [(20 + 15 * math.sin(a), 20 - 15 * math.cos(a)) for a in np.arange(5) * 0.8 * np.pi]
    mask = ImageMask(polygons=(tuple(corners),)).kept(40, 40)
    inner = 15 * math.cos(0.4 * np.pi)  # the radius of the circle within the pentagon
    y, x = np.mgrid[:40, :40]
    distance = np.hypot(x - 20, y - 20)
    assert not mask[distance < inner].any()
    assert mask[distance > 16].all()


def test_a_hole_that_a_polygon_goes_around_stays() -> None:
    """The outline is walked one way and that of the hole the other way, over a cut."""
    outer = [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0), (0.0, 0.0)]
    hole = [(3.0, 3.0), (3.0, 6.0), (6.0, 6.0), (6.0, 3.0), (3.0, 3.0)]
    mask = ImageMask(polygons=((*outer, *hole),)).kept(10, 10)
    # Both ways of the cut end in (0, 0); its pixels are edges.
    assert mask[4:6, 4:6].all()
    assert mask.sum() == 4


@given(
    corners=st.lists(st.tuples(st.integers(-5, 25), st.integers(-5, 20)), min_size=3, max_size=8)
)
@example(corners=[(0, 0), (0, 3), (24, 0)])  # (8, 2) lies on an edge
def test_what_the_edges_turn_around_is_left_out(corners: list[tuple[int, int]]) -> None:
    """The angles by which the corners pass around a pixel add up to whole turns."""
    try:
        mask = ImageMask(polygons=(tuple((float(x), float(y)) for x, y in corners),)).kept(20, 15)
    except MaskError:
        return  # no pixel, or none left
    y, x = np.mgrid[:15, :20]
    spokes = [(cx - x) + 1j * (cy - y) for cx, cy in corners]
    with np.errstate(invalid='ignore', divide='ignore'):
        angles = [np.angle(b / a) for a, b in itertools.pairwise([*spokes, spokes[0]])]
    turned = np.nan_to_num(np.sum(angles, axis=0)) / (2 * np.pi)
    assert not mask[np.abs(turned) > 0.75].any()


def test_a_polygon_may_reach_over_the_edge() -> None:
    assert kept(polygon=[-9.0, 2.0, 90.0, 2.0, 90.0, 90.0, -9.0, 90.0]) == [
        '########', '########', '........', '........',
    ]  # fmt: skip


@given(
    x=st.integers(0, 6),
    y=st.integers(0, 2),
    width=st.integers(1, 8),
    height=st.integers(1, 4),
)
def test_a_rectangle_is_the_same_as_polygon(x: int, y: int, width: int, height: int) -> None:
    right, bottom = x + width, y + height
    corners: list[float] = [x, y, right, y, right, bottom, x, bottom]
    expected = np.ones((9, 16), bool)
    expected[y : bottom + 1, x : right + 1] = False
    found = ImageMask(polygons=polygons_from_numbers(corners)).kept(16, 9)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    'roi', [(0, 0, 9, 4), (0, 0, 8, 5), (8, 0, 0, 0), (0, 4, 0, 0), (7, 0, 2, 1)]
)
def test_a_region_outside_of_the_image_names_both(roi: tuple[int, ...]) -> None:
    with pytest.raises(MaskError, match=rf'roi = \[{roi[0]}, .*\] .* 8x4 pixels'):
        kept(roi=roi)


@pytest.mark.parametrize('roi', [(1,), (1, 2, 3), (1, 2, 3, 4, 5)])
def test_a_region_needs_four_numbers(roi: tuple[int, ...]) -> None:
    with pytest.raises(MaskError, match='four integers'):
        roi_from_numbers(roi)


@pytest.mark.parametrize('roi', [(-1, 0, 2, 2), (0, 0, -2, 2), (0, 0, 2**40, 1)])
def test_a_region_of_impossible_numbers(roi: tuple[int, ...]) -> None:
    with pytest.raises(MaskError, match='must be 0 to 65536'):
        roi_from_numbers(roi)


@pytest.mark.parametrize(
    ('numbers', 'reason'),
    [
        ([1.0, 2.0, 3.0], 'no pairs of x and y'),
        ([1.0, 2.0, 3.0, 4.0], 'needs three'),
        ([1.0, 1.0, 2.0, 2.0, 2.0, 2.0], 'needs three'),
        ([*SQUARE, *SQUARE[:2], 5.0, 5.0], 'polygon 2 .* needs three'),
        ([float(n % 7) for n in range(2002)], '1001 corners are more than 1000'),
        ([math.nan, 2.0, 3.0, 4.0, 5.0, 6.0], 'within 65536'),
        ([math.inf, 2.0, 3.0, 4.0, 5.0, 6.0], 'within 65536'),
        ([1e6, 2.0, 3.0, 4.0, 5.0, 6.0], 'within 65536'),
    ],
)
def test_impossible_polygons(numbers: list[float], reason: str) -> None:
    with pytest.raises(MaskError, match=reason):
        polygons_from_numbers(numbers)


def test_a_polygon_outside_of_the_image_is_named() -> None:
    far = [20.0, 20.0, 30.0, 20.0, 30.0, 30.0]
    with pytest.raises(MaskError, match=r'polygon 2 .* outside .* 8x4'):
        kept(polygon=[*SQUARE, *SQUARE[:2], *far])


def test_what_leaves_nothing_is_an_error() -> None:
    everything = [0.0, 0.0, 7.0, 0.0, 7.0, 3.0, 0.0, 3.0]
    with pytest.raises(MaskError, match='no pixel'):
        kept(polygon=everything)
    with pytest.raises(MaskError, match='no pixel'):
        kept(roi=(1, 1, 2, 2), polygon=SQUARE)


def test_a_picture_of_another_size_names_both() -> None:
    mask = ImageMask(picture=np.ones((6, 7), bool))
    with pytest.raises(MaskError, match=r'7x6 pixels .* 8x4'):
        mask.kept(8, 4)
    assert issubclass(MaskError, S2M2Error)


def test_a_picture_region_and_polygon_together() -> None:
    picture = np.ones((4, 8), bool)
    picture[:, 7] = False
    mask = ImageMask(roi_from_numbers([0, 2, 0, 0]), polygons_from_numbers(SQUARE), picture)
    rows = [''.join('#' if k else '.' for k in row) for row in mask.kept(8, 4)]
    assert rows == ['........', '........', '#...###.', '#...###.']


@pytest.mark.parametrize(
    ('pixels', 'expected'),
    [
        ([[0, 255, 90, 200]], [[False, True, False, True]]),  # noise of a JPEG
        ([[0, 1, 1, 0]], [[False, True, True, False]]),  # labels
        ([[[0, 0, 0], [255, 0, 0], [1, 2, 3], [9, 200, 9]]], [[False, True, False, True]]),
    ],
)
def test_black_is_left_out(pixels: list[object], expected: list[list[bool]]) -> None:
    assert kept_by_picture(np.array(pixels, np.uint8)).tolist() == expected


def test_pictures_of_other_types() -> None:
    assert kept_by_picture(np.array([[0, 65535]], np.uint16)).tolist() == [[False, True]]
    values = np.array([[0.0, 1.0, math.nan, math.inf]], np.float32)
    assert kept_by_picture(values).tolist() == [[False, True, False, True]]
    with pytest.raises(MaskError, match='black everywhere'):
        kept_by_picture(np.zeros((2, 2), np.uint8))


def test_a_picture_that_leaves_nothing_out_is_noted() -> None:
    picture = np.ones((4, 8), bool)
    assert ImageMask().notes == ()
    assert 'leaves out no pixel' in ImageMask(picture=picture).notes[0]
    picture[0, 0] = False
    assert ImageMask(picture=picture).notes == ()
