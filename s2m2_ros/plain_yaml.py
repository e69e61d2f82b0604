"""Short YAML files of others: what in them could grow, or hide, beyond what is written."""

from __future__ import annotations

from typing import Any

import yaml

from s2m2_ros.text_safety import safe_text


def refusal(text: str, *, most_events: int, too_long: str) -> str:
    """Return why a YAML text is not read, in words; empty if it is short and plain.

    Args:
        text: of the file.
        most_events: how many parts it may have.
        too_long: what to say of more.

    Raises yaml.YAMLError, RecursionError or ValueError for what is no YAML.

    """
    for count, event in enumerate(yaml.parse(text, yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent):
            return f'{_place(event.start_mark)}aliases (*) are not read'
        if count > most_events:
            return too_long
    return _repeated_key(yaml.compose(text, yaml.SafeLoader))


def _repeated_key(node: Any, prefix: str = '') -> str:
    """Return where a mapping has a key twice, of which PyYAML would take the last."""
    if isinstance(node, yaml.SequenceNode):
        return next(filter(None, (_repeated_key(part, prefix) for part in node.value)), '')
    if not isinstance(node, yaml.MappingNode):
        return ''
    seen: set[str] = set()
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else '?'
        if name in seen and name != '?':
            return f"{_place(key.start_mark)}'{prefix}{safe_text(name)}' is there twice"
        seen.add(name)
        if reason := _repeated_key(value, f'{prefix}{safe_text(name)}.'):
            return reason
    return ''


def _place(mark: Any) -> str:
    # PyYAML has two kinds of marks, and gives none where it was asked for none.
    return f'line {mark.line + 1}: ' if mark else ''
