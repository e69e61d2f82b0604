"""Code in documents: commands resolve, YAML holds what the code knows, Python runs."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from s2m2_ros.camera_rigs import read_rigs
from s2m2_ros.cli.main import main
from s2m2_ros.launch_arguments import PARAMETERS_KEY, _sections
from s2m2_ros.node.parameters import ALIASES, Settings
from s2m2_ros.weights.other_networks.description_file import LAYOUT, parse_description
from support.document_commands import incomplete_s2m2, make, problems
from support.documents import Block, blocks, documents, inline_code, prose
from support.processes import SOURCE
from support.recorded_pairs import write_mcap
from support.ros2_commands import launch, launch_arguments
from support.shifted_pairs import shifted_pair
from support.stereo_recordings import scene_pairs

# Of the benchmarks only the links are checked: their commands stand beside what they measured.
DOCUMENTS = [path for path in documents() if path.parent.name not in {'benchmark', 'weights'}]
BLOCKS = [block for path in DOCUMENTS for block in blocks(path)]
# Languages of blocks that hold no code, and why nothing is checked.
NO_CODE = {
    'text': 'what a program prints, or a formula',
}
# Sections of parameters of other packages' nodes, whose names tests of the examples hold.
OTHER_NODES = {'lifecycle_manager_stereo'}
# Parameters that every node has.
EVERY_NODE = {'use_sim_time', 'qos_overrides'}


def of(language: str) -> pytest.MarkDecorator:
    found = [block for block in BLOCKS if block.language == language]
    assert found
    return pytest.mark.parametrize('block', found, ids=str)


def test_every_block_names_a_language_that_is_checked() -> None:
    known = {'sh', 'yaml', 'python', *NO_CODE}
    assert [
        f'{block}: {block.language!r}' for block in BLOCKS if block.language not in known
    ] == []


def test_no_code_is_set_by_indentation_alone() -> None:
    """Such a block has no language, so nothing could check it."""
    found = []
    for path in DOCUMENTS:
        lines = prose(path)
        found += [
            f'{path.name}:{number}: {line.strip()}'
            for (_, before), (number, line) in pairwise(lines)
            if line.startswith('    ') and not before.strip()
        ]
    assert found == []


@of('sh')
def test_commands_resolve(block: Block) -> None:
    assert problems(block.text) == []


@pytest.mark.parametrize(
    ('text', 'count'),
    [
        ('s2m2 match left.png right.png --calibration calib.txt', 0),
        ('s2m2 match left.png right.png --calibratoin calib.txt', 1),
        ('s2m2 mach left.png right.png', 1),
        ('.venv/bin/s2m2 doctor --verfy   # a comment', 1),
        ('make demo VIEW=1 && make tset', 1),
        ('make demo VEIW=1', 1),
        ('ros2 launch s2m2_ros stereo.launch.py rviz:=true', 0),
        ('ros2 launch s2m2_ros stereo.launch.py rvis:=true', 1),
        ('ros2 launch s2m2_ros stero.launch.py', 1),
        ('ros2 run s2m2_ros stereo_node --ros-args -p backend:=sgbm', 0),
        ('ros2 run s2m2_ros stereo_node --ros-args -p backed:=sgbm', 1),
        ('ros2 run s2m2_ros stereo_player --ros-args \\\n  -p sourc:=x', 1),
        ('ros2 run s2m2_ros stereo_node --ros-args -r left/image:=x', 1),
        ('ros2 param set /stereo_node backend sgbm', 1),
        ('ros2 param set /stereo_node max_rate 1.0', 0),
        ("pip install 's2m2_ros[recordings]'", 0),
        ("pip install 's2m2_ros[recording]'", 1),
        ('python -m benchmark.nothing', 1),
        ('python benchmark/node.py --pears 3', 1),
        ('docker build -f docker/Dockrfile .', 1),
        ('docker run s2m2_ros ros2 launch s2m2_ros stereo.launch.py rvis:=true', 1),
        ('x=$(ros2 pkg prfix a)/b', 1),
        ('frobnicate --all', 1),
    ],
)
def test_planted_commands(text: str, count: int) -> None:
    assert len(problems(text)) == count


def named_commands(path: Path) -> list[str]:
    """Return what is wrong with commands and launch arguments in backticks."""
    found = []
    for line, text in inline_code(path):
        try:
            words = shlex.split(text.replace('…', ' '))
        except ValueError:
            continue
        check: dict[str, Callable[[list[str]], list[str]]] = {
            's2m2': incomplete_s2m2,
            'make': make,
        }
        wrong: list[str] = []
        if words and words[0] in check:
            wrong = check[words[0]](words[1:])
        elif words[:3] == ['ros2', 'launch', 's2m2_ros']:
            wrong = launch(words[2:])
        elif words and all(':=' in word for word in words):
            known = launch_arguments('stereo.launch.py') | {
                option.name for option in fields(Settings)
            }
            wrong = [word for word in words if word.partition(':=')[0] not in known]
        found += [f'{path.name}:{line}: `{text}`: {problem}' for problem in wrong]
    return found


@pytest.mark.parametrize('path', DOCUMENTS, ids=lambda path: path.name)
def test_commands_named_in_the_text_exist(path: Path) -> None:
    assert named_commands(path) == []


@pytest.mark.parametrize(
    'text',
    ['`s2m2 mach`', '`s2m2 match --veiw`', '`make tset`', '`lft_image:=/x right_image:=/y`',
     '`ros2 launch s2m2_ros stereo.launch.py rvis:=true`'],
)  # fmt: skip
def test_planted_commands_in_a_text(tmp_path: Path, text: str) -> None:
    page = tmp_path / 'page.md'
    page.write_text(f'Call {text} now.\n')
    assert len(named_commands(page)) == 1


def wrong_names(content: Mapping[str, Any]) -> list[str]:
    """Return which names of a YAML no table of ours has."""
    known = {option.name for option in fields(Settings)} | set(ALIASES) | EVERY_NODE
    sections = dict(_sections(content))
    if sections:
        return [
            f'{section}: {name}'
            for section, values in sections.items()
            if section.rsplit('/', 1)[-1] not in OTHER_NODES
            for name in values
            if name not in known
        ]
    if isinstance(content.get('cameras'), dict):
        with TemporaryDirectory() as folder:
            path = Path(folder, 'rigs.yaml')
            path.write_text(yaml.safe_dump(dict(content)))
            read_rigs(path)
        return []
    if set(content) & set(LAYOUT):
        parse_description(yaml.safe_dump(dict(content)))
        return []
    return [name for name in content if name not in known]


@of('yaml')
def test_yaml_holds_what_the_code_knows(block: Block) -> None:
    assert wrong_names(yaml.safe_load(block.text)) == []


@pytest.mark.parametrize(
    'text',
    [
        f'/**:\n  {PARAMETERS_KEY}:\n    max_with: 3',
        f'front:\n  stereo_node:\n    {PARAMETERS_KEY}: {{max_with: 3}}',
        'max_with: 3',
    ],
)
def test_planted_parameters(text: str) -> None:
    assert len(wrong_names(yaml.safe_load(text))) == 1


@of('python')
def test_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small pair as `left` and `right`, and a recording in the working directory."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names), node.module
    monkeypatch.chdir(tmp_path)
    write_mcap(tmp_path / 'run.mcap', scene_pairs(2))
    left, right = shifted_pair()
    names = {'left': np.asarray(left), 'right': np.asarray(right)}
    exec(compile(block.text, str(block), 'exec'), names)  # noqa: S102  our own text


def test_the_command_of_the_readme_makes_a_cloud_of_a_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is written, but for `--view`, which opens a browser and stays."""
    monkeypatch.chdir(tmp_path)
    for name, image in zip(('left.png', 'right.png'), shifted_pair(), strict=True):
        assert cv2.imwrite(name, image)
    Path('calib.txt').write_text(
        'cam0=[250 0 80; 0 250 48; 0 0 1]\ncam1=[250 0 80; 0 250 48; 0 0 1]\ndoffs=0\n'
        'baseline=100\nwidth=160\nheight=96\n'
    )
    readme = (SOURCE / 'README.md').read_text(encoding='utf-8')
    (command,) = re.findall(r'^\.venv/bin/s2m2 (match .*) --view$', readme, re.MULTILINE)
    assert main(shlex.split(command)) == 0
    assert list(Path('result').rglob('cloud.ply'))


def test_the_policy_of_sros2_is_where_the_commands_look_for_it() -> None:
    text = (SOURCE / 'SECURITY.md').read_text(encoding='utf-8')
    assert 'create_permission keystore /stereo_node doc/sros2_policy.xml' in text
    assert (SOURCE / 'doc' / 'sros2_policy.xml').is_file()
