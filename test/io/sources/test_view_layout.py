"""One image with both views, split into its halves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.errors import ImageError
from s2m2_ros.io.sources.view_layout import ViewLayout, layout_named, split_views, view_size

JOINED = {ViewLayout.SIDE_BY_SIDE: np.hstack, ViewLayout.TOP_BOTTOM: np.vstack}


@given(
    st.sampled_from(list(JOINED)), st.integers(1, 9), st.integers(1, 9), st.sampled_from([0, 1, 3])
)
def test_what_was_joined_is_split_without_a_copy(
    layout: ViewLayout, height: int, width: int, channels: int
) -> None:
    shape = (height, width, channels) if channels else (height, width)
    left = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    joined = JOINED[layout]((left, 255 - left))
    first, second = split_views(joined, layout)
    np.testing.assert_array_equal(first, left)
    np.testing.assert_array_equal(second, 255 - left)
    assert np.shares_memory(first, joined)
    assert view_size((joined.shape[1], joined.shape[0]), layout) == (width, height)


@pytest.mark.parametrize(
    ('shape', 'layout', 'words'),
    [
        ((4, 7), ViewLayout.SIDE_BY_SIDE, '7x4: its width must be even'),
        ((5, 8), ViewLayout.TOP_BOTTOM, '8x5: its height must be even'),
        ((4, 0), ViewLayout.SIDE_BY_SIDE, 'width'),
        ((4, 8), ViewLayout.TWO_TOPICS, 'nothing to split'),
        ((4,), ViewLayout.SIDE_BY_SIDE, 'dimensions'),
    ],
)
def test_what_cannot_be_split_is_said(
    shape: tuple[int, ...], layout: ViewLayout, words: str
) -> None:
    with pytest.raises(ImageError, match=words):
        split_views(np.zeros(shape, np.uint8), layout)


def test_layouts_are_named_as_in_parameters() -> None:
    assert layout_named('top_bottom') is ViewLayout.TOP_BOTTOM
    assert not layout_named('two_topics').in_one_image
    with pytest.raises(ImageError, match="two_topics, side_by_side, top_bottom, not 'sbs'"):
        layout_named('sbs')
