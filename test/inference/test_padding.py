"""Padding: published check numbers, and undone exactly for every size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from s2m2_ros.inference.padding import Padding, PaddingMode

SIDES = st.integers(32, 200)


def test_check_numbers_of_a_constant_image() -> None:
    padding = Padding(100, 150)
    padded = padding.pad(torch.full((1, 1, 100, 150), 200, dtype=torch.uint8))[0, 0]
    assert padded.shape == (128, 160)
    assert (padding.top, padding.left) == (14, 5)
    assert padded[0, 0].item() == pytest.approx(118.0, abs=0.05)
    assert padded[64, 0].item() == pytest.approx(174.3, abs=0.05)
    assert padded[0, 80].item() == pytest.approx(134.9, abs=0.05)


def test_padding_matches_bins_and_resize_worked_out_one_by_one() -> None:
    # 32 x 33: padded by 15 left, 16 right; one bin over all of that image, so the padding is
    # its mean: half of it holds the image, 33 of 64 columns.
    padded = Padding(32, 33).pad(torch.full((1, 1, 32, 33), 64.0))[0, 0]
    assert padded.shape == (32, 64)
    assert padded[:, 0].tolist() == [33.0] * 32
    assert padded[:, 15].tolist() == [64.0] * 32
    assert padded[:, 48].tolist() == [33.0] * 32


def test_bottom_right_repeats_the_right_and_lower_edges() -> None:
    rows = torch.arange(33.0)[:, None] * 100
    image = (rows + torch.arange(40.0))[None, None].to(torch.int16)
    padded = Padding(33, 40, 'bottom_right').pad(image)[0, 0]
    assert padded.shape == (64, 64)
    # Row 10 ends with 1039, the last row is 3200 to 3239.
    assert padded[10, 38:].tolist() == [1038.0] + [1039.0] * 25
    assert padded[32:, 5].tolist() == [3205.0] * 32
    assert padded[63, 63].item() == 3239.0


@settings(deadline=None)
@given(
    height=SIDES,
    width=SIDES,
    count=st.integers(1, 2),
    channels=st.sampled_from([1, 3]),
    mode=st.sampled_from(['center', 'bottom_right']),
)
def test_cropping_undoes_padding_exactly(
    *, height: int, width: int, count: int, channels: int, mode: PaddingMode
) -> None:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    images = torch.rand(count, channels, height, width, generator=generator) * 255
    padding = Padding(height, width, mode)
    padded = padding.pad(images)
    assert padded.dtype == torch.float32
    assert padded.shape[:2] == (count, channels)
    assert padded.shape[2] % 32 == padded.shape[3] % 32 == 0
    assert 0 <= padded.shape[2] - height < 32
    assert 0 <= padded.shape[3] - width < 32
    assert torch.equal(padding.crop(padded), images)


@settings(deadline=None)
@given(height=SIDES, width=SIDES)
def test_padding_follows_the_published_steps(height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    images = torch.rand(1, 3, height, width, generator=generator) * 255
    padding = Padding(height, width)
    rows, columns = padding.padded_height, padding.padded_width
    sides = (
        padding.left,
        columns - width - padding.left,
        padding.top,
        rows - height - padding.top,
    )
    zeros_around = functional.pad(images, sides)
    coarse = functional.adaptive_avg_pool2d(zeros_around, (height // 32, width // 32))
    expected = functional.interpolate(coarse, (rows, columns), mode='bilinear')
    padding.crop(expected).copy_(images)
    assert torch.allclose(padding.pad(images), expected, atol=1e-3)


@settings(deadline=None)
@given(height=SIDES, width=SIDES)
def test_the_odd_pixel_goes_below_and_to_the_right(height: int, width: int) -> None:
    padding = Padding(height, width)
    below = padding.padded_height - height - padding.top
    right = padding.padded_width - width - padding.left
    assert below - padding.top in (0, 1)
    assert right - padding.left in (0, 1)


def test_multiples_of_32_are_unchanged() -> None:
    images = torch.rand(1, 3, 64, 96)
    assert torch.equal(Padding(64, 96).pad(images), images)
