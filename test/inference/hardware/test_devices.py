"""Devices by name, and the precision that 'auto' means; GPUs are stand-ins: none is here."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference import BackendUnavailableError, StereoMatcher
from s2m2_ros.inference.backend import BackendOptions
from s2m2_ros.inference.backends import torch_compile, torch_eager
from s2m2_ros.inference.engines.proof import Proof
from s2m2_ros.inference.engines.versions import lacks_exporter, version_pair
from s2m2_ros.inference.hardware import cpu_bfloat16
from s2m2_ros.inference.hardware.devices import resolve_device
from s2m2_ros.inference.hardware.float32_arithmetic import without_tf32

CPU = torch.device('cpu')


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(torch.cuda, 'current_device', lambda: 0)


@pytest.mark.usefixtures('two_gpus')
def test_cuda_and_its_first_device_are_one() -> None:
    first = torch.device('cuda:0')
    for name in ('auto', 'cuda', 'cuda:0', torch.device('cuda')):
        assert resolve_device(name) == first
    assert resolve_device('cuda:1') == torch.device('cuda:1')


@pytest.mark.usefixtures('two_gpus')
def test_a_device_that_the_machine_lacks_is_named_with_those_it_has() -> None:
    with pytest.raises(BackendUnavailableError, match='this machine has cuda:0, cuda:1') as caught:
        resolve_device('cuda:2')
    assert str(caught.value).startswith("device 'cuda:2' is unavailable: ")


def test_cuda_without_a_gpu_names_the_parameter() -> None:
    assert not torch.cuda.is_available()
    with pytest.raises(BackendUnavailableError, match=r"^device 'cuda' is unavailable: torch "):
        resolve_device('cuda')


def test_cpu_has_one_name() -> None:
    assert resolve_device('cpu') == resolve_device('cpu:0') == resolve_device('auto') == CPU


@pytest.mark.parametrize('name', ['mps', 'xpu', 'meta', 'vulkan:0', 'xla'])
def test_devices_of_torch_that_are_not_supported(name: str) -> None:
    with pytest.raises(BackendUnavailableError, match=f"device '{name}' is unavailable: this"):
        resolve_device(name)


@pytest.mark.parametrize('name', ['cpu:3', 'gpu', 'GPU:0', 'hip', 'cuda:', 'cuda:-1', '', '0'])
def test_what_is_no_device(name: str) -> None:
    with pytest.raises(S2M2Error, match='must be auto, cpu, cuda or cuda:N, not'):
        resolve_device(name)


def figures(pixels: float) -> Proof:
    return Proof(pixels, pixels, 0.0, 0.0)


@pytest.fixture
def opened(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., StereoMatcher]:
    """Return what opens a matcher on a processor that has, or lacks, bfloat16."""

    def open_matcher(*, instructions: bool, difference: float, **options: Any) -> StereoMatcher:
        monkeypatch.setattr(cpu_bfloat16, 'has_instructions', lambda: instructions)
        monkeypatch.setattr(cpu_bfloat16, 'prove', lambda *_: figures(difference))
        return StereoMatcher.open(checkpoint, device='cpu', cache_folder=tmp_path, **options)

    return open_matcher


@pytest.mark.parametrize(
    ('instructions', 'difference', 'precision'),
    [(True, 0.09, 'bfloat16'), (True, 0.11, 'float32'), (False, 0.0, 'float32')],
)
def test_auto_on_a_processor(
    opened: Callable[..., StereoMatcher], instructions: bool, difference: float, precision: str
) -> None:
    matcher = opened(instructions=instructions, difference=difference)
    assert (matcher.backend, matcher.precision) == ('torch', precision)


def test_the_comparison_is_kept(
    opened: Callable[..., StereoMatcher], caplog: pytest.LogCaptureFixture
) -> None:
    opened(instructions=True, difference=0.01)
    with caplog.at_level(logging.INFO, 's2m2_ros'):
        # Would be refused if measured again.
        assert opened(instructions=True, difference=5.0).precision == 'bfloat16'
    assert 'beside float32' not in caplog.text


def test_the_real_comparison_runs(checkpoint: Path, tmp_path: Path) -> None:
    options = BackendOptions(checkpoint, CPU, 'bfloat16', 0, False, tmp_path)
    reason = cpu_bfloat16.why_not_bfloat16(options)
    assert reason is None or 'bfloat16' in reason


def test_onnxruntime_stays_in_float32_on_a_processor(
    opened: Callable[..., StereoMatcher],
) -> None:
    matcher = opened(instructions=True, difference=0.0, backend='onnxruntime')
    assert matcher.precision == 'float32'


def test_float16_on_a_processor_warns_and_is_float32(
    checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    matcher = StereoMatcher.open(checkpoint, device='cpu', precision='float16')
    assert matcher.precision == 'float32'
    (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert 'computing in float32' in warning.getMessage()


@pytest.mark.parametrize('instructions', [True, False])
def test_bfloat16_without_instructions_is_slow_and_said(
    opened: Callable[..., StereoMatcher], instructions: bool, caplog: pytest.LogCaptureFixture
) -> None:
    matcher = opened(instructions=instructions, difference=0.0, precision='bfloat16')
    assert matcher.precision == 'bfloat16'
    assert ('eight times as long' in caplog.text) is not instructions


def test_instructions_are_read_where_torch_does_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.cpu, 'get_capabilities', raising=False)
    for flags, expected in (
        ('fpu avx512f avx512_bf16', True),
        ('fpu amx_bf16 amx_tile', True),
        ('fpu avx512f avx2', False),
    ):
        file = tmp_path / 'cpuinfo'
        file.write_text(f'model name\t: X\nflags\t\t: {flags}\n')
        assert cpu_bfloat16.has_instructions(file) is expected
    assert cpu_bfloat16.has_instructions(tmp_path / 'absent') is False


@pytest.mark.parametrize('setting', ['highest', 'high', 'medium'])
def test_tf32_is_off_meanwhile_and_put_back(setting: str) -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision(setting)
        torch.backends.cudnn.allow_tf32 = True
        with pytest.raises(ZeroDivisionError), without_tf32():
            assert torch.get_float32_matmul_precision() == 'highest'
            assert not torch.backends.cuda.matmul.allow_tf32
            assert not torch.backends.cudnn.allow_tf32
            raise ZeroDivisionError
        assert torch.get_float32_matmul_precision() == setting
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def test_versions_are_compared_as_numbers() -> None:
    assert version_pair('2.13.0+cpu') == (2, 13)
    assert version_pair('10.3.0.26') == (10, 3)
    assert version_pair('11') == (11, 0)
    assert version_pair('unknown') == (0, 0)


@pytest.mark.parametrize(
    ('version', 'usable'),
    [
        ('2.3.1', ()),
        ('2.5.0a0+872d972e41.nv24.08', ('torch',)),
        ('2.6.0', ('torch', 'export')),
        ('2.7.0', ('torch', 'export', 'compiled')),
    ],
)
def test_a_torch_that_lacks_something_makes_backends_unavailable(
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: Path,
    version: str,
    usable: tuple[str, ...],
) -> None:
    monkeypatch.setattr(torch, '__version__', version)
    options = BackendOptions(checkpoint, CPU, 'float32', 0, False, Path())
    for name, reason in (
        ('torch', torch_eager.unavailable(options)),
        ('export', lacks_exporter()),
        ('compiled', torch_compile.unavailable(options)),
    ):
        assert (reason is None) is (name in usable)
        assert reason is None or reason.startswith(f'torch {version} is too old for ')


def test_onnxruntime_of_the_processor_is_unavailable_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    from s2m2_ros.inference.backends import onnx_runtime

    options = BackendOptions(checkpoint, torch.device('cuda:0'), 'float32', 0, False, Path())
    assert 'is a CPU build' in str(onnx_runtime.unavailable(options))
    old = SimpleNamespace(
        __version__='1.17.3', get_available_providers=lambda: [onnx_runtime.CUDA_PROVIDER]
    )
    monkeypatch.setitem(sys.modules, 'onnxruntime', old)
    monkeypatch.setattr(onnx_runtime, 'missing_packages', lambda *_: None)
    assert 'ONNX Runtime 1.17.3 is too old for CUDA' in str(onnx_runtime.unavailable(options))
