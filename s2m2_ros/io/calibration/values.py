"""Numbers from whatever a calibration file holds them in."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from s2m2_ros.geometry.camera_model import CalibrationError

Size = tuple[int, int]

# No matrix or list of coefficients of a calibration is longer.
MOST_NUMBERS = 4096
MOST_NESTING = 8
# What YAML, JSON and people write for "no value".
NOTHING = ('', '~', 'null', 'None')
WHOLE_NUMBER = re.compile(r'[-+]?\d{1,9}(?:\.0{0,9})?')


def numbers(path: Path, name: str, value: Any, count: int | None = None) -> tuple[float, ...]:
    """Return the finite numbers in ``value``: text, nested lists, arrays, OpenCV's matrices.

    Raises:
        CalibrationError: there is something else in it, or not ``count`` numbers.

    """
    try:
        found = tuple(_flat(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise CalibrationError(f'{path}: {name} does not consist of numbers') from error
    if not all(math.isfinite(number) for number in found):
        raise CalibrationError(f'{path}: {name} holds NaN or infinity')
    if count is not None and len(found) != count:
        shown = ', '.join(f'{number:g}' for number in found[:16])
        raise CalibrationError(
            f'{path}: {name} must be {count} number{"s" if count > 1 else ""}, not {len(found)}'
            + (f': {shown}' if found else '')
        )
    return found


def number(path: Path, name: str, value: Any) -> float:
    """Return the one number in ``value``; raises CalibrationError as `numbers` does."""
    return numbers(path, name, value, 1)[0]


def whole_number(path: Path, name: str, value: Any) -> int:
    """Return a whole number such as the width of an image; CalibrationError if it is none."""
    text = '' if isinstance(value, bool) else str(value).strip()
    if not WHOLE_NUMBER.fullmatch(text):
        raise CalibrationError(f'{path}: {name} must be a whole number, not {text[:40]!r}')
    return int(text.partition('.')[0])


def is_given(value: Any) -> bool:
    """Return whether there is a value at all."""
    return value is not None and not (isinstance(value, str) and value.strip() in NOTHING)


def numbers_if(value: Any, *counts: int) -> tuple[float, ...]:
    """Return the finite numbers in ``value`` if they are as many as one of ``counts``, else ()."""
    try:
        found = tuple(_flat(value))
    except (TypeError, ValueError, OverflowError):
        return ()
    return found if len(found) in counts and all(map(math.isfinite, found)) else ()


def holds(value: Any, *counts: int) -> bool:
    """Return whether ``value`` consists of so many finite numbers (any of ``counts``)."""
    return bool(numbers_if(value, *counts))


def _flat(value: Any) -> Iterator[float]:
    """Yield the numbers in nested lists, first one first; ValueError beyond `MOST_NUMBERS`."""
    waiting = [(value, 0)]
    # Lists are counted too: aliases of YAML make few bytes into very many empty lists.
    for _ in range(2 * MOST_NUMBERS):
        if not waiting:
            return
        item, nesting = waiting.pop()
        parts = _parts(item)
        if parts is None:
            yield float(item)
        elif nesting == MOST_NESTING or len(parts) > MOST_NUMBERS:
            raise ValueError('nested too deeply, or too many numbers')
        else:
            waiting += [(part, nesting + 1) for part in reversed(parts)]
    raise ValueError('too many numbers')


def _parts(item: Any) -> Sequence[Any] | None:
    """Return what a list, matrix or text consists of; None for a number or a single word."""
    if isinstance(item, bool):
        raise TypeError('a truth value is no number')
    if isinstance(item, Mapping):
        return [item.get('data')]
    if isinstance(item, list | tuple):
        return item
    if not isinstance(item, str):
        return None
    # Longer text is no list of numbers, and splitting it would take its time.
    if len(item) > 32 * MOST_NUMBERS:
        raise ValueError('too long')
    words = re.sub(r'[\[\]();,]', ' ', item).split()
    return None if words == [item] else words
