"""`make env` says in one line what is wrong, and does nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from support.processes import SOURCE
from support.scripts import load_script


@pytest.fixture(scope='module')
def environment() -> ModuleType:
    return load_script('underlay/environment.py')


@pytest.mark.parametrize('version', [(3, 10), (3, 11), (3, 14)])
def test_supported_pythons_pass(environment: ModuleType, version: tuple[int, int]) -> None:
    environment.check_python(version, 'x86_64', ros=False)


@pytest.mark.parametrize(
    ('version', 'machine', 'told'),
    [
        ((3, 9), 'x86_64', 'Python 3.9 is not supported'),
        ((3, 15), 'x86_64', 'Python 3.15 is not supported'),
        ((3, 11), 'aarch64', 'not for aarch64: install ROS 2'),
    ],
)
def test_unsupported_machine_gets_one_line(
    environment: ModuleType, version: tuple[int, int], machine: str, told: str
) -> None:
    with pytest.raises(environment.SetupError, match=told) as caught:
        environment.check_python(version, machine, ros=False)
    assert '\n' not in str(caught.value)


def test_other_processors_are_fine_on_a_ros_installation(environment: ModuleType) -> None:
    environment.check_python((3, 12), 'aarch64', ros=True)


@pytest.mark.parametrize(
    ('missing', 'told'),
    [('cc', 'build-essential'), ('c++', 'build-essential'), ('cmake', 'cmake')],
)
def test_missing_tool_names_the_package(
    environment: ModuleType, missing: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / 'Python.h').touch()
    with pytest.raises(environment.SetupError, match=told):
        environment.check_tools(lambda name: None if name == missing else f'/bin/{name}', tmp_path)


def test_missing_python_headers_name_the_package(environment: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(environment.SetupError, match='python3-dev'):
        environment.check_tools(lambda name: f'/bin/{name}', tmp_path)


def test_foreign_or_half_made_folder_is_left_alone(
    environment: ModuleType, tmp_path: Path
) -> None:
    folder = tmp_path / '.venv'
    environment.check_folder(folder)  # not there: nothing to say
    (folder / 'bin').mkdir(parents=True)
    with pytest.raises(environment.SetupError, match=f'rm -rf {folder}'):
        environment.check_folder(folder)
    assert (folder / 'bin').is_dir()


def test_damaged_environment_says_how_to_start_over(
    environment: ModuleType, tmp_path: Path
) -> None:
    folder = tmp_path / '.venv'
    (folder / 'bin').mkdir(parents=True)
    (folder / environment.MARKER).write_text(environment.description(os.environ))
    (folder / 'bin' / 'python').symlink_to('/bin/false')
    with pytest.raises(environment.SetupError, match=f'damaged: run `rm -rf {folder}`'):
        environment.check_folder(folder)


def test_environment_of_another_python_is_refused(environment: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / '.venv'
    folder.mkdir()
    (folder / environment.MARKER).write_text('Python 2.7.18, ROS 2 wheels, /elsewhere')
    with pytest.raises(environment.SetupError, match=r'made for .Python 2\.7\.18'):
        environment.check_folder(folder)


def test_sourced_ros_installation_is_used_instead_of_wheels(
    environment: ModuleType, tmp_path: Path
) -> None:
    stages = environment.stages_on_ros(tmp_path, {'numpy': '1.26.4', 'cv2': 'found'})
    without = {stage.name for stage in environment.stages_of_wheels('kilted')}
    assert environment.has_ros({'ROS_DISTRO': 'jazzy'})
    assert not environment.has_ros({'ROS_DISTRO': ''})
    assert [stage.name for stage in stages] == ['requirements']
    assert without == {'requirements', 'stand-ins', 'package'}
    listed = (SOURCE / 'underlay' / 'requirements-on-ros.txt').read_text()
    assert str(SOURCE / 'underlay' / 'requirements-on-ros.txt') in stages[0].pip_arguments
    assert not {'ros-rclpy', 'numpy', 'opencv'} & set(listed.split())
    assert 'opencv' not in listed.split('\n', 2)[2]


@pytest.mark.parametrize(
    ('installed', 'constraint', 'opencv'),
    [
        ({'numpy': '1.26.4', 'cv2': 'found'}, 'numpy==1.26.4\n', False),
        ({'numpy': '2.2.4', 'cv2': 'found'}, 'numpy==2.2.4\n', False),
        ({'numpy': '1.26.4'}, 'numpy==1.26.4\n', True),
        ({}, '', True),
    ],
)
def test_numpy_and_opencv_of_a_ros_installation_stay(
    environment: ModuleType,
    tmp_path: Path,
    installed: dict[str, str],
    constraint: str,
    opencv: bool,
) -> None:
    (stage,) = environment.stages_on_ros(tmp_path, installed)
    file = Path(stage.pip_arguments[stage.pip_arguments.index('--constraint') + 1])
    assert file.read_text() == constraint
    assert file in stage.inputs  # another NumPy means installing again
    assert ('opencv-python-headless' in stage.pip_arguments) is opencv


def test_probe_finds_what_this_python_has(environment: ModuleType) -> None:
    found = environment.probe(sys.executable)
    assert found == {'numpy': np.__version__, 'cv2': 'found'}


def test_probe_of_a_damaged_numpy_is_one_line(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'numpy.py').write_text("raise ImportError('no libopenblas')")
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    with pytest.raises(environment.SetupError, match='damaged: ImportError: no libopenblas'):
        environment.probe(sys.executable)


def test_each_distribution_of_wheels_has_its_folder(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('ROS_DISTRO', raising=False)
    assert environment.folder_of('kilted') == SOURCE / '.venv'
    assert environment.folder_of('jazzy') == SOURCE / '.venv-jazzy'
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    assert environment.folder_of('jazzy') == SOURCE / '.venv'


@pytest.mark.parametrize(
    ('name', 'sourced', 'told'),
    [
        ('humble', '', 'DISTRO=humble: there are wheels of kilted and jazzy only'),
        ('jazzy', 'humble', 'ROS 2 humble is sourced: DISTRO=jazzy needs a shell without it'),
    ],
)
def test_distribution_that_cannot_be_had(
    environment: ModuleType, name: str, sourced: str, told: str
) -> None:
    with pytest.raises(environment.SetupError, match=told):
        environment.check_distribution(name, {'ROS_DISTRO': sourced})


def test_distribution_that_is_sourced_may_be_named(environment: ModuleType) -> None:
    for name in ('humble', 'kilted'):
        environment.check_distribution(name, {'ROS_DISTRO': 'humble'})


def test_jazzy_has_the_oldest_versions_and_an_older_last_python(environment: ModuleType) -> None:
    with pytest.raises(environment.SetupError, match=r'Python 3\.13 .*3\.10 to 3\.12'):
        environment.check_python((3, 13), 'x86_64', ros=False, distribution='jazzy')
    pins = (SOURCE / 'underlay' / 'requirements-jazzy.txt').read_text().splitlines()
    assert {'numpy==1.26.4', 'opencv-python-headless==4.6.0.66', 'ros-rclpy==7.1.6'} <= set(pins)


def test_stage_runs_again_only_when_its_inputs_change(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/bin/true` stands in for pip here: what is tested is when it is called."""
    monkeypatch.setattr(environment, 'SOURCE', tmp_path)
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'python').symlink_to('/bin/true')
    listed = tmp_path / 'requirements.txt'
    listed.write_text('torch\n')
    stage = environment.Stage('requirements', (listed,), ())
    assert environment.install(tmp_path, stage)
    assert not environment.install(tmp_path, stage)
    listed.write_text('torch\nnumpy\n')
    assert environment.install(tmp_path, stage)


def test_failed_stage_is_not_taken_for_done(environment: ModuleType, tmp_path: Path) -> None:
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'python').symlink_to('/bin/false')
    stage = environment.Stage('requirements', (SOURCE / 'setup.cfg',), ())
    for _ in range(2):
        with pytest.raises(environment.SetupError, match='could not install the requirements'):
            environment.install(tmp_path, stage)


def test_command_line_prints_one_line_and_fails(tmp_path: Path) -> None:
    copy = tmp_path / 'underlay'
    copy.mkdir()
    (copy / 'environment.py').write_bytes((SOURCE / 'underlay' / 'environment.py').read_bytes())
    (tmp_path / '.venv').mkdir()
    done = subprocess.run(
        [sys.executable, '-I', str(copy / 'environment.py')],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f'make env: {tmp_path / ".venv"} was not made by `make env`')
    assert done.stderr.count('\n') == 1


def test_extra_is_a_stage_of_its_own_that_keeps_numpy(
    environment: ModuleType, tmp_path: Path
) -> None:
    listed = SOURCE / 'underlay' / 'requirements-docs.txt'
    stage = environment.stage_of_extra(tmp_path, 'docs')
    assert (stage.name, stage.inputs) == ('docs', (listed,))
    assert stage.pip_arguments == ('--requirement', str(listed))
    (tmp_path / environment.CONSTRAINTS).write_text('numpy==1.26.4\n')
    on_ros = environment.stage_of_extra(tmp_path, 'docs').pip_arguments
    assert on_ros[2:] == ('--constraint', str(tmp_path / environment.CONSTRAINTS))


def test_unknown_extra_names_those_there_are(environment: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(environment.SetupError, match="no extra 'jazzy': must be one of docs"):
        environment.stage_of_extra(tmp_path, 'jazzy')
