"""What `s2m2 doctor` finds, with its surroundings made up."""

from __future__ import annotations

import builtins
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from s2m2_ros import doctor
from s2m2_ros.cli.main import main
from s2m2_ros.doctor import Health
from s2m2_ros.network import S2M2, S2M2Config, save_network, winograd
from support.processes import SOURCE

PROFILE = str(SOURCE / 'config' / 'fastdds_large_messages.xml')
NEW, OLD = 'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'


@pytest.mark.parametrize(
    ('distribution', 'variables', 'health', 'told'),
    [
        ('kilted', {}, Health.POOR, '512 KiB'),
        ('kilted', {NEW: PROFILE}, Health.GOOD, PROFILE),
        ('kilted', {OLD: PROFILE}, Health.GOOD, PROFILE),
        ('kilted', {NEW: '/no/such.xml', OLD: PROFILE}, Health.POOR, "no '/no/such.xml'"),
        ('jazzy', {OLD: PROFILE}, Health.GOOD, PROFILE),
        ('jazzy', {NEW: PROFILE}, Health.POOR, f'ignores {NEW}'),
        ('humble', {NEW: PROFILE}, Health.POOR, f'ignores {NEW}'),
        ('kilted', {NEW: __file__}, Health.POOR, 'not XML'),
        ('kilted', {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}, Health.POOR, 'lose images'),
        ('kilted', {'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA'}, Health.POOR, 'LARGE_DATA too'),
    ],
)
def test_fast_dds_wants_room_for_images(
    distribution: str, variables: dict[str, str], health: Health, told: str
) -> None:
    finding = doctor.fast_dds({'ROS_DISTRO': distribution, **variables})
    assert finding.health is health
    assert told in finding.fact
    expected = NEW if distribution == 'kilted' else OLD
    assert (f'export {expected}={PROFILE}' in finding.remedy) == (health is Health.POOR)


def test_a_profile_with_a_small_segment_is_found(tmp_path: Path) -> None:
    profile = tmp_path / 'small.xml'
    profile.write_text(
        '<dds xmlns="http://www.eprosima.com"><segment_size>1048576</segment_size></dds>'
    )
    finding = doctor.fast_dds({'ROS_DISTRO': 'kilted', NEW: str(profile)})
    assert finding.health is Health.POOR
    assert 'segment of 1048576 bytes' in finding.fact


@pytest.mark.parametrize(
    ('content', 'health'), [('212992\n', Health.POOR), ('2147483647\n', Health.GOOD)]
)
def test_receive_buffer(tmp_path: Path, content: str, health: Health) -> None:
    setting = tmp_path / 'rmem_max'
    setting.write_text(content)
    assert doctor.receive_buffer(setting).health is health
    assert doctor.receive_buffer(tmp_path / 'missing').health is Health.NOTE


@pytest.mark.parametrize(
    ('environment', 'health', 'fact'),
    [
        ({}, Health.GOOD, '0, discovery: SUBNET'),
        ({'ROS_DOMAIN_ID': '7', 'ROS_LOCALHOST_ONLY': '1'}, Health.GOOD, '7, discovery: LOCAL'),
        ({'ROS_DOMAIN_ID': '102'}, Health.POOR, '102'),
        ({'ROS_DOMAIN_ID': '232'}, Health.POOR, 'its ports may be taken'),
        ({'ROS_DOMAIN_ID': '300'}, Health.POOR, 'no domains above 232'),
        ({'ROS_DOMAIN_ID': 'seven'}, Health.POOR, 'seven'),
        ({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'local'}, Health.POOR, 'takes for LOCALHOST'),
        ({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'OFF'}, Health.POOR, 'do not find one another'),
    ],
)
def test_domain(environment: dict[str, str], health: Health, fact: str) -> None:
    finding = doctor.domain(environment)
    assert finding.health is health
    assert fact in finding.fact


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('RMW_IMPLEMENTATION', 'rmw_of_nowhere_cpp', 'rmw_of_nowhere_cpp'),
        ('ROS_DOMAIN_ID', '300', ''),
        ('ROS_LOG_DIR', '/proc/none', '/proc/none'),
        ('ROS_STATIC_PEERS', 'host.invalid', 'host.invalid'),
    ],
)
def test_what_keeps_a_node_from_starting_is_one_finding_of_many(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    value: str,
    reason: str,
) -> None:
    """RCL ends a process that loads it with an RMW which is not there, without an exception."""
    monkeypatch.setenv(name, value)
    assert main(['doctor']) == 1
    lines = capfd.readouterr().out.splitlines()
    found = next(n for n, line in enumerate(lines) if line.startswith('BROKEN  RMW: no node'))
    assert reason in lines[found]
    assert name in lines[found + 1]
    assert any(line.startswith('ok      torch') for line in lines)


def test_a_home_that_cannot_be_written_to_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', '/proc')
    monkeypatch.delenv('ROS_LOG_DIR', raising=False)
    (found,) = doctor.middleware(os.environ)
    assert found.health is Health.BROKEN
    assert '/proc/.ros/log' in found.fact
    assert 'export ROS_LOG_DIR=' in found.remedy


def test_damaged_weights_of_the_package_are_not_to_be_downloaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no address that `s2m2 weights download starter` could fetch them from."""
    monkeypatch.setattr(doctor, 'is_intact', lambda checkpoint, path: False)
    found = {finding.subject: finding for finding in doctor.checkpoints()}
    assert found['checkpoint starter'].health is Health.BROKEN
    assert 'reinstall s2m2_ros' in found['checkpoint starter'].remedy
    assert 'download' not in found['checkpoint starter'].remedy


def test_a_package_that_cannot_be_imported_is_named_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Python does not import what is None here; the file itself is still found.
    monkeypatch.setitem(sys.modules, 'safetensors', None)
    found = list(doctor.check_installation())
    broken = [finding for finding in found if finding.health is Health.BROKEN]
    assert [finding.subject for finding in broken] == ['Python package safetensors']
    assert broken[0].remedy == 'pip install safetensors'
    assert 'shared memory' in [finding.subject for finding in found]


def test_a_package_of_ros_for_another_numpy_is_named(tmp_path: Path) -> None:
    (tmp_path / 'cv_bridge.py').write_text("raise AttributeError('_ARRAY_API not found')\n")
    environment = {**os.environ, 'PYTHONPATH': str(tmp_path)}
    found = {finding.subject: finding for finding in doctor.ros_installation(environment)}
    assert found['ROS package cv_bridge'].health is Health.BROKEN
    assert 'pip install "numpy<2"' in found['ROS package cv_bridge'].remedy
    assert 'ROS packages' not in found


def test_a_torch_whose_libraries_are_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = 'libcudnn.so.9: cannot open shared object file'
    plain_import = builtins.__import__

    def fail(name: str, *rest: Any, **named: Any) -> Any:
        if name == 'torch':
            raise OSError(missing)
        return plain_import(name, *rest, **named)

    monkeypatch.setattr(builtins, '__import__', fail)
    found = list(doctor.computing())
    assert [(f.subject, f.health, f.fact) for f in found] == [('torch', Health.BROKEN, missing)]


def test_a_gpu_that_cannot_be_used_is_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError('CUDA error: all CUDA-capable devices are busy\nCompile with ...')

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'mem_get_info', fail)
    found = list(doctor.computing())[-1]
    assert (found.subject, found.health) == ('CUDA', Health.BROKEN)
    assert found.fact == 'CUDA error: all CUDA-capable devices are busy'


def test_old_python_is_broken() -> None:
    assert doctor.python((3, 9)).health is Health.BROKEN
    assert doctor.python((3, 10)).health is Health.GOOD


def test_missing_shared_memory(tmp_path: Path) -> None:
    assert doctor.shared_memory(tmp_path / 'missing').health is Health.POOR


@pytest.mark.parametrize(
    ('built', 'health', 'fact'),
    [
        (True, Health.NOTE, 'need GCC and a processor with AVX2'),
        (False, Health.POOR, 'up to 1.7 times as long'),
    ],
)
def test_convolutions_that_are_not_compiled(
    monkeypatch: pytest.MonkeyPatch, built: bool, health: Health, fact: str
) -> None:
    monkeypatch.setattr(winograd, 'is_built', lambda: built)
    monkeypatch.setattr(winograd, 'library', lambda: None)
    found = doctor.convolutions_built()
    assert found.health is health
    assert fact in found.fact
    assert bool(found.remedy) == (health is Health.POOR)


def test_the_command_reports_this_environment(capsys: pytest.CaptureFixture[str]) -> None:
    broken = any(finding.health is Health.BROKEN for finding in doctor.check_installation())
    assert main(['doctor']) == (1 if broken else 0)
    output = capsys.readouterr().out
    # The suite needs these; its own profile for Fast DDS is set for every process.
    for subject in ('ROS 2', 'messages', 'RMW', 'large messages', 'torch'):
        assert f'ok      {subject}: ' in output


def test_verify_lists_every_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The compiled backend is left out: it takes minutes; ONNX Runtime gets a wrong model."""
    file = tmp_path / 'narrow.safetensors'
    torch.manual_seed(0)
    save_network(S2M2(S2M2Config(channels=16, transformers=1)), file, licence='Apache-2.0')
    monkeypatch.setattr('s2m2_ros.inference.backends.engines._failures', {})
    monkeypatch.setattr(
        's2m2_ros.inference.backends.onnx_runtime.OnnxSessions.open',
        lambda self, size: lambda left, right: [left[:, :1]] * 3,
    )
    options = ['--checkpoint', str(file), '--size', '32x64', '--device', 'cpu', '--backends']
    assert main(['doctor', '--verify', *options, 'torch', 'cudagraph', 'tensorrt']) == 0
    rows = [line.split(maxsplit=4) for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1] for row in rows] == ['torch'] * 2 + ['cudagraph'] * 2 + ['tensorrt'] * 2
    assert rows[0][:4] == ['ok', 'torch', 'cpu', 'float32']
    assert rows[2][4] == 'unavailable: it needs a CUDA device, not cpu'
    assert main(['doctor', '--verify', *options, 'onnxruntime']) == 1
    assert 'WRONG   onnxruntime  cpu     float32' in capsys.readouterr().out


def test_a_broken_checkpoint_is_told_before_the_table_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'broken.pth').write_bytes(b'nothing')
    assert main(['doctor', '--verify', '--checkpoint', str(tmp_path / 'broken.pth')]) == 2
    printed = capsys.readouterr()
    assert 'broken.pth' in printed.err
    assert not printed.out


def test_help_shows_the_size_as_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['doctor', '--help'])
    assert '(default: 128x192)' in ' '.join(capsys.readouterr().out.split())
