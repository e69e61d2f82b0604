"""What the network takes, returns and promises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from s2m2_ros.network import S2M2, Prediction, S2M2Config


@pytest.fixture(scope='module')
def network(filled: Any) -> S2M2:
    made: S2M2 = filled('XS')
    return made


@pytest.fixture(scope='module')
def images(pairs: Any) -> tuple[Tensor, Tensor]:
    made: tuple[Tensor, Tensor] = pairs(64, 96)
    return made


@pytest.mark.parametrize(
    ('name', 'sizes'),
    [('XS', (64, 1)), ('S', (128, 1)), ('M', (192, 2)), ('L', (256, 3)), ('XL', (384, 3))],
)
def test_named_variants(name: str, sizes: tuple[int, int]) -> None:
    config = S2M2Config.named(name)
    assert (config.channels, config.transformers, config.name) == (*sizes, name)


def test_a_config_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="no S2M2 variant is called 'XXL'; there are XS, S"):
        S2M2Config.named('XXL')
    with pytest.raises(ValueError, match='multiple of 8, not 100'):
        S2M2Config(100, 1)
    with pytest.raises(ValueError, match='at least 1, not 0'):
        S2M2Config(64, 0)
    assert S2M2Config(96, 2).name == 'C96T2'


def test_negative_iterations_are_refused() -> None:
    with pytest.raises(ValueError, match='at least 0, not -1'):
        S2M2(S2M2Config.named('XS'), refine_iterations=-1)


@pytest.mark.parametrize(
    ('left', 'right', 'message'),
    [
        ((3, 64, 96), (3, 64, 96), r'left .* \(3, 64, 96\); needed is \(B, 3, H, W\)'),
        ((1, 1, 64, 96), (1, 1, 64, 96), r'\(1, 1, 64, 96\); needed'),
        ((1, 3, 60, 96), (1, 3, 60, 96), r'multiples of 32'),
        ((1, 3, 64, 90), (1, 3, 64, 90), r'multiples of 32'),
        ((1, 3, 0, 96), (1, 3, 0, 96), r'multiples of 32'),
        ((1, 3, 64, 96), (1, 3, 64, 128), r'\(1, 3, 64, 96\) and right images \(1, 3, 64, 128\)'),
        ((1, 3, 64, 96), (2, 3, 64, 96), r'needed is one shape for both'),
        ((1, 3, 64, 96), (1, 4, 64, 96), r'right images have shape \(1, 4, 64, 96\)'),
    ],
)
def test_wrong_shapes_are_named(
    network: S2M2, left: tuple[int, ...], right: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        network(torch.zeros(left), torch.zeros(right))


@pytest.mark.parametrize('dtype', [torch.int32, torch.float64, torch.bool])
def test_wrong_types_are_named(network: S2M2, dtype: torch.dtype) -> None:
    image = torch.zeros(1, 3, 64, 96)
    with pytest.raises(ValueError, match=f'right images are {dtype}; they must be one of uint8'):
        network(image, image.to(dtype))


@torch.inference_mode()
def test_outputs_are_three_float32_maps(network: S2M2, images: tuple[Tensor, Tensor]) -> None:
    found = network(*images)
    assert isinstance(found, Prediction)
    for maps in found:
        assert maps.shape == (1, 1, 64, 96)
        assert maps.dtype == torch.float32
    assert found.disparity.min() >= 0
    for maps in (found.visibility, found.confidence):
        assert 0 <= maps.min() <= maps.max() <= 1


@torch.inference_mode()
def test_bytes_and_floats_give_the_same(network: S2M2, images: tuple[Tensor, Tensor]) -> None:
    wanted = network(*images).disparity
    for dtype in (torch.uint8, torch.float16, torch.bfloat16):
        assert torch.equal(network(*(i.to(dtype) for i in images)).disparity, wanted)


@torch.inference_mode()
def test_the_same_input_gives_the_same_bits(network: S2M2, images: tuple[Tensor, Tensor]) -> None:
    first, second = network(*images), network(*images)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@torch.inference_mode()
def test_pairs_of_a_batch_do_not_meet(network: S2M2, pairs: Any) -> None:
    left, right = pairs(64, 96, batch=2)
    both = network(left, right)
    for index in range(2):
        one = network(left[index : index + 1], right[index : index + 1])
        torch.testing.assert_close(one.disparity[0], both.disparity[index], atol=1e-3, rtol=1e-3)


@torch.inference_mode()
def test_images_taken_one_by_one_give_the_same(
    network: S2M2, pairs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = pairs(64, 96, batch=2)
    wanted = network(left, right).disparity
    monkeypatch.setattr('s2m2_ros.network.backbone._PIXELS_AT_ONCE', 1)
    torch.testing.assert_close(network(left, right).disparity, wanted, atol=1e-3, rtol=1e-3)


@torch.inference_mode()
def test_any_number_of_iterations_works(filled: Any, images: tuple[Tensor, Tensor]) -> None:
    for count in (0, 5):
        network = filled('XS', refine_iterations=count)
        assert len(network.forward_all(*images).iterations) == count
        assert network(*images).disparity.isfinite().all()


@torch.inference_mode()
def test_negative_disparities_only_where_allowed(filled: Any, pairs: Any) -> None:
    images = pairs(64, 96, kind='neg')
    assert filled('XS', allow_negative=True)(*images).disparity.min() < 0
    assert filled('XS')(*images).disparity.min() >= 0


@torch.inference_mode()
def test_the_smallest_image_works(network: S2M2) -> None:
    image = torch.full((1, 3, 32, 32), 128.0)
    assert network(image, image).disparity.shape == (1, 1, 32, 32)


def test_stages_are_differentiable_and_end_in_the_prediction(
    filled: Any, images: tuple[Tensor, Tensor]
) -> None:
    network: S2M2 = filled('XS').train()
    stages = network.forward_all(*images)
    assert stages.probability.shape == (1, 16, 24, 24)
    assert len(stages.iterations) == 3
    assert stages.upsampled.disparity.shape == stages.prediction.disparity.shape == (1, 1, 64, 96)
    estimates = (stages.matching, *stages.iterations, stages.upsampled, stages.prediction)
    means = [maps.mean() for estimate in estimates for maps in estimate]
    means += [stages.probability.mean(), stages.global_disparity.mean()]
    torch.autograd.backward(torch.stack(means).sum())
    without = [key for key, value in network.named_parameters() if value.grad is None]
    assert without == []
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)
    with torch.inference_mode():
        prediction = network(*images)
    torch.testing.assert_close(
        prediction.disparity, stages.prediction.disparity.detach(), atol=1e-3, rtol=1e-3
    )
