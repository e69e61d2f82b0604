"""The manifests agree with each other and with what the code imports."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from pathlib import Path

import pytest
from catkin_pkg.changelog import get_changelog_from_path
from catkin_pkg.package import parse_package

import s2m2_ros
from support.processes import SOURCE

# What an imported module is called in package.xml and in setup.cfg; None: it has no name there.
MANIFEST_NAMES: dict[str, tuple[str | None, str | None]] = {
    'numpy': ('python3-numpy', 'numpy'),
    'cv2': ('python3-opencv', 'opencv-python-headless'),
    'tqdm': ('python3-tqdm', 'tqdm'),
    'yaml': ('python3-yaml', 'pyyaml'),
    # From pip: rosdep's is too old, or without CUDA (doc/installation.md).
    'torch': (None, 'torch'),
    # No rosdep key exists for the rest.
    'safetensors': (None, 'safetensors'),
    'onnx': (None, 'onnx'),
    'onnx_ir': (None, 'onnx-ir'),
    'onnxruntime': (None, 'onnxruntime'),
    'onnxscript': (None, 'onnxscript'),
    'matplotlib': ('python3-matplotlib', 'matplotlib'),
    # Debian has python3-av; whether rosdep has a key for it was not looked up.
    'av': (None, 'av'),
    'lz4': (None, 'lz4'),
    'mcap': (None, 'mcap'),
    'fsspec': (None, 'fsspec'),
    'ray': (None, 'ray'),
    'rosbags': (None, 'rosbags'),
    'zstandard': (None, 'zstandard'),
    'skimage': (None, 'scikit-image'),
    'tensorboard': (None, 'tensorboard'),
    'tensorrt': (None, 'tensorrt'),
    'trimesh': (None, 'trimesh'),
    'viser': (None, 'viser'),
    'moderngl': (None, 'moderngl'),
    'websockets': (None, 'websockets'),
}
ROS_PACKAGES = {
    'ament_index_python', 'builtin_interfaces', 'cv_bridge', 'diagnostic_msgs', 'geometry_msgs',
    'launch', 'launch_ros', 'lifecycle_msgs', 'message_filters', 'rcl_interfaces', 'rclpy',
    'sensor_msgs', 'sensor_msgs_py', 'std_msgs', 'std_srvs', 'stereo_msgs', 'tf2_ros',
    'tf_transformations',
}  # fmt: skip


def imported_modules() -> dict[str, Path]:
    """Return each top-level module imported in the package, and a file that imports it."""
    found: dict[str, Path] = {}
    for path in [
        *(SOURCE / 's2m2_ros').rglob('*.py'),
        *(SOURCE / 'launch').glob('*.py'),
        *(SOURCE / 'examples').glob('*.py'),
    ]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            found |= {name.split('.')[0]: path for name in names}
    return {
        name: path for name, path in found.items()
        if name not in sys.stdlib_module_names and name != 's2m2_ros'
    }  # fmt: skip


def python_requirements() -> set[str]:
    """Return the distributions named in setup.cfg, extras included."""
    settings = configparser.ConfigParser()
    settings.read(SOURCE / 'setup.cfg')
    listed = [settings['options']['install_requires']]
    listed += settings['options.extras_require'].values()
    lines = (line.strip() for text in listed for line in text.splitlines())
    return {match[0].lower() for line in lines if (match := re.match(r'[\w.-]+', line))}


def test_package_xml_is_valid() -> None:
    package = parse_package(str(SOURCE / 'package.xml'))
    assert package.package_format == 3
    assert package.name == 's2m2_ros'
    assert package.licenses == ['Apache-2.0']
    assert 'rosidl_interface_packages' in {group.name for group in package.member_of_groups}
    assert package.get_build_type() == 'ament_cmake'


def test_version_is_the_same_everywhere() -> None:
    assert parse_package(str(SOURCE / 'package.xml')).version == s2m2_ros.__version__
    changelog = (SOURCE / 'CHANGELOG.rst').read_text()
    newest = re.search(r'^(\d+\.\d+\.\d+|Forthcoming)', changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] in {s2m2_ros.__version__, 'Forthcoming'}
    citation = (SOURCE / 'CITATION.cff').read_text(encoding='utf-8')
    assert re.search(rf'^version: {s2m2_ros.__version__}$', citation, re.MULTILINE)


def test_every_version_of_pip_builds_in_one_way() -> None:
    """Without this file pip 23.0 calls `setup.py develop`, which leaves the messages out."""
    settings = configparser.ConfigParser()
    settings.read(SOURCE / 'pyproject.toml')
    assert settings['build-system']['build-backend'] == '"setuptools.build_meta"'


def test_the_changelog_can_be_read_by_bloom() -> None:
    (newest, date, _), *_ = get_changelog_from_path(str(SOURCE)).foreach_version()
    assert newest in {s2m2_ros.__version__, 'Forthcoming'}
    assert date is not None or newest == 'Forthcoming'


@pytest.mark.parametrize('module', sorted(imported_modules()))
def test_every_import_is_declared(module: str) -> None:
    package = parse_package(str(SOURCE / 'package.xml'))
    declared = {item.name for item in [*package.build_depends, *package.exec_depends]}
    if module in ROS_PACKAGES:
        assert module in declared
        return
    assert module in MANIFEST_NAMES, f'{imported_modules()[module]} imports {module}'
    ros_name, python_name = MANIFEST_NAMES[module]
    assert ros_name is None or ros_name in declared
    assert python_name is None or python_name in python_requirements()


@pytest.mark.parametrize('distribution', ['kilted', 'jazzy'])
def test_every_python_requirement_is_pinned_for_the_underlay(distribution: str) -> None:
    settings = configparser.ConfigParser()
    settings.read(SOURCE / 'setup.cfg')
    files = ('requirements.txt', f'requirements-{distribution}.txt')
    pins = ''.join((SOURCE / 'underlay' / name).read_text().lower() for name in files)
    for line in settings['options']['install_requires'].split():
        name = re.match(r'[\w-]+', line)
        assert name is not None
        assert re.search(rf'^{name[0]}==', pins, re.MULTILINE), name[0]
