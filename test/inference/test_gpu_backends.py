"""The GPU backends' own logic, with stand-ins: there is no GPU and no TensorRT here.

The stand-ins record what they are asked for. Nothing below shows that an engine or a graph
computes the right thing on a real device, that streams order work as they should, or that real
versions of TensorRT and ONNX Runtime accept these calls.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from s2m2_ros.inference import BackendOptions, BackendUnavailableError, DeviceMemoryError
from s2m2_ros.inference.backends import cuda_graph, onnx_runtime, torch_compile
from s2m2_ros.inference.backends import tensorrt as tensor_rt
from s2m2_ros.inference.backends.cuda_graph import (
    PASSES_BEFORE_CAPTURE,
    CapturedGraph,
    GraphedNetwork,
)
from s2m2_ros.inference.backends.devices import OwnStream, on_device
from s2m2_ros.inference.backends.engines import ENGINES_KEPT
from s2m2_ros.inference.engines.proof import Proof
from s2m2_ros.inference.export import ExportSize
from s2m2_ros.inference.matcher import StereoMatcher
from s2m2_ros.network import positional

CPU = torch.device('cpu')
GOOD = Proof(0.0, 0.0, 0.0, 0.0)


@pytest.fixture
def options(tmp_path: Path, checkpoint: Path) -> BackendOptions:
    return BackendOptions(checkpoint, CPU, 'float32', 0, False, tmp_path)


class FakeStream:
    """Remembers, in a list shared by all, who waits for whom."""

    def __init__(self, handle: int, order: list[tuple[int, int]]) -> None:
        self.cuda_stream = handle
        self._order = order

    def wait_stream(self, other: FakeStream) -> None:
        self._order.append((self.cuda_stream, other.cuda_stream))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Replace CUDA's streams: torch's current one has the handle 0, others 1, 2, ..."""
    order: list[tuple[int, int]] = []
    current = FakeStream(0, order)
    made: list[FakeStream] = []

    def new_stream(device: object = None) -> FakeStream:
        made.append(FakeStream(len(made) + 1, order))
        return made[-1]

    monkeypatch.setattr(torch.cuda, 'Stream', new_stream)
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda device=None: current)
    monkeypatch.setattr(torch.cuda, 'stream', lambda side: contextlib.nullcontext())
    return order


def test_work_on_an_own_stream_takes_its_turn(waits: list[tuple[int, int]]) -> None:
    stream = OwnStream(CPU)
    with stream.turn() as handle:
        assert handle == stream.handle == 1
        assert waits == [(1, 0)]
    assert waits == [(1, 0), (0, 1)]


def test_torchs_stream_waits_even_after_a_failure(waits: list[tuple[int, int]]) -> None:
    with pytest.raises(RuntimeError, match='broken'), OwnStream(CPU).turn():
        raise RuntimeError('broken')
    assert waits == [(1, 0), (0, 1)]


def test_the_current_device_is_that_of_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[object] = []

    def enter(device: object) -> contextlib.AbstractContextManager[None]:
        entered.append(device)
        return contextlib.nullcontext()

    monkeypatch.setattr(torch.cuda, 'device', enter)
    with on_device(torch.device('cuda:1')), on_device(CPU):
        assert entered == [torch.device('cuda:1')]


class FakeGraph:
    """Replays by calling the function again that ran while it was captured."""

    def __init__(self) -> None:
        self.arguments: dict[str, Any] = {}
        self.replay: Any = lambda: None


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch, waits: list[tuple[int, int]]) -> list[FakeGraph]:
    made: list[FakeGraph] = []

    def new_graph() -> FakeGraph:
        made.append(FakeGraph())
        return made[-1]

    @contextlib.contextmanager
    def capture(graph: FakeGraph, **arguments: Any) -> Iterator[None]:
        graph.arguments = arguments
        MeanNetwork.capturing = graph
        yield
        MeanNetwork.capturing = None

    monkeypatch.setattr(torch.cuda, 'graph_pool_handle', lambda: ('pool', len(made)))
    monkeypatch.setattr(torch.cuda, 'CUDAGraph', new_graph)
    monkeypatch.setattr(torch.cuda, 'graph', capture)
    return made


class MeanNetwork:
    """Gives the mean of the channels; while a graph is captured, tells it how to repeat that."""

    capturing: FakeGraph | None = None

    def __call__(self, left: torch.Tensor, right: torch.Tensor) -> Sequence[torch.Tensor]:
        mean = left.mean(dim=1, keepdim=True)
        maps = [mean, mean * 0, mean * 0 + 1]
        if self.capturing is not None:
            self.capturing.replay = lambda: maps[0].copy_(left.mean(dim=1, keepdim=True))
        return maps


class FakeTensorRt:
    """Engines are texts; a context writes nothing and remembers the stream and the addresses."""

    def __init__(self) -> None:
        self.builds = 0
        self.refusals = 0
        self.readable = True
        self.has_memory = True
        self.flags: list[int] = []
        self.cleared: list[object] = []
        self.workspaces: list[int] = []
        self.timings: list[bytes] = []
        self.stale_timings = False
        self.addresses: dict[str, int] = {}
        self.streams: list[int] = []

    def module(self, version: str = '10.13.3') -> SimpleNamespace:
        return SimpleNamespace(
            __version__=version,
            Logger=type('Logger', (), {'WARNING': 1, '__init__': lambda self, level: None}),
            Builder=lambda log: self,
            Runtime=lambda log: self,
            OnnxParser=lambda definition, log: self,
            NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
            BuilderFlag=SimpleNamespace(TF32='tf32'),
            MemoryPoolType=SimpleNamespace(WORKSPACE='workspace'),
        )

    def create_network(self, flags: int) -> object:
        self.flags.append(flags)
        return object()

    def create_builder_config(self) -> SimpleNamespace:
        return SimpleNamespace(
            clear_flag=self.cleared.append,
            set_memory_pool_limit=lambda pool, size: self.workspaces.append(size),
            create_timing_cache=lambda content: content,
            set_timing_cache=self.take_timings,
            get_timing_cache=lambda: SimpleNamespace(serialize=lambda: b'timings'),
        )

    def take_timings(self, content: bytes, *, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.timings.append(content)
        return not (content and self.stale_timings)

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

    def create_execution_context(self) -> FakeTensorRt | None:
        return self if self.has_memory else None

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        self.streams.append(stream)
        return True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, graphs: list[FakeGraph]) -> FakeTensorRt:
    fake = FakeTensorRt()
    monkeypatch.setitem(sys.modules, 'tensorrt', fake.module())
    monkeypatch.setattr('s2m2_ros.inference.engines.exported_models.to_onnx', lambda *_: b'onnx')
    monkeypatch.setattr('s2m2_ros.inference.backends.engines.prove', lambda *_: GOOD)
    return fake


def images(height: int = 40) -> torch.Tensor:
    return torch.zeros(1, 3, height, 64)


def test_engine_runs_on_a_real_stream_and_torchs_memory(
    fake: FakeTensorRt, options: BackendOptions, waits: list[tuple[int, int]]
) -> None:
    maps = tensor_rt.open_backend(options).infer(images(), images())
    assert maps.disparity.shape == (1, 40, 64)
    assert set(fake.addresses) == {'left', 'right', 'disparity', 'visibility', 'confidence'}
    assert len(set(fake.addresses.values())) == 5
    # Once before the capture, as TensorRT wants it, and once in it.
    assert fake.streams == [1, 1]
    assert waits == [(1, 0), (0, 1)]


def test_engine_is_replayed_as_a_graph_captured_on_its_own_stream(
    fake: FakeTensorRt, options: BackendOptions, graphs: list[FakeGraph]
) -> None:
    backend = tensor_rt.open_backend(options)
    for _ in range(2):
        backend.infer(images(), images())
    assert len(graphs) == 1
    assert graphs[0].arguments['stream'].cuda_stream == 1
    assert fake.streams == [1, 1]


def test_engine_that_cannot_be_captured_runs_as_it_is(
    fake: FakeTensorRt,
    options: BackendOptions,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse() -> None:
        raise RuntimeError('operation not permitted when stream is capturing')

    monkeypatch.setattr(torch.cuda, 'CUDAGraph', refuse)
    backend = tensor_rt.open_backend(options)
    for _ in range(2):
        assert backend.infer(images(), images()).disparity.shape == (1, 40, 64)
    assert fake.streams == [1, 1, 1]
    assert 'tensorrt runs without a CUDA graph' in caplog.text


def test_timings_of_kernels_serve_the_next_size_and_the_workspace_is_bounded(
    fake: FakeTensorRt, options: BackendOptions
) -> None:
    backend = tensor_rt.open_backend(options)
    backend.infer(images(), images())
    backend.infer(images(96), images(96))
    assert fake.timings == [b'', b'timings']
    assert all(0 < size <= tensor_rt.LARGEST_WORKSPACE_BYTES for size in fake.workspaces)
    fake.stale_timings = True
    backend.infer(images(128), images(128))
    assert fake.timings[2:] == [b'timings', b'']


def test_engine_is_strongly_typed_and_without_tf32(
    fake: FakeTensorRt, options: BackendOptions
) -> None:
    tensor_rt.open_backend(options).infer(images(), images())
    assert fake.flags == [1 << 1]
    assert fake.cleared == ['tf32']


def test_flags_that_a_later_tensorrt_lacks_are_not_needed(
    fake: FakeTensorRt, options: BackendOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fake.module('11.0.0')
    module.NetworkDefinitionCreationFlag = SimpleNamespace()
    module.BuilderFlag = SimpleNamespace()
    monkeypatch.setitem(sys.modules, 'tensorrt', module)
    tensor_rt.open_backend(options).infer(images(), images())
    assert (fake.flags, fake.cleared, fake.builds) == ([0], [], 1)


def test_engine_is_built_once_per_size_and_found_again(
    fake: FakeTensorRt, options: BackendOptions
) -> None:
    for _ in range(2):
        backend = tensor_rt.open_backend(options)
        backend.infer(images(), images())
        backend.infer(images(), images())
    assert fake.builds == 1
    backend.infer(images(96), images(96))
    assert fake.builds == 2


def test_engine_that_the_driver_refuses_is_built_again(
    fake: FakeTensorRt, options: BackendOptions
) -> None:
    fake.refusals = 1
    tensor_rt.open_backend(options).infer(images(), images())
    assert fake.builds == 2


def test_engine_that_is_always_refused_makes_the_backend_unavailable(
    fake: FakeTensorRt, options: BackendOptions
) -> None:
    fake.refusals = 2
    with pytest.raises(BackendUnavailableError, match='rejects'):
        tensor_rt.open_backend(options).infer(images(), images())


def test_no_context_is_a_lack_of_memory_that_passes(
    fake: FakeTensorRt, options: BackendOptions
) -> None:
    matcher = StereoMatcher(tensor_rt.open_backend(options))
    image = torch.zeros(40, 64, 3)
    fake.has_memory = False
    with pytest.raises(DeviceMemoryError, match='64x40'):
        matcher.match(image, image)
    fake.has_memory = True
    assert matcher.match(image, image).disparity.shape == (40, 64)


def test_model_that_cannot_be_parsed_is_an_error_in_tensorrts_words(
    fake: FakeTensorRt, options: BackendOptions
) -> None:
    fake.readable = False
    with pytest.raises(BackendUnavailableError, match='unsupported node 0'):
        tensor_rt.open_backend(options).infer(images(), images())


CUDA = torch.device('cuda:0')


@pytest.mark.parametrize(
    ('version', 'reason'),
    [('8.6.1', '8.6.1 is too old'), ('10.2.0', 'too old'), ('10.3.0', None), ('11.1.0', None)],
)
def test_versions_of_tensorrt(
    fake: FakeTensorRt,
    options: BackendOptions,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    reason: str | None,
) -> None:
    monkeypatch.setitem(sys.modules, 'tensorrt', fake.module(version))
    monkeypatch.setattr(tensor_rt, 'missing_packages', lambda *_: None)
    found = tensor_rt.unavailable(replace(options, device=CUDA))
    assert found is None if reason is None else reason in str(found)


def test_tensorrt_refuses_bfloat16(
    fake: FakeTensorRt, options: BackendOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensor_rt, 'missing_packages', lambda *_: None)
    found = tensor_rt.unavailable(replace(options, device=CUDA, precision='bfloat16'))
    assert 'InstanceNormalization' in str(found)


def test_on_a_jetson_the_advice_is_the_systems_package(
    options: BackendOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on_cuda = replace(options, device=CUDA)
    assert 'pip install tensorrt' in str(tensor_rt.unavailable(on_cuda))
    release = tmp_path / 'nv_tegra_release'
    release.touch()
    monkeypatch.setattr('s2m2_ros.inference.engines.versions.JETSON_RELEASE', release)
    assert 'apt-get install python3-libnvinfer' in str(tensor_rt.unavailable(on_cuda))
    assert 'pip' not in str(tensor_rt.unavailable(on_cuda))


class FakeSession:
    """An ONNX Runtime session that remembers how it was opened and bound."""

    def __init__(self, model: bytes, settings: object, providers: list[Any]) -> None:
        self.providers = providers
        self.bound: list[str] = []
        self.runs = 0

    def get_providers(self) -> list[str]:
        return [onnx_runtime.CUDA_PROVIDER]

    def io_binding(self) -> FakeSession:
        return self

    def bind_input(self, name: str, *_: object) -> None:
        self.bound.append(name)

    bind_output = bind_input

    def run_with_iobinding(self, binding: object) -> None:
        self.runs += 1


def test_onnxruntime_on_cuda_runs_on_a_real_stream_without_tf32(
    waits: list[tuple[int, int]], options: BackendOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[FakeSession] = []

    def session(*arguments: Any, **options: Any) -> FakeSession:
        opened.append(FakeSession(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr('onnxruntime.InferenceSession', session)
    monkeypatch.setattr('s2m2_ros.inference.engines.exported_models.to_onnx', lambda *_: b'onnx')
    monkeypatch.setattr('s2m2_ros.inference.engines.exported_models.device_name', str)
    sessions = onnx_runtime.OnnxSessions(replace(options, device=torch.device('cuda:1')))
    run = sessions.open(ExportSize(64, 64))
    (provider, settings), fallback = opened[0].providers
    assert (provider, fallback) == ('CUDAExecutionProvider', 'CPUExecutionProvider')
    assert settings == {'device_id': 1, 'user_compute_stream': '1', 'use_tf32': '0'}
    run(images(64), images(64))
    assert opened[0].bound == ['left', 'right', 'disparity', 'visibility', 'confidence']
    assert opened[0].runs == 1
    assert waits == [(1, 0), (0, 1)]


@pytest.fixture
def graphed(
    graphs: list[FakeGraph], options: BackendOptions, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setattr(cuda_graph, 'load_for_inference', lambda options: MeanNetwork())
    monkeypatch.setattr('s2m2_ros.inference.backends.engines.prove', lambda *_: GOOD)
    return cuda_graph.open_backend(options)


def gray(value: float, height: int = 40) -> torch.Tensor:
    return torch.full((1, 3, height, 64), value)


def test_replayed_graph_sees_new_images_and_results_stay(
    graphs: list[FakeGraph], graphed: Any
) -> None:
    # 64x64 needs no padding: its results must not alias the graph's own memory either.
    for height in (40, 64):
        first = graphed.infer(gray(5, height), gray(0, height))
        second = graphed.infer(gray(9, height), gray(0, height))
        assert (first.disparity == 5).all()
        assert (second.disparity == 9).all()
    assert len(graphs) == 1


def test_mono_bytes_and_colored_floats_share_a_graph(
    graphs: list[FakeGraph], graphed: Any
) -> None:
    graphed.infer(gray(5), gray(0))
    mono = torch.full((1, 1, 40, 64), 7, dtype=torch.uint8)
    assert (graphed.infer(mono, mono).disparity == 7).all()
    assert len(graphs) == 1


def test_graphs_are_kept_for_the_sizes_used_last(graphs: list[FakeGraph], graphed: Any) -> None:
    heights = [64 + 32 * index for index in range(ENGINES_KEPT)]
    for height in [*heights, 64, 992, 64]:
        assert graphed.infer(gray(1, height), gray(1, height)).disparity.shape[1] == height
    assert len(graphs) == ENGINES_KEPT + 1
    graphed.infer(gray(1, 96), gray(1, 96))
    assert len(graphs) == ENGINES_KEPT + 2


def test_capture_is_on_a_stream_of_the_backends_device(
    graphs: list[FakeGraph], waits: list[tuple[int, int]]
) -> None:
    GraphedNetwork(MeanNetwork(), CPU).capture(ExportSize(64, 64))
    arguments = graphs[0].arguments
    assert arguments['stream'].cuda_stream == 1
    assert arguments['capture_error_mode'] == 'thread_local'
    assert waits == [(1, 0), (0, 1)]


def test_graphs_of_all_sizes_share_a_pool_and_no_algorithms_are_tried(
    graphs: list[FakeGraph],
) -> None:
    """Some of cuDNN's algorithms take tens of gigabytes for a moment, which others may need."""
    tried: list[bool] = []

    class Network(MeanNetwork):
        def __call__(self, left: torch.Tensor, right: torch.Tensor) -> Sequence[torch.Tensor]:
            tried.append(torch.backends.cudnn.benchmark)
            return super().__call__(left, right)

    network = GraphedNetwork(Network(), CPU)
    for height in (64, 96):
        network.capture(ExportSize(height, 64))
    assert [graph.arguments['pool'] for graph in graphs] == 2 * [('pool', 0)]
    assert tried == 2 * (PASSES_BEFORE_CAPTURE + 1) * [False]


def test_a_graph_holds_the_tables_it_reads(graphs: list[FakeGraph]) -> None:
    class Network(MeanNetwork):
        def __call__(self, left: torch.Tensor, right: torch.Tensor) -> Sequence[torch.Tensor]:
            positional.positional_tables(2, 3, CPU)
            return super().__call__(left, right)

    captured = GraphedNetwork(Network(), CPU).capture(ExportSize(64, 96))
    assert len(captured.read) == 1
    assert captured.read[0] is positional.positional_tables(2, 3, CPU)


def test_compiled_code_is_captured_on_cuda_alone(
    graphs: list[FakeGraph], options: BackendOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_compile, 'load_for_inference', lambda options: MeanNetwork())
    monkeypatch.setattr(torch, 'compile', lambda network, dynamic: network)
    monkeypatch.setattr(torch.compiler, 'save_cache_artifacts', lambda: None)
    compiled = torch_compile.CompiledNetwork(options)
    assert compiled.compile(ExportSize(64, 64)) == compiled._run
    assert not graphs
    # A device that is not there, for this choice alone.
    monkeypatch.setattr(torch_compile, 'captures', lambda device: True)
    captured = compiled.compile(ExportSize(64, 96))
    assert isinstance(captured, CapturedGraph)
    assert len(graphs) == 1
