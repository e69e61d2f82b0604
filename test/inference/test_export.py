"""Exported models equal the network and say what they are."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from s2m2_ros.cli.main import main
from s2m2_ros.inference import InferenceError
from s2m2_ros.inference.export import ExportSize, to_onnx, to_torchscript
from s2m2_ros.network import S2M2, S2M2Config

SIZE = ExportSize(64, 96)
FACTS = {
    'variant': 'C16T1',
    'refine_iterations': '0',
    'allow_negative': 'false',
    'height': '64',
    'width': '96',
}


@pytest.fixture(scope='module')
def network() -> S2M2:
    torch.manual_seed(1)
    network = S2M2(S2M2Config(channels=16, transformers=1), refine_iterations=0)
    return network.eval().requires_grad_(False)


def noise(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    left = torch.rand(batch, 3, 64, 96, generator=generator) * 255
    return left, left.roll(-8, dims=-1)


def run_onnx(model: bytes, left: torch.Tensor, right: torch.Tensor) -> list[torch.Tensor]:
    session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
    names = ['disparity', 'visibility', 'confidence']
    maps = session.run(names, {'left': left.numpy(), 'right': right.numpy()})
    return [torch.from_numpy(np.asarray(m)) for m in maps]


def test_half_precision_onnx_stays_near_the_network(network: S2M2) -> None:
    """That float32 models equal the network is tested with the onnxruntime backend."""
    half = S2M2(network.config, refine_iterations=0)
    half.load_state_dict(network.state_dict())
    model = to_onnx(half.eval().half().requires_grad_(False), SIZE)
    pair = noise(1)
    with torch.inference_mode():
        # Also a regression test: exporting once left its stand-ins in the network's cache.
        expected = network(*pair)
    found = run_onnx(model, *pair)
    for maps in found:
        assert maps.dtype == torch.float32
        assert maps.shape == (1, 1, 64, 96)
        assert maps.isfinite().all()
    assert (found[0] - expected.disparity).abs().median() < 0.1
    content = onnx.load_from_string(model)
    onnx.checker.check_model(content)
    said = {entry.key: entry.value for entry in content.metadata_props}
    assert said.items() >= {**FACTS, 'precision': 'float16'}.items()
    types = {t.data_type for t in content.graph.initializer}
    assert {onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT} <= types
    # TensorRT knows no float64, in which the positional tables are made.
    assert onnx.TensorProto.DOUBLE not in types
    assert not {'Tanh', 'Range'} & {
        node.op_type for node in content.graph.node if not _reaches_input(content, node)
    }


def _reaches_input(content: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """Tell whether a node depends on the images, or is a constant left unfolded."""
    producers = {name: n for n in content.graph.node for name in n.output}
    waiting, seen = list(node.input), set[str]()
    while waiting:
        name = waiting.pop()
        if name in ('left', 'right'):
            return True
        if name in producers and name not in seen:
            seen.add(name)
            waiting += producers[name].input
    return False


class SmallNetwork(S2M2):
    """Stands in where the whole network would take half a minute to export."""

    def __init__(self, *, fixes_the_batch: bool) -> None:
        torch.nn.Module.__init__(self)
        self.config = S2M2Config.named('XS')
        self.refine_iterations = 0
        self.allow_negative = False
        self.layer = torch.nn.Conv2d(3, 3, 1)
        self.fixes_the_batch = fixes_the_batch

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> Any:
        if self.fixes_the_batch:
            left = torch.cat([self.layer(left[i : i + 1]) for i in range(left.shape[0])])
        return (self.layer(left) + right)[:, :1], right[:, :1] * 2, right[:, 1:2] * 3


def test_open_batch_takes_any_batch() -> None:
    small = SmallNetwork(fixes_the_batch=False).requires_grad_(False)
    model = to_onnx(small, SIZE, dynamic=True)
    for batch in (1, 3):
        pair = noise(batch)
        for found, wanted in zip(run_onnx(model, *pair), small(*pair), strict=True):
            assert torch.allclose(found, wanted, atol=1e-3)


def test_the_network_takes_any_batch_when_exported_so(network: S2M2) -> None:
    model = to_onnx(network, SIZE, dynamic=True)
    for batch in (1, 3):
        pair = noise(batch)
        with torch.inference_mode():
            wanted = network(*pair)
        assert (run_onnx(model, *pair)[0] - wanted.disparity).abs().max() < 0.02


def test_quietly_fixed_batch_is_an_error() -> None:
    small = SmallNetwork(fixes_the_batch=True).requires_grad_(False)
    with pytest.raises(InferenceError, match='one model per batch size'):
        to_onnx(small, SIZE, dynamic=True)


def test_torchscript_equals_the_network_and_says_what_it_is(network: S2M2) -> None:
    facts = {'metadata.json': ''}
    model = torch.jit.load(io.BytesIO(to_torchscript(network, SIZE)), _extra_files=facts)  # type: ignore[no-untyped-call]
    pair = noise(1)
    with torch.inference_mode():
        for found, wanted in zip(model(*pair), network(*pair), strict=True):
            assert (found - wanted).abs().max() < 0.02
    assert json.loads(facts['metadata.json']).items() >= FACTS.items()


@pytest.mark.parametrize('size', [(0, 32), (48, 64), (64, 65)])
def test_sizes_off_the_grid_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match='multiples of 32'):
        ExportSize(*size)


def test_command_writes_the_file(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'model.pt'
    options = ['--format', 'torchscript', '--size', '32x64', '--refine-iterations', '0']
    options += ['--checkpoint', str(checkpoint), '--output', str(path)]
    assert main(['export', *options]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    model = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    assert model(torch.zeros(1, 3, 32, 64), torch.zeros(1, 3, 32, 64))[0].shape == (1, 1, 32, 64)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ('--size 50x64', 'multiples of 32'),
        ('--size 32x64 --format torchscript --dynamic', '--format onnx only'),
        ('--size 32x64 --output /nowhere/model.onnx', 'no folder'),
        ('--size 32x64 --precision float16 --output /nowhere/model.onnx', 'no folder'),
        ('--size 32x64 --format tensorrt --output engine', 'pip install tensorrt'),
    ],
)
def test_command_explains_what_it_cannot_do(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], options: str, message: str
) -> None:
    assert main(['export', '--checkpoint', str(checkpoint), *options.split()]) == 2
    assert message in capsys.readouterr().err
    assert not Path('engine').exists()
