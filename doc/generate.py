"""Writes what the tables in the code say into the files that people read.

Usage: python doc/generate.py [--check]

`config/stereo.yaml`; the notebook in `examples/`; in documents the parts between
`<!-- generated: NAME -->` and `<!-- end -->`; and the project's address and maintainers, which
stand in `setup.cfg`. With --check nothing is written, and the exit status is 1 if a file differs.
"""

from __future__ import annotations

import argparse
import configparser
import difflib
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from s2m2_ros.inference.registry import BACKENDS
from s2m2_ros.io.images.encodings import ALIASES as ALIASES_OF_ENCODINGS
from s2m2_ros.io.images.encodings import ENCODINGS
from s2m2_ros.node.camera_settings import NODE_WIDE
from s2m2_ros.node.parameters import (
    ALIASES,
    CONSTRAINTS,
    GROUPS,
    Constraint,
    Settings,
    type_name,
)
from s2m2_ros.node.sharing_parameters import SHARING_CONSTRAINTS, Sharing

ROOT = Path(__file__).resolve().parents[1]
# The script that is a notebook too.
NOTEBOOK = 'depth_of_one_frame'
CELL = re.compile(r'^# %%( \[markdown\])?\n', re.MULTILINE)
YAML_HEADER = """\
# Every parameter of stereo_node, with its default; written by `make tables`. "Fixed" ones are read
# at start; all others may change while the node runs (ros2 param set, rqt). doc/stereo_node.md
# has the same as a table.
/**:
  ros__parameters:
"""
OPTIONS = (*fields(Settings), *fields(Sharing))
ALL_CONSTRAINTS = {**CONSTRAINTS, **SHARING_CONSTRAINTS}
YAML_INDENT = '    '
YAML_WIDTH = 95


def parameters_yaml() -> str:
    """Return config/stereo.yaml."""
    parts = []
    for option in fields(Settings):
        if option.name in GROUPS:
            parts.append(f'{YAML_INDENT}# --- {GROUPS[option.name]} ---\n')
        constraint = CONSTRAINTS[option.name]
        notes = constraint.description, _allowed(constraint), _fixed(constraint)
        note = ' '.join(text for text in notes if text)
        prefix = f'{YAML_INDENT}# '
        comment = textwrap.fill(
            note, YAML_WIDTH, initial_indent=prefix, subsequent_indent=prefix,
            break_on_hyphens=False, break_long_words=False,
        )  # fmt: skip
        parts.append(f'{comment}\n{YAML_INDENT}{option.name}: {_yaml(option.default)}\n')
    return YAML_HEADER + '\n'.join(parts)


def _allowed(constraint: Constraint) -> str:
    if constraint.choices:
        return 'One of: ' + ', '.join(choice or "''" for choice in constraint.choices) + '.'
    if constraint.range:
        return '{:g} to {:g}.'.format(*constraint.range)
    return ''


def _fixed(constraint: Constraint) -> str:
    return 'Fixed.' if constraint.read_only else ''


def _yaml(value: Any) -> str:
    if isinstance(value, tuple):
        return f'[{", ".join(_yaml(number) for number in value)}]'
    return f"'{value}'" if isinstance(value, str) else str(value).lower()


def parameters_table() -> str:
    """Return the table of parameters in doc/stereo_node.md."""
    lines = [
        '| Name | Type | Default | Allowed | Changes | Meaning |',
        '| --- | --- | --- | --- | --- | --- |',
    ]
    for option in OPTIONS:
        constraint = ALL_CONSTRAINTS[option.name]
        allowed = ', '.join(f'`{choice or repr(choice)}`' for choice in constraint.choices)
        if constraint.range:
            allowed = '{:g} to {:g}'.format(*constraint.range)
        changes = 'fixed' if constraint.read_only else 'any time'
        lines.append(
            f'| `{option.name}` | {type_name(option.default)} | `{_yaml(option.default)}` '
            f'| {allowed} | {changes} | {constraint.description} |'
        )
    return '\n'.join(lines)


def node_wide_list() -> str:
    """Return the parameters that are one for all cameras of a node."""
    names = [*NODE_WIDE, *SHARING_CONSTRAINTS]
    return textwrap.fill(
        ', '.join(f'`{name}`' for name in names), YAML_WIDTH, break_on_hyphens=False
    )


def aliases_table() -> str:
    """Return the other names of parameters."""
    lines = ['| Name in stereo_image_proc | Here |', '| --- | --- |']
    return '\n'.join([*lines, *(f'| `{alias}` | `{name}` |' for alias, name in ALIASES.items())])


def topics_table() -> str:
    """Return the table of published topics in doc/stereo_node.md."""
    from s2m2_ros.messages.output_topics import OUTPUT_TOPICS
    from s2m2_ros.node.outputs.topic_types import STATS, STATS_DESCRIPTION, TYPES

    lines = ['| Published | Type | Notes |', '| --- | --- | --- |']
    texts = {name: topic.description for name, topic in OUTPUT_TOPICS.items()}
    for name, text in {**texts, STATS: STATS_DESCRIPTION}.items():
        known = name in OUTPUT_TOPICS
        kind = OUTPUT_TOPICS[name].type_name if known else _type_name(TYPES[name])
        lines.append(f'| `{name}` | {kind.replace("/msg/", "/")} | {text} |')
    return '\n'.join(lines)


def _type_name(kind: type[Any]) -> str:
    return f'{kind.__module__.split(".")[0]}/{kind.__name__}'


def backends_table() -> str:
    """Return the table of backends."""
    lines = ['| `backend` | what it is |', '| --- | --- |']
    return '\n'.join([*lines, *(f'| `{name}` | {b.summary} |' for name, b in BACKENDS.items())])


def encodings_table() -> str:
    """Return the table of encodings in doc/images.md."""
    others: dict[str, list[str]] = {name: [] for name in ENCODINGS}
    for alias, name in sorted(ALIASES_OF_ENCODINGS.items()):
        if alias != name.replace('_', ''):
            others[name].append(f'`{alias}`')
    lines = ['| Encoding | Other names |', '| --- | --- |']
    lines += [f'| `{name}` | {", ".join(others[name])} |' for name in ENCODINGS]
    return '\n'.join(lines)


def formats_table() -> str:
    """Return which outputs each format of s2m2 process takes, in doc/recordings.md."""
    from s2m2_ros.messages.output_topics import OUTPUT_TOPICS
    from s2m2_ros.offline.output_formats import FORMAT_OUTPUTS

    lines = ['| `--format` | takes |', '| --- | --- |']
    for kind, names in FORMAT_OUTPUTS.items():
        taken = ', '.join(f'`{name}`' for name in names)
        lines.append(f'| `{kind.value}` | {taken if len(names) < len(OUTPUT_TOPICS) else "all"} |')
    return '\n'.join(lines)


PARTS: Mapping[str, Callable[[], str]] = {
    'parameters': parameters_table,
    'aliases': aliases_table,
    'node_wide': node_wide_list,
    'topics': topics_table,
    'backends': backends_table,
    'encodings': encodings_table,
    'formats': formats_table,
}
MARKED = re.compile(r'(<!-- generated: (\w+) -->\n).*?(<!-- end -->)', re.DOTALL)


def with_parts(text: str) -> str:
    """Return a document with its generated parts as they should be."""
    return MARKED.sub(lambda m: f'{m[1]}{PARTS[m[2]]()}\n{m[3]}', text)


def notebook(script: str) -> str:
    """Return the Jupyter notebook (nbformat 4.5) with the cells of a script, after `# %%`."""
    before, *parts = CELL.split(script)
    if before.strip():
        raise ValueError('a script begins with a cell: # %%')
    cells = [
        _cell(index, content.strip('\n'), is_text=bool(kind))
        for index, (kind, content) in enumerate(zip(parts[::2], parts[1::2], strict=True))
    ]
    content = {
        'cells': cells,
        'metadata': {
            'kernelspec': {'display_name': 'Python 3', 'language': 'python', 'name': 'python3'},
            'language_info': {'name': 'python'},
        },
        'nbformat': 4,
        'nbformat_minor': 5,
    }
    return f'{json.dumps(content, indent=1, ensure_ascii=False)}\n'


def _cell(index: int, content: str, *, is_text: bool) -> dict[str, object]:
    lines = content.splitlines(keepends=True)
    if is_text:
        source = [line.removeprefix('#').removeprefix(' ') or '\n' for line in lines]
        return {'cell_type': 'markdown', 'id': f'cell-{index}', 'metadata': {}, 'source': source}
    return {
        'cell_type': 'code',
        'execution_count': None,
        'id': f'cell-{index}',
        'metadata': {},
        'outputs': [],
        'source': lines,
    }


def project_fields() -> Mapping[str, str]:
    """Return the project's address, its maintainers and their mail address, of setup.cfg."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / 'setup.cfg', encoding='utf-8')
    return settings['metadata']


# Where the project's fields stand besides: files, and what is before and behind the value.
PROJECT_PLACES = (
    ('package.xml', r'(<maintainer email=")[^"]*(")', 'author_email'),
    ('package.xml', r'(<maintainer [^>]*>)[^<]*(<)', 'author'),
    ('package.xml', r'(<url type="repository">)[^<]*(<)', 'url'),
    ('CITATION.cff', r'(authors:\n  - name: )[^\n]*(\n)', 'author'),
    ('CITATION.cff', r'(repository-code: )[^\n]*(\n)', 'url'),
    ('REUSE.toml', r'(SPDX-FileCopyrightText = \[?")[^"]*(")', 'author'),
    ('.github/ISSUE_TEMPLATE/config.yml', r'(url: )\S+?(/blob/main/)', 'url'),
    ('README.md', r'(git clone )\S+( s2m2_ros)', 'url'),
    ('README.md', r'(\]\()[^()\s]+(/actions/)', 'url'),
    ('doc/*.md', r'(git clone )\S+( s2m2_ros)', 'url'),
)


def project_files() -> Iterator[tuple[Path, str]]:
    """Yield each file that names the project's address or maintainers, and its right content."""
    fields_of_project = project_fields()
    for path in sorted({path for name, _, _ in PROJECT_PLACES for path in ROOT.glob(name)}):
        text = path.read_text(encoding='utf-8')
        for name, place, field in PROJECT_PLACES:
            if path in ROOT.glob(name):
                value = fields_of_project[field]
                escaped = value.replace('\\', r'\\')
                text = re.sub(place, rf'\g<1>{escaped}\g<2>', text)
        yield path, text


def generated() -> Iterator[tuple[Path, str]]:
    """Yield each file that is generated or has generated parts, and its right content."""
    yield ROOT / 'config' / 'stereo.yaml', parameters_yaml()
    script = ROOT / 'examples' / f'{NOTEBOOK}.py'
    yield script.with_suffix('.ipynb'), notebook(script.read_text(encoding='utf-8'))
    yield from ((path, with_parts(text)) for path, text in project_files())


def main() -> int:
    """Write or check the files; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing; 1 if files differ')
    check = parser.parse_args().check
    status = 0
    for path, content in generated():
        found = path.read_text(encoding='utf-8')
        if found == content:
            continue
        name = str(path.relative_to(ROOT))
        if check:
            status = 1
            difference = difflib.unified_diff(
                found.splitlines(), content.splitlines(), name, 'as the code says', lineterm=''
            )
            print('\n'.join(difference))
            print(f'{name} differs from the code: run `make tables`', file=sys.stderr)
        else:
            path.write_text(content, encoding='utf-8')
            print(f'wrote {name}')
    return status


if __name__ == '__main__':
    sys.exit(main())
