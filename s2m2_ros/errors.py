"""Errors that a user can cause and fix."""


class S2M2Error(Exception):
    """Base of every error with a message meant for the user.

    The command line prints the message alone, without a traceback, and exits with status 2; the
    node reports it in its log and its diagnostics. The message says what is wrong, where, and
    what to do.
    """


class ImageError(S2M2Error, ValueError):
    """An image that cannot be used: a file, a message or an array; says which and why."""
