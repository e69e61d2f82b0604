"""The path of GPUs gives what the plain one gives, tried on a processor: no GPU is there."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from s2m2_ros.network import S2M2, device_path, positional, tables
from s2m2_ros.network.attention import CrossAttention, SelfAttention
from s2m2_ros.network.backbone import Backbone
from s2m2_ros.network.device_matching import match_rows_on_device
from s2m2_ros.network.joined import KeepsWeights
from s2m2_ros.network.lookup import look_up, look_up_twice, pool_columns
from s2m2_ros.network.matching import match_rows
from s2m2_ros.network.unet import OuterUNet
from s2m2_ros.network.upsampling import Upsampler1x

OnDevice = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> OnDevice:
    """Let the processor stand in for the GPU that is not there."""

    @contextmanager
    def stand_in() -> Iterator[None]:
        with monkeypatch.context() as patched:
            patched.setattr(device_path, 'serves', lambda x: True)
            yield

    return stand_in


@pytest.fixture
def memory_without_values() -> Iterator[None]:
    """Fill memory that nothing was written to with NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def prepared_for_device(network: S2M2) -> S2M2:
    prepared = copy.deepcopy(network)
    for module in prepared.modules():
        if isinstance(module, KeepsWeights):
            module.keep_weights()
            module.keep_device_weights()
    return prepared


def largest(found: Any, wanted: Any) -> list[float]:
    pairs = zip(found, wanted, strict=True)
    return [float((one - other).abs().max()) for one, other in pairs]


@pytest.mark.usefixtures('memory_without_values')
@torch.inference_mode()
def test_the_network_gives_the_same(filled: Any, pairs: Any, on_device: OnDevice) -> None:
    network = filled('XS', refine_iterations=2)
    images = pairs(64, 96)
    wanted = network(*images)
    prepared = prepared_for_device(network)
    kept = {key: value.clone() for key, value in prepared.state_dict().items()}
    assert list(kept) == list(network.state_dict())
    for _ in range(2):
        with on_device():
            found = prepared(*images)
        disparity, visibility, confidence = largest(found, wanted)
        assert disparity < 1e-3
        assert visibility < 1e-4
        assert confidence < 1e-4
    # Nothing wrote to the weights, whose memory the joined ones share.
    for key, value in network.state_dict().items():
        assert torch.equal(value, kept[key])
        assert torch.equal(value, prepared.state_dict()[key])
    assert max(largest(prepared(*images), wanted)) < 1e-3


@pytest.mark.parametrize('steps', [0, 2])
@torch.inference_mode()
def test_all_stages_of_a_batch_are_the_same(
    filled: Any, pairs: Any, on_device: OnDevice, steps: int
) -> None:
    network = filled('XS', refine_iterations=steps)
    images = [torch.cat((image, image.flip(2))) for image in pairs(64, 96)]
    wanted, last = network.forward_all(*images), network(*images)
    with on_device():
        found, found_last = network.forward_all(*images), network(*images)
    assert len(found.iterations) == steps
    for one, other in zip(found.iterations, wanted.iterations, strict=True):
        assert max(largest(one, other)) < 1e-3
    assert max(largest(found.upsampled, wanted.upsampled)) < 1e-3
    assert max(largest(found.prediction, wanted.prediction)) < 1e-3
    assert max(largest(found_last, last)) < 1e-3


@torch.inference_mode()
def test_negative_disparities_and_double_size_without_kept_weights(
    filled: Any, pairs: Any, on_device: OnDevice
) -> None:
    network = filled('XS', refine_iterations=1, allow_negative=True)
    network.double_output = True
    images = pairs(64, 64)
    wanted = network(*images)
    with on_device():
        found = network(*images)
    assert found.disparity.shape == (1, 1, 128, 128)
    assert max(largest(found, wanted)) < 1e-3


@torch.inference_mode()
def test_half_precision_is_off_by_no_more_than_it_rounds(
    filled: Any, pairs: Any, on_device: OnDevice
) -> None:
    network = filled('XS', refine_iterations=1)
    images = pairs(64, 128)
    exact = network(*images).disparity
    network = network.half()
    plain = (network(*images).disparity - exact).abs().median()
    with on_device():
        found = (network(*images).disparity - exact).abs().median()
    # The median, as in proofs of engines: in any half precision a few pixels change their match.
    assert found < 2 * plain


@pytest.mark.parametrize('allow_negative', [False, True])
@pytest.mark.parametrize('scale', [1.0, 20.0])
@torch.inference_mode()
def test_transport_with_dustbins_in_the_matrix(scale: float, allow_negative: bool) -> None:
    torch.manual_seed(0)
    rows = scale * torch.randn(6, 40, 40)
    exact = match_rows(rows.double(), allow_negative=allow_negative)
    plain, found = (
        match(rows, allow_negative=allow_negative) for match in (match_rows, match_rows_on_device)
    )
    # Where two matches are as probable as each other, either may be found: hence the means.
    for one, other, wanted in zip(found, plain, exact, strict=True):
        error, plain_error = ((maps - wanted).abs().mean() for maps in (one, other))
        assert error < 2 * plain_error + 1e-6


@pytest.mark.usefixtures('memory_without_values')
@torch.inference_mode()
def test_scores_of_any_range_stay_finite() -> None:
    torch.manual_seed(0)
    for scale in (1e3, 1e4):
        found = match_rows_on_device(scale * torch.randn(4, 32, 32), allow_negative=False)
        for maps in found:
            assert maps.isfinite().all()


@torch.inference_mode()
def test_sampled_look_ups_read_both_rows_and_zeros_outside() -> None:
    torch.manual_seed(0)
    correlation = torch.randn(2, 3, 16, 16)
    disparity = 60.0 * torch.rand(2, 1, 3, 16) - 30.0
    disparity[0, 0, 0, :4] = torch.tensor([1e9, -1e9, 0.0, 3.5])
    column = torch.arange(16) - disparity
    full = look_up(correlation, column)
    pooled = look_up(pool_columns(correlation), column / 2)
    wanted = torch.cat((full, pooled), dim=1).permute(0, 2, 3, 1) / 16.0
    found = torch.full((2, 3, 16, 20), 7.0)
    look_up_twice(found[..., 1:19], correlation, disparity, 16.0)
    assert found[..., [0, 19]].eq(7.0).all()
    found = found[..., 1:19]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@torch.inference_mode()
def test_a_constant_channel_carries_the_bias(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    first, second = (nn.Linear(8, 8).to(dtype) for _ in range(2))
    weight, bias, last = device_path.chain(first, second, torch.ones(8, dtype=dtype))
    assert weight.shape == (16, 8)
    tokens = torch.zeros(1, 8, dtype=dtype)
    for product in (device_path.gelu_product, device_path.relu_product):
        constant = product(tokens, weight, bias)[:, 8:]
        assert constant.tolist() == [[8.0] + 7 * [0.0]]
        added = device_path.add_product(torch.zeros(1, 8, dtype=dtype), constant, last[:, 8:])
        torch.testing.assert_close(added[0], second.bias + 1, rtol=1e-2, atol=1e-3)


@torch.inference_mode()
def test_mean_codes_by_one_product(on_device: OnDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = SelfAttention(64, 8, positional=True)
    tokens = torch.randn(2, 3, 4, 64)
    wanted = layer(tokens)
    # At 1/32, 3 rows and 4 columns have 7 indicators, filled up to 8.
    device = torch.device('cpu')
    joint = positional.joint_tables(2, 3, 4, device, torch.float32)
    assert joint is not None
    assert joint.indicators.shape == (12, 8)
    assert joint.codes.shape == (24, 8, 32)
    with on_device():
        torch.testing.assert_close(layer(tokens.clone()), wanted, rtol=0, atol=1e-5)
        monkeypatch.setattr(positional, '_MOST_JOINT', 24 * 8 - 1)
        assert positional.joint_tables(2, 3, 4, device, torch.float32) is None
        torch.testing.assert_close(layer(tokens.clone()), wanted, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_one_head_attends_without_queries_of_its_own(on_device: OnDevice) -> None:
    torch.manual_seed(0)
    for layer in (SelfAttention(16, 1, rows=True), CrossAttention(16, 1, rows=True)):
        tokens = torch.randn(4, 3, 5, 16)
        wanted = layer(tokens)
        with on_device():
            assert layer.attn._joint_layers(on_device=True)[0].shape == (32, 16)
            torch.testing.assert_close(layer(tokens.clone()), wanted, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_the_outer_map_and_the_backbone_by_fewer_layers(on_device: OnDevice) -> None:
    torch.manual_seed(0)
    unet = OuterUNet((16, 16, 32), 1)
    maps = torch.randn(2, 16, 16, 24).contiguous(memory_format=torch.channels_last)
    wanted = unet(maps).quarter
    backbone = Backbone(16)
    images = torch.rand(2, 3, 32, 64).contiguous(memory_format=torch.channels_last)
    half, quarter = backbone(images)
    with on_device():
        torch.testing.assert_close(unet.at_quarter(maps), wanted, rtol=0, atol=1e-5)
        found = backbone(images)
        # The border too: there is no bias outside the image.
        torch.testing.assert_close(found[0], half, rtol=0, atol=1e-5)
        torch.testing.assert_close(found[1], quarter, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ('dtype', 'count', 'bits'), [(torch.float16, 2, 22), (torch.bfloat16, 3, 24)]
)
def test_parts_of_a_lower_precision_add_up(dtype: torch.dtype, count: int, bits: int) -> None:
    torch.manual_seed(0)
    x = 1.0 + 3000.0 * torch.rand(1000)
    assert device_path.part_count(dtype) == count
    parts = torch.empty(count, 1000, dtype=dtype)
    device_path.write_parts(parts.unbind(), x)
    error = (parts.double().sum(dim=0) - x).abs() / x
    assert error.max() <= 2.0**-bits
    assert (parts[0].double() - x).abs().max() > 0.5
    device_path.write_parts([exact := torch.empty(1000)], x)
    assert torch.equal(exact, x)


@pytest.mark.usefixtures('memory_without_values')
@torch.inference_mode()
def test_the_head_in_float16_reads_large_disparities_exactly(on_device: OnDevice) -> None:
    torch.manual_seed(0)
    head: Any = Upsampler1x(16)
    # The first layer gives the disparity, and what it has above 1024, which is the first logit;
    # the middle one gives a hundred times the disparity too, which no float16 holds.
    first, _ = head.conv_disp
    middle, last = head.conv_concat[0], head.conv_concat[2]
    for layer in (first, *head.conv_concat[::2], head.conv_rgb[0], head.conv_ctx):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    first.weight[0, 0, 1, 1] = first.weight[0, 1, 1, 1] = 1.0
    first.bias[1] = -1024.0
    middle.weight[0, 0, 1, 1] = 100.0
    middle.weight[1, 1, 1, 1] = 1.0
    last.weight[1, 0] = 1.0
    disparity = 1024.0 + torch.rand(1, 1, 4, 4)
    image, half = torch.rand(1, 3, 4, 4), torch.rand(1, 16, 2, 2)
    with on_device():
        found = head.half()(disparity, image, half.half())
    # A float16 above 1024 is a whole number.
    torch.testing.assert_close(found[:, :1].float(), disparity - 1024.0, rtol=1e-3, atol=1e-3)
    assert found.isfinite().all()


@torch.inference_mode()
def test_gated_by_the_derivative_of_softplus() -> None:
    logits = torch.tensor([-200.0, -3.0, 0.0, 3.0, 19.9, 20.1, 200.0])
    x = torch.tensor([1.0, 2.0, 3.0, -4.0, 5.0, 6.0, 7.0])
    out = torch.empty(7)
    device_path.gated(x, logits, out=out)
    torch.testing.assert_close(out, x * logits.sigmoid(), rtol=1e-6, atol=0)


@torch.inference_mode()
def test_relu_is_a_pass_of_its_own_where_cudnn_does_not_fuse_it() -> None:
    x, weight = torch.randn(1, 8, 5, 6), torch.randn(8, 8, 3, 3)
    assert not device_path.fuses_relu(x, weight)
    # Without a GPU, the trial fails as it does where cuDNN has no such kernel.
    assert not device_path._cudnn_fuses(x.device, x.dtype, (8, 8, 3, 3))
    found = device_path.relu_convolution(x, weight, torch.ones(8))
    wanted = functional.conv2d(x, weight, torch.ones(8), padding=1).relu()
    torch.testing.assert_close(found, wanted)


def test_training_processors_and_compilers_take_the_plain_path() -> None:
    maps = torch.empty(1, device='meta')
    assert not device_path.serves(maps)
    with torch.no_grad():
        assert device_path.serves(maps)
        assert not device_path.serves(torch.empty(1))
        traced = torch.jit.trace(_path, torch.empty(1, device='meta'), check_trace=False)  # type: ignore[no-untyped-call]
    assert traced(torch.empty(1)).shape == (1,)


def _path(x: Tensor) -> Tensor:
    return x.new_zeros(2 if device_path.serves(x) else 1)


def test_tables_are_made_once_and_recorded() -> None:
    with tables.recorded() as record:
        one = tables.kept(_table, 3, torch.device('cpu'))
        with tables.recorded() as inner:
            other = tables.kept(_table, 3, torch.device('cpu'))
    tables.kept(_table, 4, torch.device('cpu'))
    assert one is other
    assert [id(table) for table in record] == [id(one)] * 2
    assert [id(table) for table in inner] == [id(one)]


def _table(size: int, device: torch.device) -> Tensor:
    return torch.zeros(size, device=device)
