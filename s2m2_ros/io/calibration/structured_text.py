"""YAML, JSON and XML as nested mappings and lists whose leaves are text or numbers."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import yaml

from s2m2_ros.text_safety import safe_text

# A calibration needs a tenth of these; without limits a small file can take hours.
MOST_NODES = 50_000
MOST_NESTING = 30
LONGEST_NAME = 1000
# OpenCV begins with a directive that YAML does not know.
OPENCV_DIRECTIVE = re.compile(r'\A\s*%YAML:[^\n]*\n?')
# libyaml's parser is some ten times faster; it is missing from a few builds of PyYAML.
YAML_LOADER = getattr(yaml, 'CBaseLoader', yaml.BaseLoader)

Parts = tuple[Mapping[str, Any], ...]


class _StructureError(Exception):
    """The text is not of this structure, or not within the limits."""


class _Loader(YAML_LOADER):  # type: ignore[misc, valid-type]
    """YAML's loader of text, which takes no key twice with two values."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node; raises _StructureError for a contradiction."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len({repr(key) for key in keys}) < len(keys):
            values = [self.construct_object(value, deep=True) for _, value in node.value]
            return _without_contradictions(list(zip(keys, values, strict=True)))
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def _without_contradictions(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return the pairs as a mapping; nothing says which of two values of a key counts."""
    mapping: dict[Any, Any] = {}
    for key, value in pairs:
        # Lists are not compared: aliases of YAML make that take for ever.
        is_one_value = not isinstance(value, list | dict)
        if key in mapping and not (is_one_value and mapping[key] == value):
            raise _StructureError(f"'{safe_text(key)}' is there twice: remove the wrong one")
        mapping[key] = value
    return mapping


def parse(text: str) -> tuple[Parts, str]:
    """Return the mappings that a text holds, and why there are none (empty if there are some)."""
    try:
        if text.lstrip().startswith('<'):
            values = [_xml(text)]
        elif text.lstrip().startswith(('{', '[')):
            values = _json_or_yaml(text)
        else:
            values = _yaml(text)
    except _StructureError as error:
        return (), str(error)
    return tuple(value for value in values if isinstance(value, Mapping)), ''


def _json_or_yaml(text: str) -> list[Any]:
    try:
        value = json.loads(
            text, parse_int=str, parse_float=str, object_pairs_hook=_without_contradictions
        )
    except (ValueError, RecursionError):
        return _yaml(text)
    return value if isinstance(value, list) else [value]


def _yaml(text: str) -> list[Any]:
    """Return the documents of a YAML text; all scalars are text, whatever their tags say."""
    text = OPENCV_DIRECTIVE.sub('', text, count=1)
    documents: list[Any] = []
    try:
        _check_events(text)
        # The base loader makes text, lists and mappings only; what comes before an error is kept.
        for document in yaml.load_all(text, _Loader):
            documents.append(document)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        if not documents:
            raise _StructureError(_yaml_problem(error)) from error
    return documents


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, 'problem_mark', None)
    problem = getattr(error, 'problem', None) or str(error).partition('\n')[0][:100]
    return f'line {mark.line + 1}: {problem}' if mark else f'{problem or type(error).__name__}'


def _check_events(text: str) -> None:
    """Raise _StructureError if YAML is nested deeply or consists of very many nodes."""
    depth = 0
    try:
        for count, event in enumerate(yaml.parse(text, YAML_LOADER)):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MOST_NESTING or count > 2 * MOST_NODES:
                raise _StructureError('nested too deeply, or too many values')
    except (yaml.YAMLError, RecursionError, ValueError):
        # The second reading keeps what stands before the error.
        return


def _xml(text: str) -> Any:
    """Return an XML text, e.g. one of OpenCV, as nested mappings and text."""
    # Entities are how a short XML becomes a long one; no calibration declares any.
    if re.search(r'<!(?:DOCTYPE|ENTITY)', text, re.IGNORECASE):
        raise _StructureError('XML with a document type is not read')
    # An encoding that the text had as a file is no longer its own.
    text = re.sub(r'\A\s*<\?xml[^>]{0,200}\?>', '', text)
    root, depth = None, 0
    try:
        events = ElementTree.iterparse(io.StringIO(text), ('start', 'end'))  # noqa: S314 (see above)
        for count, (event, element) in enumerate(events):
            root = element if root is None else root
            depth += 1 if event == 'start' else -1
            # The name of a namespace becomes part of every name: a long one costs much memory.
            if depth > MOST_NESTING or count > 2 * MOST_NODES or len(element.tag) > LONGEST_NAME:
                raise _StructureError('nested too deeply, too many values, or too long names')
    except (ElementTree.ParseError, ValueError) as error:
        raise _StructureError(f'XML: {error}') from error
    return None if root is None else _element(root)


def _element(element: ElementTree.Element) -> Any:
    if not len(element):
        return element.text or ''
    children = [(child.tag, _element(child)) for child in element]
    # OpenCV calls the elements of a list "_".
    if all(tag == '_' for tag, _ in children):
        return [value for _, value in children]
    return _without_contradictions(children)
