"""The GPU backends' own logic, with stand-ins: there is no GPU and no TensorRT here.

Nothing below shows that an engine or a graph computes the right thing on a real device.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from s2m2_ros.inference import BackendOptions, InferenceError
from s2m2_ros.inference.backends import tensorrt as tensor_rt
from s2m2_ros.inference.backends.cuda_graph import GRAPHS_KEPT, CudaGraphBackend
from s2m2_ros.inference.backends.network import match_padded
from s2m2_ros.inference.padding import Margin

CPU = torch.device('cpu')


def options(tmp_path: Path, checkpoint: Path) -> BackendOptions:
    return BackendOptions(checkpoint, CPU, 'float32', 0, False, tmp_path)


class FakeTensorRt:
    """Engines are texts; a context writes 1, 2 and 3 into the three outputs it is given."""

    def __init__(self) -> None:
        self.builds = 0
        self.refusals = 0
        self.readable = True
        self.addresses: dict[str, int] = {}
        self.streams: list[int] = []

    def module(self) -> SimpleNamespace:
        logger = SimpleNamespace(WARNING=1)
        return SimpleNamespace(
            __version__='10.13.3',
            Logger=type('Logger', (), {'WARNING': 1, '__init__': lambda self, level: None}),
            Builder=lambda log: self,
            Runtime=lambda log: self,
            OnnxParser=lambda definition, log: self,
            NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
            logger=logger,
        )

    def create_network(self, flags: int) -> object:
        assert flags == 2
        return object()

    def create_builder_config(self) -> object:
        return object()

    @property
    def num_errors(self) -> int:
        return 1

    def get_error(self, index: int) -> str:
        return f'unsupported node {index}'

    def parse(self, model: bytes) -> bool:
        assert model == b'onnx'
        return self.readable

    def build_serialized_network(self, definition: object, config: object) -> bytes:
        self.builds += 1
        return b'engine'

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        assert plan == b'engine'
        if self.refusals:
            self.refusals -= 1
            return None
        return self

    def create_execution_context(self) -> FakeTensorRt:
        return self

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        self.streams.append(stream)
        return True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    fake = FakeTensorRt()
    monkeypatch.setitem(sys.modules, 'tensorrt', fake.module())
    monkeypatch.setattr('s2m2_ros.inference.exported_models.to_onnx', lambda *_: b'onnx')
    stream = SimpleNamespace(cuda_stream=77)
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda device=None: stream)
    monkeypatch.setattr(torch.cuda, 'device', lambda device: contextlib.nullcontext())
    return fake


def images() -> torch.Tensor:
    return torch.zeros(1, 3, 40, 64)


def test_engine_runs_on_torchs_stream_and_memory(
    fake: FakeTensorRt, tmp_path: Path, checkpoint: Path
) -> None:
    backend = tensor_rt.open_backend(options(tmp_path, checkpoint))
    maps = backend.infer(images(), images())
    assert maps.disparity.shape == (1, 40, 64)
    assert set(fake.addresses) == {'left', 'right', 'disparity', 'visibility', 'confidence'}
    assert len(set(fake.addresses.values())) == 5
    assert fake.streams == [77]


def test_engine_is_built_once_per_size_and_found_again(
    fake: FakeTensorRt, tmp_path: Path, checkpoint: Path
) -> None:
    for _ in range(2):
        backend = tensor_rt.open_backend(options(tmp_path, checkpoint))
        backend.infer(images(), images())
        backend.infer(images(), images())
    assert fake.builds == 1
    backend.infer(torch.zeros(1, 3, 96, 64), torch.zeros(1, 3, 96, 64))
    assert fake.builds == 2


def test_engine_that_the_driver_refuses_is_built_again(
    fake: FakeTensorRt, tmp_path: Path, checkpoint: Path
) -> None:
    fake.refusals = 1
    tensor_rt.open_backend(options(tmp_path, checkpoint)).infer(images(), images())
    assert fake.builds == 2


def test_engine_that_is_always_refused_is_an_error(
    fake: FakeTensorRt, tmp_path: Path, checkpoint: Path
) -> None:
    fake.refusals = 2
    with pytest.raises(InferenceError, match='refuses'):
        tensor_rt.open_backend(options(tmp_path, checkpoint)).infer(images(), images())


def test_model_that_cannot_be_parsed_is_an_error_in_tensorrts_words(
    fake: FakeTensorRt, tmp_path: Path, checkpoint: Path
) -> None:
    fake.readable = False
    with pytest.raises(InferenceError, match='unsupported node 0'):
        tensor_rt.open_backend(options(tmp_path, checkpoint)).infer(images(), images())


class FakeGraph:
    """Replays by calling the function again that ran while it was captured."""

    replay: Any


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[FakeGraph]:
    made: list[FakeGraph] = []
    stream = SimpleNamespace(wait_stream=lambda other: None)

    def new_graph() -> FakeGraph:
        made.append(FakeGraph())
        return made[-1]

    capturing: list[FakeGraph] = []

    @contextlib.contextmanager
    def capture(graph: FakeGraph) -> Iterator[None]:
        capturing.append(graph)
        yield
        capturing.pop()

    def recorded(network: Any, left: torch.Tensor, right: torch.Tensor, margin: Margin) -> Any:
        maps = match_padded(network, left, right, margin)
        if capturing:

            def replay() -> None:
                for old, new in zip(maps, match_padded(network, left, right, margin), strict=True):
                    old.copy_(new)

            capturing[-1].replay = replay
        return maps

    monkeypatch.setattr(torch.cuda, 'Stream', lambda device: stream)
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda device=None: stream)
    monkeypatch.setattr(torch.cuda, 'stream', lambda side: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, 'CUDAGraph', new_graph)
    monkeypatch.setattr(torch.cuda, 'graph', capture)
    monkeypatch.setattr('s2m2_ros.inference.backends.cuda_graph.match_padded', recorded)
    return made


def mean_network(left: torch.Tensor, right: torch.Tensor) -> list[torch.Tensor]:
    mean = left.mean(dim=1, keepdim=True)
    return [mean, mean * 0, mean * 0 + 1]


def grey(value: float, height: int = 40) -> torch.Tensor:
    return torch.full((1, 3, height, 64), value)


def test_replayed_graph_sees_new_images_and_results_stay(
    graphs: list[FakeGraph], tmp_path: Path, checkpoint: Path
) -> None:
    backend = CudaGraphBackend(mean_network, options(tmp_path, checkpoint))
    first = backend.infer(grey(5), grey(0))
    second = backend.infer(grey(9), grey(0))
    assert len(graphs) == 1
    assert (first.disparity == 5).all()
    assert (second.disparity == 9).all()


def test_graphs_are_kept_for_the_sizes_used_last(
    graphs: list[FakeGraph], tmp_path: Path, checkpoint: Path
) -> None:
    backend = CudaGraphBackend(mean_network, options(tmp_path, checkpoint))
    heights = list(range(40, 40 + GRAPHS_KEPT))
    for height in [*heights, 40, 99, 40]:
        assert backend.infer(grey(1, height), grey(1, height)).disparity.shape[1] == height
    assert len(graphs) == GRAPHS_KEPT + 1
    backend.infer(grey(1, 41), grey(1, 41))
    assert len(graphs) == GRAPHS_KEPT + 2
