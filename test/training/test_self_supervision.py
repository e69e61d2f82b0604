"""Learning from pairs without truth, on pairs whose answer is known."""

from __future__ import annotations

import torch
from torch import Tensor

from s2m2_ros.training.self_supervision import (
    PhotometricWeights,
    consistent,
    photometric_difference,
    smoothness,
    warp,
)

WEIGHTS = PhotometricWeights()
HEIGHT, WIDTH, SHIFT = 24, 64, 6


def pair() -> tuple[Tensor, Tensor]:
    """Return smooth images (1, 3, H, W), 0..1, of constant disparity."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((1, 3, HEIGHT // 4, (WIDTH + SHIFT) // 4 + 1), generator=generator)
    wide = torch.nn.functional.interpolate(
        noise, (HEIGHT, WIDTH + SHIFT), mode='bilinear', align_corners=True
    )
    return wide[..., :WIDTH], wide[..., SHIFT:]


def maps(disparity: float) -> Tensor:
    return torch.full((1, 1, HEIGHT, WIDTH), float(disparity))


def test_the_right_image_warped_by_the_truth_is_the_left_one() -> None:
    left, right = pair()
    inner = slice(SHIFT, None)
    assert torch.equal(warp(right, maps(SHIFT))[..., inner], left[..., inner])
    # Half a pixel is the mean of two columns.
    row = torch.tensor([0.0, 10.0, 20.0, 40.0]).expand(1, 1, 1, 4)
    half = warp(row, torch.full((1, 1, 1, 4), 0.5))
    assert half[0, 0, 0].tolist() == [0.0, 5.0, 15.0, 30.0]


def test_the_difference_is_least_at_the_truth_and_its_slope_leads_there() -> None:
    left, right = pair()
    inner = (..., slice(None), slice(16, None))

    def loss(disparity: Tensor) -> Tensor:
        return photometric_difference(left, warp(right, disparity), 0.85)[inner].mean()

    values = [float(loss(maps(d))) for d in (3.0, 4.5, 5.5, SHIFT, 6.5, 7.5, 9.0)]
    assert min(values) == values[3] < 1e-6
    assert values[:4] == sorted(values[:4], reverse=True)
    assert values[3:] == sorted(values[3:])
    for start, sign in ((SHIFT - 0.6, -1), (SHIFT + 0.6, 1)):
        disparity = maps(start).requires_grad_()
        torch.autograd.backward(loss(disparity))
        assert disparity.grad is not None
        assert float(disparity.grad.sum()) * sign > 0


def test_a_brighter_right_image_costs_less_than_another_surface() -> None:
    left, right = pair()
    brighter = photometric_difference(left, warp(right * 1.15, maps(SHIFT)), 0.85)[..., SHIFT:]
    elsewhere = photometric_difference(left, warp(right, maps(SHIFT + 3)), 0.85)[..., SHIFT + 3 :]
    assert float(brighter.mean()) < 0.3 * float(elsewhere.mean())


def test_masks_exclude_what_the_views_disagree_about() -> None:
    left = maps(SHIFT)
    right = maps(SHIFT)
    right[..., :, 20:30] = 12.0
    mask = consistent(left, right, WEIGHTS)[0, 0, 0]
    # Left columns 0 to 5 match outside, 26 to 35 match columns 20 to 29 of the right view.
    expected = [0.0] * 6 + [1.0] * 20 + [0.0] * 10 + [1.0] * (WIDTH - 36)
    assert mask.tolist() == expected


def test_smoothness_spares_edges_of_the_image() -> None:
    image = torch.zeros(1, 3, HEIGHT, WIDTH)
    image[..., 32:] = 1.0
    step_at_edge, step_elsewhere = maps(10.0), maps(10.0)
    step_at_edge[..., 32:] = 14.0
    step_elsewhere[..., 20:] = 14.0
    assert smoothness(maps(10.0), image) == 0
    assert smoothness(step_at_edge, image) < 0.01 * smoothness(step_elsewhere, image)
