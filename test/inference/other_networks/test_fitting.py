"""Images come to a network's size, and its disparity back, by ratios worked out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.errors import ImageError
from s2m2_ros.inference.other_networks.fitting import Fit, fit_for
from s2m2_ros.weights.other_networks import NetworkDescription


def fit(size: tuple[int, int], **given: object) -> Fit:
    return fit_for(NetworkDescription(**given), *size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ('given', 'size', 'inner', 'outer'),
    [
        ({}, (480, 640), (480, 640), (480, 640)),
        ({}, (481, 641), (481, 641), (512, 672)),
        ({'multiple': 1}, (481, 641), (481, 641), (481, 641)),
        ({'multiple': 64}, (480, 640), (480, 640), (512, 640)),
        # 720p in 640x480: half as large, 120 rows of padding.
        ({'height': 480, 'width': 640}, (720, 1280), (360, 640), (480, 640)),
        ({'height': 480, 'width': 640}, (240, 320), (480, 640), (480, 640)),
        ({'height': 480, 'width': 640, 'fit': 'pad'}, (240, 320), (240, 320), (480, 640)),
        ({'height': 480, 'width': 640, 'fit': 'pad'}, (720, 1280), (360, 640), (480, 640)),
        ({'height': 480, 'width': 640, 'fit': 'stretch'}, (720, 1280), (480, 640), (480, 640)),
        # Upright images are limited by the height: 480 / 960 of both sides.
        ({'height': 480, 'width': 640}, (960, 720), (480, 360), (480, 640)),
        ({'width': 640}, (720, 1280), (360, 640), (384, 640)),
        ({'fit': 'stretch'}, (490, 650), (480, 640), (480, 640)),
    ],
)
def test_sizes(
    given: dict[str, object],
    size: tuple[int, int],
    inner: tuple[int, int],
    outer: tuple[int, int],
) -> None:
    found = fit(size, **given)
    assert (found.inner_height, found.inner_width) == inner
    assert found.outer == outer
    assert found.disparity_scale == size[1] / inner[1]


def test_images_that_become_too_small_are_an_error() -> None:
    with pytest.raises(ImageError, match='2000x100 become 64x3'):
        fit((100, 2000), height=64, width=64)


def test_images_that_become_huge_are_an_error() -> None:
    # 2000x40 at a height of 8192 would be 409600 pixels wide.
    with pytest.raises(ImageError, match='become 409600x8192 for this network: more than'):
        fit((40, 2000), height=8192)


def test_the_padding_repeats_the_lower_and_right_edges() -> None:
    images = torch.arange(40.0).expand(1, 3, 40, 40)
    padded = fit((40, 40)).apply(images)
    assert padded.shape == (1, 3, 64, 64)
    assert torch.equal(padded[..., :40, :40], images)
    assert (padded[..., 40:] == 39).all()


@given(
    st.integers(101, 300),
    st.integers(101, 300),
    st.sampled_from(['resize', 'pad', 'stretch']),
    st.sampled_from([(0, 0), (96, 160), (0, 192), (256, 0)]),
)
def test_a_slope_comes_back_as_it_was(
    height: int, width: int, way: str, size: tuple[int, int]
) -> None:
    found = fit((height, width), height=size[0], width=size[1], fit=way)
    # The disparity a + b*x of the images, x from pixel centers, as the network would see it.
    columns = (torch.arange(found.outer_width) + 0.5) / found.disparity_scale**-1 - 0.5
    seen = (3 + 0.02 * columns) / found.disparity_scale
    maps = torch.stack([seen.expand(found.outer), torch.full(found.outer, 0.5)])
    back = found.undo(maps)
    assert back.shape == (2, height, width)
    expected = 3 + 0.02 * torch.arange(width)
    inside = slice(8, -8)
    assert torch.allclose(back[0, :, inside], expected[inside].expand(height, -1), atol=1e-3)
    assert (back[1] == 0.5).all()
