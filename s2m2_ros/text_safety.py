"""Text that others chose (messages, parameters, files), made safe for logs and diagnostics."""

from __future__ import annotations

LIMIT = 200


def safe_text(value: object, limit: int = LIMIT) -> str:
    r"""Return ``str(value)`` on one line of at most ``limit`` characters.

    Characters that are not printable are escaped as in Python (``\n``, ``\x1b``, ``\u202e``):
    they could move a terminal's cursor or fake lines of a log. What is too long ends with its
    true length. The time it takes does not depend on the length of the text.
    """
    text = str(value)
    start = [_escaped(character) for character in text[:limit]]
    if len(text) <= limit and sum(map(len, start)) <= limit:
        return ''.join(start)
    note = f'... ({len(text)} characters)'
    room = limit - len(note)
    while start and sum(map(len, start)) > room:
        start.pop()
    return (''.join(start) + note)[:limit]


def utf8_text(value: object) -> str:
    """Return ``str(value)`` as UTF-8 and terminals can take it, on as many lines as it has.

    File names may consist of other bytes, and of escape sequences.
    """
    text = str(value)
    if text.isprintable():
        return text
    return ''.join(c if c in '\n\t' else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
