"""Learning rate and moving average by hand."""

from __future__ import annotations

import pytest
from torch import nn

from s2m2_ros.training.options import Crop, TrainOptions
from s2m2_ros.training.schedule import MovingAverage, one_cycle, parameter_groups


def test_one_cycle_rises_and_falls() -> None:
    assert one_cycle(0.02, warm_up=0.04) == pytest.approx(0.5)
    assert one_cycle(0.04, warm_up=0.04) == pytest.approx(1.0)
    # Half way down: 0.01 + 0.99 * 0.5.
    assert one_cycle(0.52, warm_up=0.04) == pytest.approx(0.505)
    assert one_cycle(1.0, warm_up=0.04) == pytest.approx(0.01)
    assert one_cycle(0.0, warm_up=0.04) > 0


def test_moving_average_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    average = MovingAverage(layer, decay=0.9)
    nn.init.constant_(layer.weight, 2.0)
    average.update(layer, 1)
    # The first decay is (1 + 1) / (10 + 1): 1 + (1 - 2/11) = 20/11.
    assert float(average.weights['weight']) == pytest.approx(20 / 11)
    average.update(layer, 1000)
    assert float(average.weights['weight']) == pytest.approx(20 / 11 * 0.9 + 0.2)


def test_norms_and_biases_do_not_decay() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2))
    decaying, others = parameter_groups(network, weight_decay=0.1)
    assert decaying['params'] == [network[0].weight]
    assert others['params'] == [network[0].bias, network[1].weight, network[1].bias]
    assert (decaying['weight_decay'], others['weight_decay']) == (0.1, 0.0)


def test_crops_take_over_in_turn() -> None:
    crops = (Crop(0.5, 32, 64, 4), Crop(1.0, 64, 128, 2))
    options = TrainOptions(crops=crops, steps=100)
    assert options.crop_at(0.49) == crops[0]
    assert options.crop_at(0.5) == crops[1]
    assert options.crop_at(1.0) == crops[1]
    assert options.progress(25, elapsed=1e9) == 0.25
    assert TrainOptions(minutes=2.0).progress(10**6, elapsed=30.0) == 0.25
