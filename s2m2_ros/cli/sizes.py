"""Sizes on the command line."""

from __future__ import annotations

from s2m2_ros.errors import S2M2Error


def three_numbers(text: str) -> tuple[int, int, int]:
    """Return the numbers of, for example, ``24x256x512``.

    Raises:
        S2M2Error: if it is anything else.
    """
    try:
        first, second, third = (int(part) for part in text.split('x'))
    except ValueError as error:
        raise S2M2Error(f'{text!r}: write three whole numbers, such as 24x256x512') from error
    if min(first, second, third) < 1:
        raise S2M2Error(f'{text!r}: each of the three numbers must be 1 or more')
    return first, second, third
