"""Weights that are made once for inference give what those made in every pass give."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from s2m2_ros.network import prepare_for_inference
from s2m2_ros.network.joined import JoinedLayers, join
from s2m2_ros.network.layers import conv
from s2m2_ros.network.matching import log_add_exp, log_sum_exp
from s2m2_ros.network.recurrent import convolved_gates, joined_gates


def test_layers_below_each_other_with_zeros_for_a_missing_bias() -> None:
    first, second = nn.Linear(2, 1, bias=False), nn.Linear(2, 3)
    weight, bias = join((first, second))
    assert torch.equal(weight, torch.cat((first.weight, second.weight)))
    assert bias is not None
    assert torch.equal(bias, torch.cat((torch.zeros(1), second.bias)))
    assert join((first, nn.Linear(2, 1, bias=False)))[1] is None


def test_kept_weights_share_their_memory_with_the_layers() -> None:
    layers = nn.Linear(2, 1), nn.Linear(2, 3)
    wanted = join(layers)
    joined = JoinedLayers()
    joined.keep(*layers)
    weight, bias = joined(*layers)
    assert bias is not None
    assert wanted[1] is not None
    assert torch.equal(weight, wanted[0])
    assert torch.equal(bias, wanted[1])
    tensors = weight, *(layer.weight for layer in layers)
    storages = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    assert len(storages) == 1
    assert not joined.state_dict()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_a_prepared_network_gives_the_same(filled: Any, pairs: Any, dtype: torch.dtype) -> None:
    network = filled('XS', refine_iterations=2).to(dtype)
    images = pairs(64, 96)
    wanted = network(*images)
    keys = list(network.state_dict())
    prepared = copy.deepcopy(network)
    prepare_for_inference(prepared)
    found = prepared(*images)
    assert list(prepared.state_dict()) == keys
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().median() < (1e-4 if dtype is torch.float32 else 0.05)


def test_sums_of_exponentials_need_no_lower_limit_on_a_device() -> None:
    values = torch.tensor([[0.0, -200.0, -90.0]])
    limited = log_sum_exp(values, -1)
    total = (values - values.amax()).exp().sum(dim=-1).log() + values.amax()
    assert torch.equal(limited, total)
    assert log_add_exp(torch.tensor(100.0), torch.tensor(100.0)) == 100.0 + torch.tensor(2.0).log()


@torch.inference_mode()
def test_one_convolution_gives_both_gates() -> None:
    torch.manual_seed(0)
    layers = conv(8, 4, (3, 1)), conv(8, 4, (3, 1))
    hidden, x = torch.randn(2, 1, 4, 6, 5)
    joined = JoinedLayers()
    for _ in range(2):
        for one, other in zip(
            joined_gates(torch.cat((hidden, x), dim=1), layers, joined),
            convolved_gates(hidden, x, layers, joined),
            strict=True,
        ):
            torch.testing.assert_close(one, other)
        joined.keep(*layers)
