"""The counter of launches, bytes and memory, against counts by hand."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import nn
from torch.nn import functional

from s2m2_ros.network import device_path
from support.scripts import load_script

META = torch.device('meta')


@pytest.fixture(scope='module')
def device_budget() -> ModuleType:
    return load_script('benchmark/device_budget.py')


def test_a_small_module_by_hand(device_budget: ModuleType) -> None:
    layer = nn.Linear(64, 128, device=META)
    image = torch.empty(32, 64, device=META)
    with device_budget.counted(layer, [image]) as budget:
        wide = layer(image)  # reads 32·64, 64·128 and 128 floats, writes 32·128
        halves = wide.view(2, 16, 128)  # free
        total = halves[0] + halves[1]  # reads twice 16·128 floats, writes 16·128
        del wide, halves
        total.relu_()  # reads and writes 16·128
    assert budget.launches == {'addmm': 1, 'add': 1, 'relu_': 1}
    assert budget.bytes_touched == {
        'addmm': 4 * (32 * 64 + 64 * 128 + 128 + 32 * 128),
        'add': 4 * 3 * 16 * 128,
        'relu_': 4 * 2 * 16 * 128,
    }
    # The weights in blocks of 512 bytes, what the layer made, and the sum; not the image.
    assert budget.peak_bytes == 4 * (64 * 128 + 128) + 4 * 32 * 128 + 4 * 16 * 128


def test_memory_of_dead_tensors_is_used_again(device_budget: ModuleType) -> None:
    image = torch.empty(1, 128, device=META)
    with device_budget.counted(nn.Identity(), [image]) as budget:
        for _ in range(5):
            image = image + 1
    # The old and the new result, 512 bytes each.
    assert budget.peak_bytes == 1024


def test_repeated_values_are_read_once_and_attention_is_one_launch(
    device_budget: ModuleType,
) -> None:
    row = torch.empty(1, 8, device=META).expand(100, 8)
    with device_budget.counted(nn.Identity(), [row]) as budget:
        row + row
    assert budget.bytes_touched['add'] == 4 * (8 + 8 + 800)
    tokens = torch.empty(1, 2, 16, 8, dtype=torch.float16, device=META)
    with device_budget.counted(nn.Identity(), [tokens]) as budget:
        functional.scaled_dot_product_attention(tokens, tokens, tokens)
    assert budget.launches.total() == 1


def test_what_is_only_written_to_and_what_windows_repeat_is_not_read_again(
    device_budget: ModuleType,
) -> None:
    image = torch.empty(1, 1, 10, 8, device=META)
    target = torch.empty(1, 1, 10, 8, device=META)
    with device_budget.counted(nn.Identity(), [image, target]) as budget:
        target.copy_(image)  # reads 80 floats, writes 80
        image.unfold(2, 3, 1) * 2.0  # reads 80 floats, writes 3 for each of 8 rows
    assert budget.bytes_touched == {'copy_': 4 * (80 + 80), 'mul': 4 * (80 + 8 * 3 * 8)}


def test_cudnn_cuts_off_in_the_kernel_that_convolves(device_budget: ModuleType) -> None:
    x = torch.empty(1, 8, 5, 6, device=META)
    weight, bias = torch.empty(8, 8, 3, 3, device=META), torch.empty(8, device=META)
    launches = []
    for dtype in (torch.float16, torch.bfloat16):
        operands = [tensor.to(dtype) for tensor in (x, weight, bias)]
        with device_budget.counted(nn.Identity(), operands) as budget:
            device_path.relu_convolution(*operands)
        launches.append(dict(budget.launches))
    assert launches == [{'convolution': 1}, {'convolution': 1, 'relu_': 1}]


def test_a_softmax_of_float16_into_float32_is_one_launch(device_budget: ModuleType) -> None:
    logits = torch.empty(100, 9, dtype=torch.float16, device=META)
    with device_budget.counted(nn.Identity(), [logits]) as budget:
        weights = functional.softmax(logits, dim=-1, dtype=torch.float32)
    assert weights.dtype is torch.float32
    assert budget.launches == {'_softmax': 1}
    assert budget.bytes_touched == {'_softmax': 900 * (2 + 4)}


def test_the_network_is_counted_and_memory_stays_below_its_target(
    device_budget: ModuleType,
) -> None:
    budget = device_budget.network_budget('S', (640, 480)).total()
    assert budget.launches <= 800
    assert budget.bytes_touched <= 6.5e9
    assert budget.peak_bytes <= 260e6
