"""Commands in documents, resolved without running them: each to a program, its words to its options.

`problems(text)` says what is wrong with the commands of a block. A command of ours is parsed by
its own parser; of the others, `OTHERS` says why they are not run here.
"""

from __future__ import annotations

import ast
import configparser
import contextlib
import io
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path

from s2m2_ros.cli.calibration_option import images_first
from s2m2_ros.cli.main import COMMANDS, WITH_CALIBRATION, build_parser
from s2m2_ros.messages.output_topics import OUTPUT_TOPICS
from s2m2_ros.node.outputs.topic_types import STATS
from s2m2_ros.node.parameters import ALIASES, CONSTRAINTS, Settings
from s2m2_ros.player.player_parameters import PlayerOptions
from support.processes import SOURCE

MORE = '…'  # what the reader adds
NO_APT = 'changes the machine, and needs its packages'
NO_ROS = 'needs a ROS 2 installation; there is none here'
NO_DOCKER = 'needs a Docker daemon and registries'
NO_JETSON = 'needs a Jetson'
NO_TERMINAL = 'needs a desktop'
SHELL = 'a builtin or a basic tool of the shell'
# Programs that are not run, and why.
OTHERS: Mapping[str, str] = {
    'apt-get': NO_APT,
    'rosdep': NO_ROS,
    'colcon': NO_ROS,
    'source': NO_ROS,
    'rviz2': NO_ROS,
    'fastdds': NO_ROS,
    'docker': NO_DOCKER,
    'nvpmodel': NO_JETSON,
    'jetson_clocks': NO_JETSON,
    'open': NO_TERMINAL,
    'pre-commit': 'installs a hook into the checkout',
    'git': 'reaches a server',
    'cd': SHELL,
    'touch': SHELL,
    'id': SHELL,
    'pwd': SHELL,
}
# What may stand before a command.
PREFIXES = {'sudo', 'export', 'underlay/run', 'setsid', 'nohup', 'env'}
SEPARATORS = {'&&', '||', ';', '|', '&', '(', ')'}
# Verbs of ros2 whose words are none of ours, with the number of words that follow at least.
ROS2_VERBS = {
    ('topic', 'list'): 0,
    ('topic', 'echo'): 1,
    ('topic', 'hz'): 1,
    ('bag', 'play'): 1,
    ('bag', 'record'): 1,
    ('pkg', 'prefix'): 1,
    ('param', 'dump'): 1,
    ('lifecycle', 'set'): 2,
    ('security', 'create_keystore'): 1,
    ('security', 'create_enclave'): 2,
    ('security', 'create_permission'): 3,
}
INPUTS = {
    f'{side}/{name}' for side in ('left', 'right', 'color') for name in ('image_rect', 'camera_info')
}  # fmt: skip
OPTION = re.compile(r'--[a-z][\w-]*')


def simple_commands(text: str) -> list[list[str]]:
    """Return the simple commands of a block: their words, without redirections and comments."""
    text = text.replace('\\\n', ' ')
    found: list[list[str]] = []
    inner = re.compile(r'\$\(([^()]*)\)')
    while match := inner.search(text):
        found += simple_commands(match[1])
        text = f'{text[: match.start()]}SUBSTITUTED{text[match.end() :]}'
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ';']:
            if word in SEPARATORS:
                found += [words] if words else []
                words = []
            else:
                words.append(word)
    return [without_prefixes(words) for words in found if without_prefixes(words)]


def without_prefixes(words: Sequence[str]) -> list[str]:
    """Return a command without `sudo`, assignments, redirections and what the reader adds."""
    rest = list(words)
    while rest and (rest[0] in PREFIXES or re.match(r'[A-Za-z_]\w*=', rest[0])):
        rest = rest[1:]
    if rest[:2] == ['chrt', '-f']:
        rest = rest[3:]
    kept: list[str] = []
    skip = False
    for word in rest:
        if not skip and word not in {'>', '<', '>>', '2', MORE}:
            kept.append(word)
        skip = word in {'>', '<', '>>'}
    return kept


def problems(text: str) -> list[str]:
    """Return what is wrong with the commands of a block."""
    found = []
    for words in simple_commands(text):
        program = Path(words[0]).name if words[0].startswith('.venv/') else words[0]
        check = CHECKS.get(program)
        if check is not None:
            found += [f'{shlex.join(words)}: {problem}' for problem in check(words[1:])]
        elif program not in OTHERS and not (SOURCE / program).is_file():
            found.append(f'{shlex.join(words)}: no such program: add it to OTHERS, with why')
    return found


def parsed_by_s2m2(words: Sequence[str]) -> list[str]:
    """Return what the parser of `s2m2` says about its arguments."""
    given = images_first(words) if any(word in words for word in WITH_CALIBRATION) else [*words]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            build_parser(given).parse_args(given)
    except SystemExit as end:
        return [said.getvalue().strip().splitlines()[-1]] if end.code else []
    return []


def incomplete_s2m2(words: Sequence[str]) -> list[str]:
    """Return which words of a command named in a text are no command or no option."""
    if not words or words[0].startswith('-'):
        return []
    if words[0] not in COMMANDS:
        return [f'no command {words[0]!r}']
    known = options_of_s2m2(words[0])
    return [f'no option {word}' for word in words[1:]
            if word.startswith('-') and word.split('=')[0] not in known]  # fmt: skip


@cache
def options_of_s2m2(command: str) -> frozenset[str]:
    """Return the options of a subcommand and of those below it."""
    import argparse

    found: set[str] = set()

    def visit(parser: argparse.ArgumentParser) -> None:
        for action in parser._actions:
            found.update(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                for name, child in action.choices.items():
                    if parser.prog != 's2m2' or name == command:
                        visit(child)

    visit(build_parser([command]))
    return frozenset(found)


def make(words: Sequence[str]) -> list[str]:
    """Return which targets and variables the Makefile does not have."""
    text = (SOURCE / 'Makefile').read_text()
    found = []
    for word in words:
        name, assigned, _ = word.partition('=')
        known = rf'\b{re.escape(name)}\b *\??=|\$\({re.escape(name)}\)|\(if \$\({name}\)'
        if assigned and not re.search(known, text):
            found.append(f'the Makefile knows no {name}')
        elif not assigned and not re.search(rf'^{re.escape(word)}:', text, re.MULTILINE):
            found.append(f'no target {word}')
    return found


def python(words: Sequence[str]) -> list[str]:
    """Return what is wrong with `python SCRIPT`, `-m MODULE` or `-c CODE`."""
    if words[0] == '-c':
        ast.parse(words[1])
        return []
    if words[0] == '-m':
        return module(words[1], words[2:])
    return options_in(SOURCE / words[0], words[1:])


def module(name: str, words: Sequence[str]) -> list[str]:
    """Return what is wrong with the options of a module that is run."""
    if name == 's2m2_ros.cli.main':
        return parsed_by_s2m2(words)
    if name in {'colcon', 'venv', 'pip', 'pytest'}:
        return pip(words) if name == 'pip' else []
    return options_in(SOURCE / f'{name.replace(".", "/")}.py', words)


def options_in(script: Path, words: Sequence[str]) -> list[str]:
    """Return which options a script of ours does not name."""
    if not script.is_file():
        return [f'no script {script.relative_to(SOURCE)}']
    text = script.read_text()
    return [f'no option {word}' for word in words
            if OPTION.fullmatch(word) and f"'{word}'" not in text]  # fmt: skip


def torchrun(words: Sequence[str]) -> list[str]:
    """Return what is wrong with the module that torchrun starts."""
    start = list(words).index('-m')
    return module(words[start + 1], words[start + 2 :])


@cache
def distributions() -> frozenset[str]:
    """Return what setup.cfg and the lists of requirements name."""
    settings = configparser.ConfigParser()
    settings.read(SOURCE / 'setup.cfg')
    text = '\n'.join([
        settings['options']['install_requires'],
        *settings['options.extras_require'].values(),
        *(path.read_text() for path in (SOURCE / 'underlay').glob('requirements*.txt')),
    ])  # fmt: skip
    return frozenset(re.findall(r'^[\w-]+', text, re.MULTILINE))


def pip(words: Sequence[str]) -> list[str]:
    """Return which packages and extras nothing of ours names."""
    settings = configparser.ConfigParser()
    settings.read(SOURCE / 'setup.cfg')
    found = []
    values = {'--constraint', '--index-url', '-r', '--requirement'}
    for before, word in zip(words, words[1:], strict=False):
        if word.startswith('-') or before in values or word == '.':
            continue
        name, _, extras = word.partition('[')
        if name in {'s2m2_ros', '.'}:
            wrong = set(filter(None, extras.rstrip(']').split(','))) - set(
                settings['options.extras_require']
            )
            found += [f'no extra {extra}' for extra in sorted(wrong)]
        elif re.split('[=<>]', name)[0] not in distributions() | {'onnxruntime-gpu'}:
            found.append(f'nothing of ours names {name}')
    return found


@cache
def launch_arguments(name: str) -> frozenset[str]:
    """Return the arguments of a launch file; those of stereo.launch.py belong to all of them."""
    found = set()
    for path in {file_of(name), SOURCE / 'launch' / 'stereo.launch.py'}:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, 'id', '') in {'Argument', 'parameter'}
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(str(node.args[0].value))
    return frozenset(found)


def file_of(name: str) -> Path:
    """Return where a launch file is: beside the others, or among the examples."""
    inside = SOURCE / 'launch' / name
    return inside if inside.is_file() else SOURCE / 'examples' / name


def launch(words: Sequence[str]) -> list[str]:
    """Return what is wrong with the words behind `ros2 launch`."""
    if words[0] != 's2m2_ros':
        return []
    if not file_of(words[1]).is_file():
        return [f'no launch file {words[1]}']
    known = launch_arguments(words[1])
    return [f'no launch argument {word}' for word in words[2:]
            if not word.startswith('--') and word.partition(':=')[0] not in known]  # fmt: skip


def parameters_of(executable: str) -> set[str]:
    """Return the parameters that one of our nodes takes."""
    if executable == 'stereo_player':
        return {option.name for option in fields(PlayerOptions)}
    return {option.name for option in fields(Settings)} | set(ALIASES) | {'use_sim_time'}


def run(words: Sequence[str]) -> list[str]:
    """Return what is wrong with the words behind `ros2 run`."""
    if words[0] != 's2m2_ros':
        return []
    if words[1] not in {'stereo_node', 'stereo_player'}:
        return [f'no executable {words[1]}']
    found = []
    topics = INPUTS | set(OUTPUT_TOPICS) | {STATS}
    for option, value in zip(words[2:], words[3:], strict=False):
        name = value.partition(':=')[0]
        if option == '-p' and name not in parameters_of(words[1]):
            found.append(f'no parameter {name}')
        if option == '-r' and not name.startswith('__') and name not in topics:
            found.append(f'no topic {name}')
    return found


def param(words: Sequence[str]) -> list[str]:
    """Return what is wrong with the words behind `ros2 param set`."""
    name = words[1]
    if name not in CONSTRAINTS:
        return [f'no parameter {name}']
    return [f'{name} is fixed'] if CONSTRAINTS[name].read_only else []


def ros2(words: Sequence[str]) -> list[str]:
    """Return what is wrong with the words behind `ros2`."""
    if words[0] in {'launch', 'run'}:
        return (launch if words[0] == 'launch' else run)(words[1:])
    verb = (words[0], words[1])
    if verb == ('param', 'set'):
        return param(words[2:])
    if verb == ('service', 'call'):
        return [] if words[2].endswith('/enable') else [f'no service {words[2]}']
    if verb not in ROS2_VERBS:
        return [f'ros2 {" ".join(verb)}: add it to ROS2_VERBS']
    return [] if len(words) >= 2 + ROS2_VERBS[verb] else ['too few words']


def docker(words: Sequence[str]) -> list[str]:
    """Return what is wrong with a file that is built, or with the command in a container."""
    found = []
    if '-f' in words and not (SOURCE / words[list(words).index('-f') + 1]).is_file():
        found.append('no such Dockerfile')
    inner = [i for i, word in enumerate(words) if word in {'ros2', 's2m2'}]
    return found + (problems(shlex.join(words[inner[0] :])) if inner else [])


CHECKS: Mapping[str, Callable[[Sequence[str]], list[str]]] = {
    's2m2': parsed_by_s2m2,
    'make': make,
    'python': python,
    'python3': python,
    'torchrun': torchrun,
    'pip': pip,
    'ros2': ros2,
    'docker': docker,
}
