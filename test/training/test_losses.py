"""Losses against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from s2m2_ros.network import Prediction
from s2m2_ros.training.batch import StereoBatch
from s2m2_ros.training.losses import (
    LossWeights,
    cell_error,
    concentration_loss,
    confidence_loss,
    cross_entropy,
    masked_mean,
    pixel_error,
    soften,
    true_columns,
    visibility_loss,
)

WEIGHTS = LossWeights()


def make_truth(disparity: Tensor, visibility: Tensor | None = None) -> StereoBatch:
    ones = torch.ones_like(disparity)
    images = ones.expand(-1, 3, -1, -1)
    return StereoBatch(
        left=images,
        right=images,
        disparity=disparity,
        visibility=ones if visibility is None else visibility,
        valid=ones,
        labeled=ones,
    )


def test_true_columns_of_a_cell() -> None:
    # One row of three cells; cell 2 holds pixels 8 to 11. Disparities of 4 px put all of its
    # pixels into column 1; in half of its rows a disparity of 8 px puts them into column 0.
    disparity = torch.full((1, 1, 4, 12), 4.0)
    disparity[..., 2:, 8:] = 8.0
    allowed, counted = true_columns(make_truth(disparity), 3, neighbors=0)
    assert allowed[0, 0, 2].tolist() == [True, True, False]
    assert allowed[0, 0, 1].tolist() == [True, False, False]
    assert allowed[0, 0, 0].tolist() == [False, False, False]
    assert counted.tolist() == [[[True, True, True]]]


def test_fractional_disparity_rounds_to_the_cell_of_the_match() -> None:
    # Pixels 4 to 7 less 2.4 px lie at 1.6, 2.6, 3.6 and 4.6. Cells meet at 3.5, so the first
    # two match column 0 and the others column 1.
    disparity = torch.full((1, 1, 4, 8), 2.4)
    visible = torch.zeros_like(disparity)
    visible[..., 4:6] = 1.0
    allowed, counted = true_columns(make_truth(disparity, visible), 2, neighbors=0)
    assert allowed[0, 0, 1].tolist() == [True, False]
    assert counted[0, 0].tolist() == [False, True]
    visible[..., 6] = 1.0
    allowed, _ = true_columns(make_truth(disparity, visible), 2, neighbors=0)
    assert allowed[0, 0, 1].tolist() == [True, True]


def test_neighbors_of_a_true_column_count_once_and_within_the_row() -> None:
    truth = make_truth(torch.full((1, 1, 4, 16), 12.0))
    allowed, _ = true_columns(truth, 4, neighbors=1)
    assert allowed[0, 0, 3].tolist() == [True, True, False, False]


def test_concentration_loss_by_hand() -> None:
    # Two cells of one row; disparity 0, so cell i matches column i. No neighbors.
    truth = make_truth(torch.zeros(1, 1, 4, 8))
    probability = torch.tensor([[[[0.5, 0.1], [0.0, 0.99]]]])
    weights = LossWeights(neighbors=0, slack=0.05)
    # max(1 - 0.5 - 0.05, 0) = 0.45 and max(1 - 0.99 - 0.05, 0) = 0; mean 0.225.
    assert float(concentration_loss(probability, truth, weights)) == pytest.approx(0.225)
    # With one neighbor cell 0 may also take column 1: 1 - 0.6 - 0.05 = 0.35; mean 0.175.
    assert float(concentration_loss(probability, truth, WEIGHTS)) == pytest.approx(0.175)


def test_occluded_cells_do_not_count_in_the_concentration() -> None:
    visible = torch.ones(1, 1, 4, 8)
    visible[..., :4] = 0
    truth = make_truth(torch.zeros(1, 1, 4, 8), visible)
    probability = torch.tensor([[[[0.0, 0.0], [0.0, 0.75]]]])
    weights = LossWeights(neighbors=0, slack=0.05)
    assert float(concentration_loss(probability, truth, weights)) == pytest.approx(0.2)


def test_cell_error_scales_to_pixels_and_softens_wild_ones() -> None:
    truth = make_truth(torch.full((1, 1, 4, 8), 8.0))
    quarter = torch.tensor([[[[2.5, 100.0]]]])
    counted = torch.ones(1, 1, 4, 8)
    # 4 * 2.5 = 10, off by 2; the other is off by 392 px and counts 24 (1 + ln(392 / 24)).
    wild = 24 * (1 + math.log(392 / 24))
    expected = pytest.approx((2 + wild) / 2, rel=1e-5)
    assert float(cell_error(quarter, truth, counted, WEIGHTS)) == expected
    counted[..., 4:] = 0
    assert float(cell_error(quarter, truth, counted, WEIGHTS)) == pytest.approx(2.0)
    full = torch.full((1, 1, 4, 8), 7.0)
    assert float(pixel_error(full, truth, counted, WEIGHTS)) == pytest.approx(1.0)


def test_a_wild_error_still_pulls() -> None:
    error = torch.tensor([2.0, 240.0], requires_grad=True)
    torch.autograd.backward(soften(error, 24.0).sum())
    assert error.grad is not None
    assert error.grad.tolist() == pytest.approx([1.0, 0.1])


def test_cross_entropy_by_hand_and_bounded() -> None:
    probability = torch.tensor([0.8, 0.8, 0.0])
    target = torch.tensor([1.0, 0.0, 1.0])
    weight = torch.tensor([1.0, 1.0, 0.0])
    expected = -(math.log(0.8) + math.log(0.2)) / 2
    assert float(cross_entropy(probability, target, weight)) == pytest.approx(expected, rel=1e-5)
    worst = cross_entropy(probability, target, torch.tensor([0.0, 0.0, 1.0]))
    assert float(worst) == pytest.approx(-math.log(1e-4), rel=1e-3)


def test_visibility_of_a_cell_is_the_share_of_its_pixels() -> None:
    visible = torch.zeros(1, 1, 4, 4)
    visible[..., :1] = 1.0
    truth = make_truth(torch.zeros(1, 1, 4, 4), visible)
    # A quarter of the cell is visible: -(0.25 ln p + 0.75 ln (1 - p)) with p = 0.5 is ln 2.
    half = torch.full((1, 1, 1, 1), 0.5)
    assert float(visibility_loss(half, truth)) == pytest.approx(math.log(2), rel=1e-5)
    gradients = []
    for p in (0.24, 0.26):
        value = torch.full((1, 1, 1, 1), p, requires_grad=True)
        torch.autograd.backward(visibility_loss(value, truth))
        assert value.grad is not None
        gradients.append(float(value.grad))
    assert gradients[0] < 0 < gradients[1]


def test_unlabeled_visibility_teaches_nothing() -> None:
    truth = make_truth(torch.zeros(1, 1, 4, 4))
    unknown = StereoBatch(**{**vars(truth), 'labeled': torch.zeros(1, 1, 4, 4)})
    assert float(visibility_loss(torch.full((1, 1, 4, 4), 0.1), unknown)) == 0.0


def test_confidence_target_is_an_error_below_four_pixels() -> None:
    truth = make_truth(torch.zeros(1, 1, 4, 8))
    quarter = Prediction(
        torch.tensor([[[[0.9, 1.1]]]]), torch.ones(1, 1, 1, 2), torch.tensor([[[[0.9, 0.9]]]])
    )
    # Errors of 3.6 and 4.4 px: right and wrong.
    expected = -(math.log(0.9) + math.log(0.1)) / 2
    assert float(confidence_loss(quarter, truth)) == pytest.approx(expected, rel=1e-5)


def test_confidence_does_not_teach_disparity() -> None:
    truth = make_truth(torch.zeros(1, 1, 4, 4))
    disparity = torch.full((1, 1, 4, 4), 5.0, requires_grad=True)
    confidence = torch.full((1, 1, 4, 4), 0.5, requires_grad=True)
    loss = confidence_loss(Prediction(disparity, confidence, confidence), truth)
    torch.autograd.backward(loss)
    assert disparity.grad is None
    assert confidence.grad is not None


def test_masked_mean_ignores_what_is_not_finite_outside_the_mask() -> None:
    values = torch.tensor([1.0, math.nan, 3.0])
    assert float(masked_mean(values, torch.tensor([1.0, 0.0, 1.0]))) == pytest.approx(2.0)
    assert float(masked_mean(values, torch.zeros(3))) == 0.0
