"""Descriptions of networks as YAML, beside their ONNX files.

Read strictly: every key must be known, and each value is taken as what the key wants, whatever
YAML would make of it. Nothing in a file can run code or grow beyond its own size.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from s2m2_ros.plain_yaml import refusal
from s2m2_ros.regular_files import read_regular_file
from s2m2_ros.text_safety import safe_text
from s2m2_ros.weights.other_networks.description import DescriptionError, NetworkDescription

SUFFIXES = ('.yaml', '.yml')
LARGEST_FILE = 1 << 16
MOST_EVENTS = 2000
TOO_LONG = 'far too long for a description'
LONGEST_TEXT = 300
# Digits of a whole number; longer ones are invalid.
WHOLE = re.compile(r'\d{1,9}')
ANSWERS = {'yes': True, 'true': True, 'no': False, 'false': False}
RANGE_TEXT = re.compile(r'(-?[\d.]+)\s*\.\.\s*(-?[\d.]+)')

Node = yaml.Node


def find_description(model: Path) -> Path | None:
    """Return the description beside an ONNX file, or None. Raises DescriptionError for two."""
    beside = [model.with_suffix(suffix) for suffix in SUFFIXES]
    present = [path for path in beside if path.exists() or path.is_symlink()]
    if len(present) > 1:
        names = ' and '.join(path.name for path in present)
        raise DescriptionError(f'{model}: both {names} are beside it: delete one')
    return present[0] if present else None


def description_path(model: Path) -> Path:
    """Return the description beside an ONNX file, or where it belongs.

    Raises DescriptionError for two.
    """
    return find_description(model) or model.with_suffix(SUFFIXES[0])


def read_description(path: Path) -> NetworkDescription:
    """Return the description in a YAML file. Raises DescriptionError; see `read_values`."""
    return NetworkDescription(**read_values(path))


def read_values(path: Path) -> dict[str, Any]:
    """Return the fields of a description that a YAML file states.

    Raises DescriptionError, naming file, line and what to write, if it cannot be read.
    """
    try:
        content = read_regular_file(path, max_bytes=LARGEST_FILE)
        text = content.decode('utf-8-sig')
    except OSError as error:
        reason = error.strerror or str(error)
        raise DescriptionError(f'{path}: cannot be read ({reason})') from error
    except UnicodeDecodeError as error:
        raise DescriptionError(f'{path}: not a UTF-8 text') from error
    try:
        values = parse_values(text)
        # Values are checked beside each other too.
        NetworkDescription(**values)
    except DescriptionError as error:
        raise DescriptionError(f'{path}: {error}') from error
    return values


def parse_description(text: str) -> NetworkDescription:
    """Return the description in a YAML text. Raises DescriptionError."""
    return NetworkDescription(**parse_values(text))


def parse_values(text: str) -> dict[str, Any]:
    """Return the fields that a YAML text states. Raises DescriptionError."""
    root = _root(text)
    values: dict[str, Any] = {}
    for key, node in _items(root, LAYOUT, ''):
        entry = LAYOUT[key]
        if callable(entry):
            values[key] = entry(node, key)
            continue
        for inner, value in _items(node, entry, f'{key}.'):
            field, reader = entry[inner]
            values[field] = reader(value, f'{key}.{inner}')
    return values


def to_yaml(description: NetworkDescription, *, comments: tuple[str, ...] = ()) -> str:
    """Return a description as the text of a YAML file, without what is empty."""
    content: dict[str, Any] = {}
    for key, entry in LAYOUT.items():
        if callable(entry):
            section = {key: key}
        else:
            section = {inner: field for inner, (field, _) in entry.items()}
        shown = {
            name: _plain(getattr(description, field))
            for name, field in section.items()
            if getattr(description, field) not in ('', (), 0)
        }
        if key == 'second' and not description.second_file:
            continue
        if callable(entry):
            content |= shown
        elif shown:
            content[key] = shown
    head = ''.join(f'# {safe_text(comment)}\n' for comment in comments)
    body: str = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=95)
    return head + body


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _root(text: str) -> Node:
    try:
        if reason := refusal(text, most_events=MOST_EVENTS, too_long=TOO_LONG):
            raise DescriptionError(reason)
        root = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DescriptionError(f'no readable YAML: {_problem(error)}') from error
    if root is None:
        raise DescriptionError('it is empty: delete it, or write what the network needs')
    return root


def _problem(error: Exception) -> str:
    mark = getattr(error, 'problem_mark', None)
    text = safe_text(getattr(error, 'problem', None) or type(error).__name__)
    return f'line {mark.line + 1}: {text}' if mark else text


def _line(node: Any) -> str:
    return f'line {node.start_mark.line + 1}'


def _items(node: Node, known: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Node]]:
    """Yield key and value of a mapping. Raises DescriptionError for keys that are not known."""
    if not isinstance(node, yaml.MappingNode):
        where = f"'{prefix[:-1]}'" if prefix else 'a description'
        raise DescriptionError(f'{_line(node)}: {where} must hold keys: {", ".join(known)}')
    for key_node, value in node.value:
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else '?'
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            hint = f", did you mean '{prefix}{close[0]}'?" if close else ''
            raise DescriptionError(
                f"{_line(key_node)}: unknown key '{prefix}{safe_text(key)}'{hint} Known are "
                f'{", ".join(known)}'
            )
        yield key, value


def _text(node: Node, key: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise DescriptionError(f"{_line(node)}: '{key}' must be one word or text")
    value = str(node.value)
    if len(value) > LONGEST_TEXT or not value.isprintable():
        raise DescriptionError(
            f"{_line(node)}: '{key}' must be a text of at most {LONGEST_TEXT} printable characters"
        )
    return value


def _word(node: Node, key: str) -> str:
    return _text(node, key).lower()


def _answer(node: Node, key: str) -> bool:
    text = _word(node, key)
    if text not in ANSWERS:
        raise DescriptionError(f"{_line(node)}: '{key}' must be yes or no, not '{text}'")
    return ANSWERS[text]


def _whole(node: Node, key: str) -> int:
    text = _text(node, key)
    if not WHOLE.fullmatch(text):
        raise DescriptionError(f"{_line(node)}: '{key}' must be a whole number, not '{text}'")
    return int(text)


def _number(node: Node, key: str) -> float:
    text = _text(node, key)
    try:
        return float(text)
    except ValueError:
        message = f"{_line(node)}: '{key}' must be a number, not '{text}'"
        raise DescriptionError(message) from None


def _numbers(node: Node, key: str) -> tuple[float, ...]:
    if isinstance(node, yaml.SequenceNode):
        return tuple(_number(part, key) for part in node.value)
    return (_number(node, key),)


def _range(node: Node, key: str) -> tuple[float, float]:
    if isinstance(node, yaml.SequenceNode) and len(node.value) == 2:
        low, high = _numbers(node, key)
        return low, high
    if isinstance(node, yaml.ScalarNode) and (match := RANGE_TEXT.fullmatch(node.value.strip())):
        try:
            return float(match[1]), float(match[2])
        except ValueError:
            pass
    raise DescriptionError(
        f"{_line(node)}: '{key}' must be the values of black and white, e.g. 0..255 or [0, 1]"
    )


Reader = Callable[[Node, str], Any]
Section = Mapping[str, tuple[str, Reader]]
# The keys of the file; in sections, the field that a key fills, and how it is read.
LAYOUT: Mapping[str, Reader | Section] = {
    'name': _text,
    'license': _text,
    'source': _text,
    'inputs': {
        'left': ('left', _text),
        'right': ('right', _text),
        'pair': ('pair', _text),
        'channels': ('channels', _word),
        'layout': ('layout', _word),
        'range': ('range', _range),
        'mean': ('mean', _numbers),
        'std': ('std', _numbers),
    },
    'size': {
        'height': ('height', _whole),
        'width': ('width', _whole),
        'multiple': ('multiple', _whole),
        'fit': ('fit', _word),
    },
    'outputs': {
        'disparity': ('disparity', _text),
        'confidence': ('confidence', _text),
        'visibility': ('visibility', _text),
        'occlusion': ('occlusion', _text),
    },
    'disparity': {
        'sign': ('sign', _word),
        'unit': ('unit', _word),
        'scale': ('scale', _number),
        'largest': ('largest', _number),
    },
    'second': {
        'file': ('second_file', _text),
        'volume': ('second_volume', _text),
        'left': ('second_left', _text),
        'right': ('second_right', _text),
        'kind': ('second_kind', _word),
        'groups': ('second_groups', _whole),
        'count': ('second_count', _whole),
        'normalize': ('second_normalize', _answer),
    },
    'planted_check': _word,
}
