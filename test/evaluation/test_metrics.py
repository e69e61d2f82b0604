"""Scores against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from s2m2_ros.evaluation.metrics import (
    average_precision,
    disparity_scores,
    mean_scores,
    sparsification_error,
)


def test_errors_by_hand() -> None:
    truth = torch.tensor([10.0, 10.0, 100.0, 100.0, 50.0])
    estimate = torch.tensor([10.4, 11.5, 104.0, 106.0, 0.0])
    chosen = torch.tensor([True, True, True, True, False])
    scores = disparity_scores(estimate, truth, chosen)
    # Errors 0.4, 1.5, 4, 6. Of those above 3 px only 6 is above 5 % of the truth.
    assert scores.epe == pytest.approx((0.4 + 1.5 + 4 + 6) / 4, rel=1e-5)
    assert (scores.bad_05, scores.bad_1, scores.bad_2, scores.bad_4) == (0.75, 0.75, 0.5, 0.25)
    assert scores.d1 == 0.25
    assert scores.density == 1.0
    assert scores.pixels == 4


def test_holes_are_wrong_but_not_in_the_mean_error() -> None:
    truth = torch.full((4,), 20.0)
    estimate = torch.tensor([20.0, math.nan, math.inf, 21.0])
    scores = disparity_scores(estimate, truth, torch.ones(4, dtype=torch.bool))
    assert scores.epe == pytest.approx(0.5)
    assert scores.bad_2 == 0.5
    assert scores.d1 == 0.5
    assert scores.density == 0.5


def test_error_at_the_threshold_is_not_bad() -> None:
    scores = disparity_scores(torch.tensor([2.0]), torch.tensor([0.0]), torch.tensor([True]))
    assert scores.bad_2 == 0.0
    assert scores.bad_1 == 1.0


def test_nothing_chosen_gives_nan() -> None:
    scores = disparity_scores(torch.zeros(2), torch.zeros(2), torch.zeros(2, dtype=torch.bool))
    assert math.isnan(scores.epe)
    assert math.isnan(scores.bad_2)
    assert scores.pixels == 0


def test_average_precision_by_hand() -> None:
    # In order of score: hit, miss, hit, miss. Precision 1 at recall 1/2, 2/3 at recall 1.
    score = torch.tensor([0.9, 0.8, 0.7, 0.1])
    positive = torch.tensor([True, False, True, False])
    assert average_precision(score, positive) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_average_precision_of_equal_scores_is_the_share_of_positives() -> None:
    positive = torch.tensor([True, False, False, False, True])
    assert average_precision(torch.ones(5), positive) == pytest.approx(0.4)
    assert average_precision(torch.ones(5), positive.flip(0)) == pytest.approx(0.4)
    assert math.isnan(average_precision(torch.ones(5), positive & False))


def test_sparsification_is_zero_for_a_perfect_ranking() -> None:
    error = torch.linspace(0, 4, 100)
    assert sparsification_error(-error, error) == pytest.approx(0.0)


def test_sparsification_by_hand() -> None:
    # Two pixels, ranked wrongly: step k keeps round(2 * (1 - k / 20)) pixels, at least one. Both
    # are kept while 2 - k / 10 rounds to 2, that is for k = 0 .. 5 (1.5 rounds to even, 2); then
    # the confident one with error 1 is left, while the oracle keeps error 0: 14 of 20 steps.
    result = sparsification_error(torch.tensor([0.9, 0.1]), torch.tensor([1.0, 0.0]))
    assert result == pytest.approx(14 / 20)


def test_mean_over_pairs_weighs_pairs_alike() -> None:
    one = disparity_scores(torch.zeros(1), torch.zeros(1), torch.ones(1, dtype=torch.bool))
    many = disparity_scores(torch.ones(9), torch.zeros(9), torch.ones(9, dtype=torch.bool))
    mean = mean_scores([one, many])
    assert mean.epe == pytest.approx(0.5)
    assert mean.pixels == 10
