"""Imports point one way: which package of ours may import which, and which packages of others."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import SOURCE

PACKAGE = SOURCE / 's2m2_ros'

# Modules beside the packages, usable by all of them.
BASE = {
    'errors', 'atomic_files', 'optional_packages', 'shared_files', 'large_messages',
    'launch_arguments', 'executable', 'home_folder', 'text_safety', 'logging_bridge',
    'freed_memory', 'regular_files', 'camera_rigs', 'confidence_files', 'confidence_tables',
    'plain_yaml', 'ros_arguments', 'ros_names', 'setting_names', 'compiled_library',
}  # fmt: skip
# What each package may import, apart from itself and BASE. CONTRIBUTING.md shows the same table.
ALLOWED = {
    'network': set(),
    'weights': {'network'},
    'geometry': set(),
    'inference': {'network', 'weights'},
    'io': {'geometry'},
    'pipeline': {'inference', 'geometry'},
    'messages': {'pipeline', 'geometry', 'io'},
    'evaluation': {'pipeline', 'inference', 'geometry', 'io', 'weights'},
    'training': {'evaluation', 'inference', 'network', 'io', 'weights'},
    'viewer': {'io', 'geometry'},
    'topic_viewer': {'viewer', 'node', 'io', 'msg'},
    'node': {'messages', 'pipeline', 'inference', 'geometry', 'io', 'weights', 'msg'},
    'player': {'messages', 'io', 'geometry'},
    'offline': {'messages', 'pipeline', 'inference', 'geometry', 'io', 'weights'},
    'demo': {'node', 'player', 'offline', 'topic_viewer', 'messages', 'pipeline', 'inference',
             'geometry', 'io', 'weights', 'msg'},
    'doctor': {'inference', 'geometry', 'weights', 'network'},
    'cli': {'node', 'player', 'demo', 'offline', 'training', 'evaluation', 'viewer',
            'topic_viewer', 'pipeline', 'inference', 'geometry', 'io', 'weights', 'network',
            'doctor'},
}  # fmt: skip
MAY_IMPORT_RCLPY = {'node', 'player', 'demo', 'topic_viewer'}
# Asks for ROS inside its functions only.
MAY_IMPORT_RCLPY_LAZILY = {'doctor'}
# What the network may import of other people's packages.
NETWORK_THIRD_PARTY = {'torch', 'safetensors'}
RCLPY = {'rclpy', 'message_filters', 'tf2_ros'}


def package_of(path: Path) -> str:
    """Return the package (or base module) that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield the full names of the modules a file imports, and whether at import time."""
    tree = ast.parse(path.read_text())
    lazy = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f'{path}: relative import'
            # `from s2m2_ros import errors` imports a module of ours.
            names = [node.module]
            if node.module == 's2m2_ros':
                names = [f's2m2_ros.{alias.name}' for alias in node.names]
        else:
            continue
        for name in names:
            yield name, node not in lazy


def our_files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob('*.py') if path.parent != PACKAGE)


def test_every_package_has_a_rule() -> None:
    folders = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    modules = {path.stem for path in PACKAGE.glob('*.py')} - {'__init__'}
    assert folders | modules == set(ALLOWED) | BASE


@pytest.mark.parametrize('package', sorted(ALLOWED))
def test_imports_follow_the_arrows(package: str) -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob('*.py')):
        if path.parent == PACKAGE and package_of(path) in {*BASE, '__init__'}:
            continue
        if package_of(path) != package:
            continue
        for name, _ in imports(path):
            if not name.startswith('s2m2_ros.'):
                continue
            target = name.split('.')[1]
            if target not in {package, '__version__'} | BASE | ALLOWED[package]:
                wrong.append(f'{path.relative_to(SOURCE)} imports {name}')
    assert not wrong, '\n'.join(wrong)


def test_base_modules_import_nothing_of_ours_but_each_other() -> None:
    for module in BASE:
        for name, _ in imports(PACKAGE / f'{module}.py'):
            if name.startswith('s2m2_ros.'):
                assert name.split('.')[1] in BASE, f'{module}.py imports {name}'


def test_the_arrows_have_no_cycle() -> None:
    order: list[str] = []
    rest = dict(ALLOWED)
    while rest:
        free = [name for name, needs in rest.items() if not (needs - {'msg'}) - set(order)]
        assert free, f'cycle among {sorted(rest)}'
        order += free
        rest = {name: needs for name, needs in rest.items() if name not in free}


def test_only_the_ros_side_imports_rclpy() -> None:
    wrong = []
    for path in [*our_files(), PACKAGE / 'doctor.py']:
        package = package_of(path)
        if package in MAY_IMPORT_RCLPY:
            continue
        for name, at_import in imports(path):
            lazily = package in MAY_IMPORT_RCLPY_LAZILY and not at_import
            if name.split('.')[0] in RCLPY and not lazily:
                wrong.append(f'{path.relative_to(SOURCE)} imports {name}')
    assert not wrong, '\n'.join(wrong)


def test_the_network_needs_torch_alone() -> None:
    import sys

    for path in (PACKAGE / 'network').glob('*.py'):
        for name, _ in imports(path):
            top = name.split('.')[0]
            if top != 's2m2_ros' and top not in sys.stdlib_module_names:
                assert top in NETWORK_THIRD_PARTY, f'{path.name} imports {name}'


def test_contributing_shows_the_same_table() -> None:
    text = (SOURCE / 'CONTRIBUTING.md').read_text(encoding='utf-8')
    third_party = {'torch', 'safetensors', ''}
    shown = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if line.startswith('| `') and len(cells) == 3 and cells[0].strip('`') in ALLOWED:
            shown[cells[0].strip('`')] = set(cells[2].split(', ')) - third_party
    assert shown == ALLOWED
