"""Networks as wide as the published ones give the same numbers in every form.

Their correlations exceed 100, where exp() of float32 overflows; narrow networks hide that.
`make test ARGS='-m "not slow"'` leaves out those that take minutes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from s2m2_ros.inference import BackendOptions
from s2m2_ros.inference.backends.torch_compile import CompiledNetwork
from s2m2_ros.inference.export import INPUTS, OUTPUTS, ExportSize, to_onnx, to_torchscript
from s2m2_ros.network import S2M2, load_network, save_network
from support.filled_networks import filled_network, stereo_pairs

HEIGHT, WIDTH = 64, 96
# An export takes half a minute of a core, and more where others use it too.
pytestmark = pytest.mark.timeout(1200)

# The layer normalization before the correlation, which raises the largest from 64 (S) above 100.
GAIN = 1.6
# Everything an exported model may consist of: elementary operators that TensorRT's parser has,
# none of which overflows inside, as ReduceLogSumExp does there.
OPERATORS = {
    *('Abs', 'Add', 'And', 'ArgMax', 'AveragePool', 'Cast', 'Clip', 'Concat', 'Constant'),
    *('ConstantOfShape', 'Conv', 'DepthToSpace', 'Div', 'Einsum', 'Erf', 'Exp', 'Expand'),
    *('Floor', 'Gather', 'GatherElements', 'Greater', 'GreaterOrEqual', 'InstanceNormalization'),
    *('LayerNormalization', 'Less', 'Log', 'MatMul', 'Max', 'Min', 'Mul', 'Neg', 'Pad'),
    *('ReduceMax', 'ReduceSum', 'Relu', 'Reshape', 'Resize', 'Sigmoid', 'Slice', 'Softmax'),
    *('Split', 'Squeeze', 'Sub', 'Tanh', 'Transpose', 'Unsqueeze', 'Where'),
}


def wide(variant: str, **options: Any) -> S2M2:
    """Return a network whose correlations exceed 100."""
    network = filled_network(variant, **options).requires_grad_(False)
    network.disp_init.layer_norm.weight.mul_(GAIN)
    return network


def images(*, batch: int = 1, kind: str = 'pos') -> tuple[Tensor, Tensor]:
    return stereo_pairs(HEIGHT, WIDTH, batch=batch, kind=kind)


@torch.inference_mode()
def eager(network: S2M2, pair: tuple[Tensor, Tensor]) -> Sequence[Tensor]:
    """Return what torch gives in float32; also checks that the network is a hard one."""
    largest: list[float] = []
    hook = network.disp_init.register_forward_hook(
        lambda module, inputs, output: largest.append(inputs[0].max().item())
    )
    maps: Sequence[Tensor] = network(*pair)
    hook.remove()
    assert largest[0] > 100
    return maps


def run_onnx(model: bytes, pair: tuple[Tensor, Tensor]) -> list[Tensor]:
    session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
    feeds = {name: image.numpy() for name, image in zip(INPUTS, pair, strict=True)}
    return [torch.from_numpy(np.asarray(m)) for m in session.run(list(OUTPUTS), feeds)]


def assert_equal(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """Compare in pixels: median at most 1e-4, 99.9 % at most 1e-2; both others likewise."""
    for one, other in zip(found, expected, strict=True):
        difference = (one - other).abs().flatten()
        assert difference.median() <= 1e-4
        assert difference.quantile(0.999) <= 1e-2


@pytest.fixture(scope='module')
def s_model() -> bytes:
    return to_onnx(wide('S'), ExportSize(HEIGHT, WIDTH))


def test_s_in_onnxruntime(s_model: bytes) -> None:
    assert_equal(run_onnx(s_model, images()), eager(wide('S'), images()))


def test_s_consists_of_operators_that_are_stable_and_known_to_tensorrt(s_model: bytes) -> None:
    graph = onnx.load_from_string(s_model).graph
    assert {node.op_type for node in graph.node} <= OPERATORS
    producers = {name: node for node in graph.node for name in node.output}

    def made_by(name: str) -> str:
        return str(producers[name].op_type) if name in producers else ''

    # log(exp(a) + exp(b)) overflows, though each of its operators is allowed.
    for node in graph.node:
        if node.op_type == 'Log' and made_by(node.input[0]) == 'Add':
            summands = producers[node.input[0]].input
            assert {made_by(name) for name in summands} != {'Exp'}


def test_s_with_negative_disparities_two_pairs_and_one_iteration_in_onnxruntime() -> None:
    network = wide('S', allow_negative=True, refine_iterations=1)
    pair = images(batch=2, kind='neg')
    model = to_onnx(network, ExportSize(HEIGHT, WIDTH, batch=2))
    assert_equal(run_onnx(model, pair), eager(network, pair))


def test_s_of_a_half_precision_file_in_torchscript(tmp_path: Path) -> None:
    file = tmp_path / 's.safetensors'
    save_network(wide('S'), file, licence='Apache-2.0', precision='float16')
    network = load_network(file, refine_iterations=2).requires_grad_(False)
    content = to_torchscript(network, ExportSize(HEIGHT, WIDTH))
    model = torch.jit.load(io.BytesIO(content))  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        assert_equal(model(*images()), eager(network, images()))


def test_s_in_torch_export() -> None:
    network = wide('S', allow_negative=True)
    pair = images(batch=2, kind='neg')
    exported = torch.export.export(network, pair).module()
    with torch.inference_mode():
        assert_equal(exported(*pair), eager(network, pair))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_m_in_onnxruntime_torchscript_and_torch_export() -> None:
    network = wide('M')
    expected = eager(network, images())
    assert_equal(run_onnx(to_onnx(network, ExportSize(HEIGHT, WIDTH)), images()), expected)
    content = to_torchscript(network, ExportSize(HEIGHT, WIDTH))
    model = torch.jit.load(io.BytesIO(content))  # type: ignore[no-untyped-call]
    exported = torch.export.export(network, images()).module()
    with torch.inference_mode():
        assert_equal(model(*images()), expected)
        assert_equal(exported(*images()), expected)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_s_as_a_half_precision_model_on_a_processor() -> None:
    """Half precision itself costs up to the limit of `proof`; here that is all it may cost."""
    expected = eager(wide('S'), images())
    found = run_onnx(to_onnx(wide('S').half(), ExportSize(HEIGHT, WIDTH)), images())
    assert (found[0] - expected[0]).abs().median() < 0.25


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize('variant', ['S', 'M'])
def test_compiled(variant: str, tmp_path: Path) -> None:
    file = tmp_path / 'wide.safetensors'
    save_network(wide(variant), file, licence='Apache-2.0')
    options = BackendOptions(file, torch.device('cpu'), 'float32', 3, False, tmp_path)
    run = CompiledNetwork(options).compile(ExportSize(HEIGHT, WIDTH))
    with torch.inference_mode():
        assert_equal(run(*images()), eager(wide(variant), images()))


def test_the_stable_forms_equal_their_definitions_in_float64() -> None:
    from s2m2_ros.network.matching import log_add_exp, log_sum_exp

    generator = torch.Generator().manual_seed(0)
    values = (torch.rand(50, 40, generator=generator) - 0.5) * 600
    rows = values.double()
    for dim in (-2, -1):
        expected = rows.logsumexp(dim)
        assert torch.allclose(log_sum_exp(values, dim).double(), expected, atol=1e-3, rtol=1e-6)
    pairs = log_add_exp(values[:25], values[25:]).double()
    expected = torch.logaddexp(rows[:25], rows[25:])
    assert torch.allclose(pairs, expected, atol=1e-3, rtol=1e-6)
    # Equal terms add up to log 2, and nothing overflows at the ends of float32.
    ends = torch.tensor([3e38, 90.0, 0.0, -90.0, -3e38])
    assert torch.equal(log_add_exp(ends, ends), ends + torch.tensor(math.log(2)))


def test_the_stable_forms_have_the_gradients_of_a_softmax() -> None:
    from s2m2_ros.network.matching import log_add_exp, log_sum_exp

    values = torch.tensor([[3.0, 150.0, 149.0], [-7.0, -7.0, -7.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(log_sum_exp(values, -1).sum(), values)
    assert torch.allclose(gradient, values.detach().softmax(-1), atol=1e-6)
    a, b = (torch.tensor(x, requires_grad=True) for x in ([120.0, 5.0], [120.0, 3.0]))
    of_a, of_b = torch.autograd.grad(log_add_exp(a, b).sum(), (a, b))
    assert torch.allclose(of_a, torch.tensor([0.5, 0.880797]))
    assert torch.allclose(of_b, torch.tensor([0.5, 0.119203]))
