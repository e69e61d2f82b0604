"""Free memory honors control groups and the limits of the process."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from s2m2_ros.inference.hardware.device_memory import is_out_of_memory
from s2m2_ros.inference.hardware.host_memory import free_host_bytes

MIB = 1 << 20


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Return a /proc of a machine with 8 GiB available, in no group."""
    folder = tmp_path / 'proc'
    write(folder / 'meminfo', f'MemTotal: 99999999 kB\nMemAvailable:  {8 * MIB} kB\n')
    write(folder / 'self' / 'status', 'VmSize:\t2048 kB\nVmData:\t1024 kB\n')
    write(folder / 'self' / 'cgroup', '0::/\n')
    return folder


def test_without_limits_it_is_what_the_kernel_calls_available(proc: Path, tmp_path: Path) -> None:
    assert free_host_bytes(proc, tmp_path / 'groups') == 8192 * MIB


def test_unknown_is_zero(tmp_path: Path) -> None:
    assert free_host_bytes(tmp_path / 'proc', tmp_path / 'groups') == 0


def test_version_2_counts_the_tightest_group_around_it(proc: Path, tmp_path: Path) -> None:
    groups = tmp_path / 'groups'
    write(proc / 'self' / 'cgroup', '0::/robot/camera\n')
    # The inner group has no limit; 300 of 900 MiB of the outer one are in use, 100 reclaimable.
    write(groups / 'robot' / 'camera' / 'memory.max', 'max\n')
    write(groups / 'robot' / 'camera' / 'memory.current', f'{200 * MIB}\n')
    write(groups / 'robot' / 'memory.max', f'{900 * MIB}\n')
    write(groups / 'robot' / 'memory.current', f'{300 * MIB}\n')
    write(groups / 'robot' / 'memory.stat', f'anon 5\ninactive_file {100 * MIB}\n')
    assert free_host_bytes(proc, groups) == 700 * MIB


def test_version_2_in_a_container_is_the_root_of_the_mount(proc: Path, tmp_path: Path) -> None:
    groups = tmp_path / 'groups'
    write(proc / 'self' / 'cgroup', '0::/docker/0123abcd\n')
    write(groups / 'memory.max', f'{512 * MIB}\n')
    write(groups / 'memory.current', f'{112 * MIB}\n')
    assert free_host_bytes(proc, groups) == 400 * MIB


def test_version_1(proc: Path, tmp_path: Path) -> None:
    groups = tmp_path / 'groups'
    write(proc / 'self' / 'cgroup', '5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n')
    write(groups / 'memory' / 'a' / 'memory.limit_in_bytes', f'{600 * MIB}\n')
    write(groups / 'memory' / 'a' / 'memory.usage_in_bytes', f'{350 * MIB}\n')
    write(groups / 'memory' / 'a' / 'memory.stat', f'total_inactive_file {50 * MIB}\n')
    write(groups / 'memory' / 'memory.limit_in_bytes', '9223372036854771712\n')
    write(groups / 'memory' / 'memory.usage_in_bytes', f'{2000 * MIB}\n')
    assert free_host_bytes(proc, groups) == 300 * MIB


def test_a_group_above_its_limit_leaves_nothing(proc: Path, tmp_path: Path) -> None:
    write(tmp_path / 'groups' / 'memory.max', f'{100 * MIB}\n')
    write(tmp_path / 'groups' / 'memory.current', f'{130 * MIB}\n')
    assert free_host_bytes(proc, tmp_path / 'groups') == 0


@pytest.mark.parametrize(
    ('limit', 'left'), [(resource.RLIMIT_AS, 98 * MIB), (resource.RLIMIT_DATA, 99 * MIB)]
)
def test_limits_of_the_process(
    proc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, left: int
) -> None:
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(
        resource, 'getrlimit', lambda kind: (100 * MIB, -1) if kind == limit else unlimited
    )
    assert free_host_bytes(proc, tmp_path / 'groups') == left


def test_a_real_limit_of_this_kernel() -> None:
    code = (
        'import resource\n'
        'from s2m2_ros.inference.hardware.host_memory import free_host_bytes as free\n'
        'resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))\n'
        'print(free())'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert 0 < int(result.stdout) < 1 << 31


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('could not create a primitive', True),
        ('could not create a primitive descriptor iterator: out of memory', True),
        ('CUDA error: out of memory', True),
        ('[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9', True),
        ('std::bad_alloc', True),
        ('cuDNN error: CUDNN_STATUS_ALLOC_FAILED', True),
        ('CUDA error: device-side assert triggered', False),
        ('mat1 and mat2 shapes cannot be multiplied', False),
    ],
)
def test_what_libraries_write_when_memory_is_exhausted(text: str, expected: bool) -> None:
    assert is_out_of_memory(RuntimeError(text)) is expected
    assert not is_out_of_memory(ValueError(text))


def test_onnx_runtimes_own_errors_count_too() -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    assert is_out_of_memory(RuntimeException('BFCArena: Failed to allocate memory for requested'))
    assert not is_out_of_memory(RuntimeException('Invalid rank for input: left'))
