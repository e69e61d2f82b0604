"""Errors that a user can cause and fix, and those of the machine in words."""

from __future__ import annotations

import re

# What the dynamic linker and Python's imports say then.
_NO_MEMORY = re.compile('failed to map segment|[Cc]annot allocate memory')


class S2M2Error(Exception):
    """Base of every error with a message meant for the user.

    The command line prints the message alone, without a traceback, and exits with status 2; the
    node reports it in its log and its diagnostics. The message says what is wrong, where, and
    what to do.
    """


class ImageError(S2M2Error, ValueError):
    """An image that cannot be used: a file, a message or an array; says which and why."""


def reason_of(error: Exception) -> str:
    """Return one sentence for an error that may also come from the machine."""
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        return 'there is not enough memory'
    if isinstance(error, ImportError):
        return f'a library cannot be loaded: {error}'
    if isinstance(error, OSError) and not isinstance(error, S2M2Error) and error.strerror:
        return f'{error.strerror}: {error.filename}' if error.filename else error.strerror
    return str(error)
