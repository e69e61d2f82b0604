"""Commands in documents, resolved without running them: to programs and their options.

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
from functools import cache
from itertools import pairwise
from pathlib import Path

from s2m2_ros.cli.calibration_option import images_first
from s2m2_ros.cli.main import COMMANDS, WITH_CALIBRATION, build_parser
from support.processes import SOURCE
from support.ros2_commands import ros2

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
    'dpkg-deb': NO_APT,
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
    'ray': 'starts a cluster that outlives the command',
    'cd': SHELL,
    'touch': SHELL,
    'id': SHELL,
    'pwd': SHELL,
}
# What may stand before a command.
PREFIXES = {'sudo', 'export', 'underlay/run', 'setsid', 'nohup', 'env'}
SEPARATORS = {'&&', '||', ';', '|', '&', '(', ')'}
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
    for before, word in pairwise(words):
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
