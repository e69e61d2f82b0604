"""Working sizes, and bringing maps back to the images' size."""

from __future__ import annotations

import pytest
import torch

from s2m2_ros.errors import ImageError
from s2m2_ros.inference.backend import Maps
from s2m2_ros.inference.scaling import (
    finer_size,
    finer_where_trusted,
    resize_images,
    to_size,
    working_size,
)


@pytest.mark.parametrize(
    ('size', 'max_width', 'expected'),
    [
        ((480, 640), 0, (480, 640)),
        ((480, 640), 640, (480, 640)),
        ((480, 640), 320, (240, 320)),
        ((1080, 1920), 1000, (562, 1000)),  # 562.5 to even
    ],
)
def test_working_size_keeps_the_aspect(
    size: tuple[int, int], max_width: int, expected: tuple[int, int]
) -> None:
    assert working_size(*size, max_width) == expected


def test_working_size_too_small_is_refused() -> None:
    with pytest.raises(ImageError, match='64x20'):
        working_size(200, 640, 64)


def test_shrinking_averages_instead_of_dropping_pixels() -> None:
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::2] = 200
    small = resize_images(stripes, (32, 32))
    assert small.shape == (1, 1, 32, 32)
    assert small[0, 0, 16, 4:-4].tolist() == pytest.approx([100.0] * 24, abs=30)


def test_enlarged_images_are_smooth_and_keep_their_range() -> None:
    edge = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    edge[..., 16:] = 255
    large = resize_images(edge, (64, 64))
    assert large.dtype == torch.float32
    # Bicubic overshoots at an edge; images do not hold that.
    assert (large.min().item(), large.max().item()) == (0.0, 255.0)
    ramp = torch.arange(32.0).expand(1, 1, 32, 32)
    # At column x of the large image lies (x + 0.5) / 2 - 0.5 of the small one.
    expected = (torch.arange(64.0)[6:-6] + 0.5) / 2 - 0.5
    assert resize_images(ramp, (64, 64))[0, 0, 9, 6:-6].tolist() == pytest.approx(
        expected.tolist(), abs=1e-4
    )


@pytest.mark.parametrize(
    ('max_width', 'upsampling', 'expected'),
    [
        (0, 2.0, (960, 1280)),
        (0, 1.0, (480, 640)),
        (0, 1.5, (720, 960)),
        (1000, 2.0, (750, 1000)),
        (640, 2.0, (480, 640)),
        (320, 4.0, (480, 640)),
    ],
)
def test_the_finer_size_is_limited_by_the_width(
    max_width: int, upsampling: float, expected: tuple[int, int]
) -> None:
    assert finer_size(480, 640, max_width, upsampling) == expected


def test_the_finer_result_counts_unless_the_other_is_much_more_trusted() -> None:
    unknown = float('nan')
    one = Maps(*torch.tensor([[[10.0, 11, 12, unknown, 14]], [[0.1] * 5], [[0.9, 0.9, 0, 1, 0]]]))
    finer = Maps(
        *torch.tensor([[[20.0, 21, 22, 23, unknown]], [[0.2] * 5], [[0.85, 0.7, 0, 0, 1]]])
    )
    both = finer_where_trusted(one, finer)
    assert both.disparity.tolist() == [[20, 11, 22, 23, 14]]
    assert both.visibility[0].tolist() == pytest.approx([0.2, 0.1, 0.2, 0.2, 0.1])
    assert both.confidence[0].tolist() == pytest.approx([0.85, 0.9, 0, 0, 0])


def constant_maps(disparity: torch.Tensor) -> Maps:
    return Maps(disparity, torch.full_like(disparity, 0.25), torch.full_like(disparity, 0.5))


def test_disparity_is_scaled_by_the_ratio_of_the_widths() -> None:
    maps = to_size(constant_maps(torch.full((1, 32, 40), 8.0)), (64, 100))
    assert maps.disparity.shape == (1, 64, 100)
    assert torch.allclose(maps.disparity, torch.tensor(20.0))
    assert torch.allclose(maps.visibility, torch.tensor(0.25))
    assert torch.allclose(maps.confidence, torch.tensor(0.5))


def test_a_slope_stays_a_slope() -> None:
    ramp = (0.5 * torch.arange(40.0)).expand(1, 32, 40)
    enlarged = to_size(constant_maps(ramp), (64, 80)).disparity[0, 10, 2:-2]
    # At column x of the large image lies (x + 0.5) / 2 - 0.5 of the small one.
    expected = 2 * 0.5 * ((torch.arange(80.0)[2:-2] + 0.5) / 2 - 0.5)
    assert torch.allclose(enlarged, expected, atol=1e-5)


def test_no_disparity_is_invented_between_foreground_and_background() -> None:
    step = torch.full((1, 32, 40), 2.0)
    step[..., 20:] = 30.0
    enlarged = to_size(constant_maps(step), (64, 80)).disparity
    assert set(enlarged.flatten().tolist()) == {4.0, 60.0}


def test_unknown_pixels_do_not_spread() -> None:
    disparity = torch.full((1, 32, 40), 2.0)
    disparity[0, 10, 20] = torch.nan
    enlarged = to_size(constant_maps(disparity), (64, 80)).disparity
    assert enlarged.isnan().nonzero().tolist() == [
        [0, row, column] for row in (20, 21) for column in (40, 41)
    ]
