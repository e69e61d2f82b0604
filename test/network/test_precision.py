"""Half precision: finite on hard inputs, close to float32, and float32 where it matters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from s2m2_ros.network import S2M2, Prediction

HALVES = (torch.float16, torch.bfloat16)
# Mean difference to float32 that is allowed, in pixels; measured figures are in benchmark/.
CLOSE = {torch.float16: 0.02, torch.bfloat16: 0.2}


def hard_pair(kind: str) -> tuple[Tensor, Tensor]:
    shape = (1, 3, 64, 96)
    generator = torch.Generator().manual_seed(0)
    if kind == 'noise':
        left, right = (torch.rand(shape, generator=generator) * 255 for _ in range(2))
        return left, right
    if kind == 'checks':
        image = ((torch.arange(96) + torch.arange(64)[:, None]) % 2 * 255.0).expand(shape)
        return image, image
    level = {'black': 0.0, 'saturated': 255.0}[kind]
    return torch.full(shape, level), torch.full(shape, level)


@contextmanager
def lowered(filled: Any, dtype: torch.dtype, way: str) -> Iterator[S2M2]:
    network: S2M2 = filled('XS')
    if way == 'parameters':
        yield network.to(dtype)
    else:
        with torch.autocast('cpu', dtype=dtype):
            yield network


def run(network: S2M2, images: tuple[Tensor, Tensor]) -> Prediction:
    with torch.inference_mode():
        prediction: Prediction = network(*images)
    return prediction


@pytest.mark.parametrize('way', ['parameters', 'autocast'])
@pytest.mark.parametrize('dtype', HALVES)
@pytest.mark.parametrize('kind', ['black', 'saturated', 'noise', 'checks'])
def test_half_precision_stays_finite(kind: str, dtype: torch.dtype, way: str, filled: Any) -> None:
    with lowered(filled, dtype, way) as network:
        for maps in run(network, hard_pair(kind)):
            assert maps.dtype == torch.float32
            assert bool(maps.isfinite().all())


@pytest.mark.parametrize('way', ['parameters', 'autocast'])
@pytest.mark.parametrize('dtype', HALVES)
def test_half_precision_is_close(dtype: torch.dtype, way: str, filled: Any, pairs: Any) -> None:
    images = pairs(64, 96)
    wanted = run(filled('XS'), images)
    with lowered(filled, dtype, way) as network:
        found = run(network, images)
    assert (found.disparity - wanted.disparity).abs().mean() < CLOSE[dtype]
    assert (found.confidence - wanted.confidence).abs().mean() < CLOSE[dtype] / 4


@pytest.mark.parametrize('way', ['parameters', 'autocast'])
def test_what_must_be_float32_is(way: str, filled: Any, pairs: Any) -> None:
    seen: dict[str, torch.dtype] = {}

    def watch(network: S2M2) -> None:
        network.disp_init.register_forward_hook(
            lambda _, inputs, output: seen.update(
                correlation=inputs[0].dtype, matching=output.disparity.dtype
            )
        )
        network.refiner.register_forward_hook(
            lambda _, inputs, output: seen.update(
                disparity=output.estimate.disparity.dtype,
                visibility=output.estimate.visibility.dtype,
                pooled=inputs[1].pooled.dtype,
            )
        )
        network.upsample_mask_1x.register_forward_hook(
            lambda _, inputs, output: seen.update(upsampled=inputs[0].dtype, logits=output.dtype)
        )
        network.cnn_backbone.conv2_down.register_forward_hook(
            lambda _, __, output: seen.update(convolution=output.dtype)
        )

    with lowered(filled, torch.bfloat16, way) as network:
        watch(network)
        run(network, pairs(64, 96))
    assert seen.pop('convolution') == torch.bfloat16
    assert set(seen.values()) == {torch.float32}
    assert len(seen) == 7


@pytest.mark.parametrize('way', ['parameters', 'autocast'])
def test_training_in_half_precision_has_finite_gradients(
    way: str, filled: Any, pairs: Any
) -> None:
    with lowered(filled, torch.bfloat16, way) as network:
        loss = network.forward_all(*pairs(64, 96)).prediction.disparity.mean()
        torch.autograd.backward(loss)
    for parameter in network.parameters():
        assert parameter.grad is None or bool(parameter.grad.isfinite().all())
