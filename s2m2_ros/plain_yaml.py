"""Short YAML files of others: what in them could grow beyond the size of the file."""

from __future__ import annotations

import yaml


def growth(text: str, *, most_events: int, too_long: str) -> str:
    """Return why a YAML text is not read further, in words; empty if it is short and plain.

    Args:
        text: of the file.
        most_events: how many parts it may have.
        too_long: what to say of more.

    Raises yaml.YAMLError, RecursionError or ValueError for what is no YAML.

    """
    for count, event in enumerate(yaml.parse(text, yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent):
            mark = event.start_mark
            where = f'line {mark.line + 1}: ' if mark else ''
            return f'{where}aliases (*) are not read'
        if count > most_events:
            return too_long
    return ''
