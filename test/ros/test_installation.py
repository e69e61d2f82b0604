"""colcon and pip both install a package whose messages work, even beside its source folder."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_prefix, get_package_share_directory
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import s2m2_ros
from support.processes import SOURCE, hear, python_path, python_process

# Prints where the messages, the package and its compiled loop came from, then publishes.
TALKER = """
import sys
import rclpy
from rclpy.qos import QoSProfile, DurabilityPolicy
import s2m2_ros, s2m2_ros.cli.main, s2m2_ros.msg
from s2m2_ros.geometry import pixel_kernel
from s2m2_ros.msg import StereoEstimate

print(s2m2_ros.msg.__file__, flush=True)
print(s2m2_ros.__file__, flush=True)
print(pixel_kernel.library()._name, flush=True)
rclpy.init()
node = rclpy.create_node('talker')
lasting = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
publisher = node.create_publisher(StereoEstimate, sys.argv[1], lasting)
message = StereoEstimate()
message.disparity.f = 451.5
publisher.publish(message)
sys.stdin.readline()
"""

LISTENER = """
import sys
import rclpy
from rclpy.qos import QoSProfile, DurabilityPolicy
from s2m2_ros.msg import StereoEstimate

rclpy.init()
node = rclpy.create_node('listener')
lasting = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
node.create_subscription(StereoEstimate, sys.argv[1],
                         lambda message: print(message.disparity.f, flush=True), lasting)
rclpy.spin_once(node, timeout_sec=60)
"""


@pytest.mark.parametrize('option', [[], ['--symlink-install']], ids=['copied', 'symlinked'])
def test_colcon_builds_messages_and_python_in_one_package(
    tmp_path: Path, option: list[str]
) -> None:
    subprocess.run(
        [
            'colcon', '--log-base', str(tmp_path / 'log'), 'build', '--base-paths', str(SOURCE),
            '--build-base', str(tmp_path / 'build'), '--install-base', str(tmp_path / 'install'),
            *option,
        ],
        check=True, stdout=subprocess.DEVNULL, cwd=tmp_path,
    )  # fmt: skip
    prefix = tmp_path / 'install' / 's2m2_ros'
    library = next(prefix.glob('lib/python*/site-packages'))
    environment = {
        'PYTHONPATH': python_path(library),
        'AMENT_PREFIX_PATH': f'{prefix}{os.pathsep}{os.environ["AMENT_PREFIX_PATH"]}',
        'LD_LIBRARY_PATH': f'{prefix}/lib{os.pathsep}{os.environ.get("LD_LIBRARY_PATH", "")}',
    }
    # The one in the repository root must find the generated messages behind the source folder;
    # the other one uses the installed copy. The listener uses this environment's messages.
    for folder, package in ((SOURCE, SOURCE), (tmp_path, library)):
        topic = f'from_{folder.name}_{os.getpid()}'
        with (
            python_process(TALKER, topic, cwd=folder, env=environment) as talker,
            python_process(LISTENER, topic) as listener,
        ):
            assert Path(hear(talker)) == library / 's2m2_ros' / 'msg' / '__init__.py'
            assert Path(hear(talker)) == package / 's2m2_ros' / '__init__.py'
            assert Path(hear(talker)).parent == package / 's2m2_ros' / 'compiled'
            assert hear(listener) == '451.5'
    # What `ros2 run` starts, and the command.
    executables = prefix / 'lib' / 's2m2_ros'
    assert os.access(executables / 'stereo_node', os.X_OK)
    variables = {**os.environ, **environment}
    player = subprocess.run(
        [executables / 'stereo_player'],
        check=False, capture_output=True, text=True, cwd=tmp_path, env=variables,
    )  # fmt: skip
    assert player.returncode == 2
    assert 'set the parameter source' in player.stderr
    command = [str(prefix / 'bin' / 's2m2'), '--version']
    answer = subprocess.check_output(command, text=True, cwd=tmp_path, env=variables)
    assert answer == f's2m2_ros {s2m2_ros.__version__}\n'


@pytest.fixture(scope='module')
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked: of the files that git knows, built in a copy of them."""
    copy, made = tmp_path_factory.mktemp('copy'), tmp_path_factory.mktemp('sdist')
    listed = ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
    names = subprocess.check_output(listed, text=True, cwd=SOURCE).split('\0')
    for name in filter(None, names):
        if (SOURCE / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / name, copy / name)
    code = 'import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])'
    command = [sys.executable, '-c', code, str(made)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=copy)
    (archive,) = made.glob('*.tar.gz')
    assert archive.name == f's2m2_ros-{s2m2_ros.__version__}.tar.gz'
    shutil.unpack_archive(archive, made)
    return made / archive.name.removesuffix('.tar.gz')


def test_wheel_holds_sources_messages_and_what_ros_looks_for(tmp_path: Path, sdist: Path) -> None:
    subprocess.run(
        [
            sys.executable, '-m', 'pip', '--quiet', 'wheel', '--no-deps', '--no-build-isolation',
            '--wheel-dir', str(tmp_path), str(sdist),
        ],
        check=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob('s2m2_ros-*.whl')
    site = tmp_path / 'site'
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        names = archive.namelist()
    shared = {name.split('.data/data/', 1)[1] for name in names if '.data/data/' in name}
    assert {
        'share/ament_index/resource_index/packages/s2m2_ros',
        'share/s2m2_ros/package.xml',
        'share/s2m2_ros/msg/StereoEstimate.msg',
    } <= shared
    topic = f'from_wheel_{os.getpid()}'
    with (
        python_process(
            TALKER, topic, cwd=tmp_path, env={'PYTHONPATH': python_path(site)}
        ) as talker,
        python_process(LISTENER, topic) as listener,
    ):
        assert Path(hear(talker)) == site / 's2m2_ros' / 'msg' / '__init__.py'
        assert Path(hear(talker)) == site / 's2m2_ros' / '__init__.py'
        assert Path(hear(talker)).parent == site / 's2m2_ros' / 'compiled'
        assert hear(listener) == '451.5'


# Says where it is, and makes a cloud and its depth, with torch where there is no compiled loop.
WITHOUT_COMPILER = """
import sys
import numpy as np
import s2m2_ros
from s2m2_ros.geometry import CameraModel, Output, pixel_kernel
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.pipeline import PairInput, PipelineOptions, PipelineState, StereoPipeline, \\
    output_options

print(s2m2_ros.__file__)
print(pixel_kernel.library())
P = 100, 0, 48, 0, 0, 100, 32, 0, 0, 0, 1, 0
cameras = [CameraModel((*P[:3], x, *P[4:]), 96, 64) for x in (0, -100 * 0.1)]
texture = np.random.default_rng(1).integers(0, 255, (64, 104), np.uint8)
pair = PairInput(texture[:, :-8].copy(), texture[:, 8:].copy(), tuple(cameras))
for backend in 'sgbm', 'auto':
    with StereoMatcher.open('starter', backend=backend, device='cpu') as matcher:
        outputs = StereoPipeline(matcher).process(
            pair, {Output.DEPTH, Output.POINTS}, PipelineOptions(output_options()),
            PipelineState())
    print(np.nanmedian(outputs.host.arrays[Output.DEPTH]))
"""


def test_it_works_with_its_requirements_alone_and_without_a_compiler(
    tmp_path: Path, sdist: Path
) -> None:
    """A new environment with what setup.cfg requires, no more: no ROS 2, no extras."""
    # Without what another test had built in it, with a compiler.
    source = tmp_path / 'source'
    shutil.copytree(sdist, source, ignore=shutil.ignore_patterns('build', '*.so'))
    clean = tmp_path / 'clean'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', str(clean)], check=True)
    python = clean / 'bin' / 'python'
    (site,) = clean.glob('lib/python*/site-packages')
    link_requirements(site, [*requirements_of('s2m2_ros'), 'setuptools'])
    variables = {n: v for n, v in os.environ.items() if n not in ROS_VARIABLES}
    compilers = dict.fromkeys(('CC', 'CXX'), str(tmp_path / 'no-compiler'))
    pip = [sys.executable, '-m', 'pip', '--quiet', '--python', str(python)]
    subprocess.run(
        [*pip, 'install', '--no-deps', '--no-index', '--no-build-isolation', str(source)],
        check=True, env={**variables, **compilers},
    )  # fmt: skip
    done = subprocess.run(
        [python, '-c', WITHOUT_COMPILER],
        check=False, capture_output=True, text=True, cwd=tmp_path, env=variables,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    package, library, *depths = done.stdout.split()
    assert Path(package) == site / 's2m2_ros' / '__init__.py'
    assert library == 'None', done.stdout
    # 100 px * 0.1 m / 8 px
    assert [float(depth) for depth in depths] == pytest.approx([1.25, 1.25], abs=0.1)
    command = [str(python.parent / 's2m2'), '--version']
    answer = subprocess.check_output(command, text=True, cwd=tmp_path, env=variables)
    assert answer == f's2m2_ros {s2m2_ros.__version__}\n'


ROS_VARIABLES = {
    'PYTHONPATH', 'LD_LIBRARY_PATH', 'AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH', 'ROS_DISTRO',
    '_ROS_WHEELS_BOOTSTRAP_COMPLETE', 'S2M2_ROS_FROM_WHEELS',
}  # fmt: skip


def requirements_of(name: str) -> list[str]:
    """Return the distributions that one requires, without those of its extras."""
    listed = importlib.metadata.requires(name) or []
    required = [Requirement(text) for text in listed]
    return [r.name for r in required if r.marker is None or r.marker.evaluate({'extra': ''})]


def link_requirements(site: Path, names: Sequence[str]) -> None:
    """Link distributions of this environment, and what they require in turn, into another one."""
    waiting, seen = list(names), set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        waiting += requirements_of(name)
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {'..', '__pycache__'}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution.locate_file(top))))


def test_ament_index_finds_the_package() -> None:
    share = Path(get_package_share_directory('s2m2_ros'))
    assert share == Path(get_package_prefix('s2m2_ros'), 'share', 's2m2_ros')
    assert (share / 'package.xml').read_bytes() == (SOURCE / 'package.xml').read_bytes()


def test_importing_needs_no_ros() -> None:
    """Every module outside the rooms of ROS imports where each ROS package is missing."""
    code = """
import importlib, pkgutil, sys

class NoRos:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'rclpy', 'std_msgs', 'sensor_msgs', 'stereo_msgs', 'cv_bridge',
                                  'message_filters', 'sensor_msgs_py', 'tf_transformations'}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoRos())
import s2m2_ros
for module in pkgutil.walk_packages(s2m2_ros.__path__, 's2m2_ros.'):
    ros = {'node', 'player', 'demo', 'topic_viewer', 'msg'}
    if module.name.split('.')[1] not in ros and not (
        module.name.startswith('s2m2_ros.s2m2_ros_s')
    ):
        importlib.import_module(module.name)
        print(module.name)
"""
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False, cwd=SOURCE
    )
    assert done.returncode == 0, done.stderr
    assert 's2m2_ros.cli.main' in done.stdout.split()
