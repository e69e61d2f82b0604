"""Other networks on GPUs, with stand-ins: there is no GPU and no TensorRT here.

The stand-ins compute with ONNX Runtime on the processor. Nothing below shows that real versions
of TensorRT and ONNX Runtime's CUDA provider accept these calls.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from s2m2_ros.inference import BackendOptions, BackendUnavailableError, StereoMatcher
from s2m2_ros.inference.backends import foreign_onnx, foreign_tensorrt
from s2m2_ros.inference.backends import tensorrt as tensor_rt
from s2m2_ros.inference.other_networks import sessions
from s2m2_ros.inference.other_networks.onnx_model import read_onnx
from s2m2_ros.inference.other_networks.planted_check import DescriptionMismatchError
from s2m2_ros.inference.other_networks.recognition import recognize
from support.onnx_networks import BlockMatcher
from support.shifted_pairs import SHIFT, median, shifted_pair

Writer = Callable[..., Path]
CPU = torch.device('cpu')


class FakeStream:
    """A stream on which nothing waits."""

    handle = 1

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @contextlib.contextmanager
    def turn(self) -> Any:
        yield self.handle


class FakeTensorRt:
    """Engines are the models themselves; a context runs them with ONNX Runtime.

    `offset` is added to what the engine gives, as a wrong engine would.
    """

    def __init__(self) -> None:
        self.built: list[bytes] = []
        self.offset = 0.0
        self.addresses: dict[str, int] = {}

    def build(self, model: bytes, timings: bytes, workspace: int) -> tensor_rt.BuiltEngine:
        self.built.append(model)
        return tensor_rt.BuiltEngine(model, b'')

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        self.session = onnxruntime.InferenceSession(plan, providers=['CPUExecutionProvider'])
        return self

    def create_execution_context(self) -> FakeTensorRt:
        return self

    def get_tensor_shape(self, name: str) -> list[int]:
        port = next(p for p in self.session.get_outputs() if p.name == name)
        rows, columns = self.session.get_inputs()[0].shape[2:]
        # ONNX Runtime shows the names of axes that TensorRT would have worked out.
        return [*port.shape[:-2], rows, columns]

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        feeds = {
            port.name: _at(self.addresses[port.name], port.shape)
            for port in self.session.get_inputs()
        }
        for port, values in zip(
            self.session.get_outputs(), self.session.run(None, feeds), strict=True
        ):
            _at(self.addresses[port.name], values.shape)[...] = values + self.offset
        return stream == FakeStream.handle


def _at(address: int, shape: Any) -> np.ndarray:
    """Return the float32 values at an address of host memory."""
    import ctypes

    pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(pointer, tuple(shape))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    fake = FakeTensorRt()
    module = SimpleNamespace(
        __version__='10.13.3',
        Logger=type('Logger', (), {'WARNING': 1, '__init__': lambda self, level: None}),
        Runtime=lambda log: fake,
    )
    monkeypatch.setitem(sys.modules, 'tensorrt', module)
    monkeypatch.setattr(tensor_rt, 'build_engine', fake.build)
    monkeypatch.setattr(tensor_rt, 'OwnStream', FakeStream)
    monkeypatch.setattr(foreign_tensorrt, 'missing_packages', lambda *_: None)
    return fake


def options(path: Path, tmp_path: Path, device: torch.device = CPU) -> BackendOptions:
    return BackendOptions(path, device, 'float32', 3, False, tmp_path / 'cache')


def matcher_of(path: Path, tmp_path: Path) -> StereoMatcher:
    return StereoMatcher(foreign_tensorrt.open_backend(options(path, tmp_path)))


def test_an_engine_matches_and_is_built_once_per_size(
    fake: FakeTensorRt, write: Writer, tmp_path: Path
) -> None:
    path = write(BlockMatcher(with_confidence=True), 'outputs: {disparity: disparity}')
    for _ in range(2):
        matcher = matcher_of(path, tmp_path)
        assert median(matcher.match(*shifted_pair()).disparity) == SHIFT
    assert len(fake.built) == 1
    # Only what is read needs memory; the open axes of the inputs are fixed.
    model = onnx.load_model_from_string(fake.built[0])
    assert [value.name for value in model.graph.output] == ['disparity']
    for value in model.graph.input:
        assert [axis.dim_value for axis in value.type.tensor_type.shape.dim] == [1, 3, 96, 160]
    matcher.match(*shifted_pair(height=128))
    assert len(fake.built) == 2


def test_an_engine_that_differs_from_the_processor_is_not_used(
    fake: FakeTensorRt, write: Writer, tmp_path: Path
) -> None:
    fake.offset = 0.5
    with pytest.raises(
        BackendUnavailableError, match='differs from that of ONNX Runtime on the processor'
    ):
        matcher_of(write(BlockMatcher()), tmp_path).match(*shifted_pair())


def test_another_description_is_proven_again(
    fake: FakeTensorRt, write: Writer, tmp_path: Path
) -> None:
    matcher_of(write(BlockMatcher()), tmp_path).match(*shifted_pair())
    fake.offset = 0.5
    again = write(BlockMatcher(), 'disparity: {largest: 39}')
    with pytest.raises(BackendUnavailableError, match='differs'):
        matcher_of(again, tmp_path).match(*shifted_pair())


def test_a_wrong_description_is_found_before_an_engine_is_built(
    fake: FakeTensorRt, write: Writer, tmp_path: Path
) -> None:
    with pytest.raises(DescriptionMismatchError, match=r'disparity\.sign: negative'):
        matcher_of(write(BlockMatcher(sign=-1)), tmp_path)
    assert fake.built == []


def test_what_tensorrt_needs(fake: FakeTensorRt, write: Writer, tmp_path: Path) -> None:
    path = write(BlockMatcher())
    assert 'CUDA device' in str(foreign_tensorrt.unavailable(options(path, tmp_path)))
    on_cuda = options(path, tmp_path, torch.device('cuda:0'))
    assert foreign_tensorrt.unavailable(on_cuda) is None
    vars(sys.modules['tensorrt'])['__version__'] = '8.6.1'
    assert 'too old' in str(foreign_tensorrt.unavailable(on_cuda))


def test_a_cpu_build_of_onnx_runtime_is_named_on_cuda(write: Writer, tmp_path: Path) -> None:
    on_cuda = options(write(BlockMatcher()), tmp_path, torch.device('cuda:0'))
    reason = str(foreign_onnx.unavailable(on_cuda))
    assert 'onnxruntime-gpu' in reason
    assert 'set device to cpu' in reason


class FakeCudaSession:
    """A session that remembers how it was opened and bound, and computes on the processor."""

    opened: list[FakeCudaSession]

    def __init__(self, model: bytes, settings: object, providers: list[Any]) -> None:
        self.providers = providers
        self.session = real_session(model, providers=['CPUExecutionProvider'])
        self.feeds: dict[str, np.ndarray] = {}
        self.outputs: dict[str, str] = {}
        self.offset = 0.0
        FakeCudaSession.opened.append(self)

    def io_binding(self) -> FakeCudaSession:
        self.outputs = {}
        return self

    def bind_input(self, name: str, *place: Any) -> None:
        assert place[0] == 'cuda'
        self.feeds[name] = _at(place[4], place[3])

    def bind_output(self, name: str, device: str, index: int) -> None:
        self.outputs[name] = f'{device}:{index}'

    def run_with_iobinding(self, binding: object) -> None:
        self.values = self.session.run(list(self.outputs), self.feeds)

    def synchronize_outputs(self) -> None:
        pass

    def copy_outputs_to_cpu(self) -> list[np.ndarray]:
        return [value + self.offset for value in self.values]


real_session = onnxruntime.InferenceSession


@pytest.mark.parametrize('offset', [0.0, 0.5])
def test_the_cuda_provider_is_compared_with_the_processor(
    write: Writer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, offset: float
) -> None:
    FakeCudaSession.opened = []
    path = write(BlockMatcher())
    found = recognize(read_onnx(path))
    with monkeypatch.context() as patch:
        patch.setattr(onnxruntime, 'InferenceSession', FakeCudaSession)
        patch.setattr(sessions, 'OwnStream', FakeStream)
        backend = foreign_onnx.open_on_device(found, options(path, tmp_path))
    FakeCudaSession.opened[0].offset = offset
    matcher = StereoMatcher(backend)
    if not offset:
        assert median(matcher.match(*shifted_pair()).disparity) == SHIFT
        return
    with pytest.raises(BackendUnavailableError, match=r'differs .* by 0\.5 px'):
        matcher.match(*shifted_pair())


def test_the_cuda_provider_runs_on_torchs_memory_without_tf32(
    write: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeCudaSession.opened = []
    monkeypatch.setattr(onnxruntime, 'InferenceSession', FakeCudaSession)
    monkeypatch.setattr(sessions, 'OwnStream', FakeStream)
    found = recognize(read_onnx(write(BlockMatcher(with_confidence=True))))
    run = sessions.CudaSession(found.model, found.outputs, CPU)
    (session,) = FakeCudaSession.opened
    (provider, settings), fallback = session.providers
    assert (provider, fallback) == ('CUDAExecutionProvider', 'CPUExecutionProvider')
    assert settings == {'device_id': 0, 'user_compute_stream': '1', 'use_tf32': '0'}
    left, right = (
        torch.from_numpy(i).permute(2, 0, 1)[None].float().contiguous() for i in shifted_pair()
    )
    disparity, confidence = run({'left': left, 'right': right})
    assert session.outputs == {'disparity': 'cuda:0', 'confidence': 'cuda:0'}
    assert median(disparity) == SHIFT
    assert median(confidence) == 0.75
