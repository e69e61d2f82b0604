"""The table of confidence beside a checkpoint: `NAME.pth.confidence.yaml` for `NAME.pth`.

It names the weights that it was counted for by their SHA-256, so that it is never used for
others that took their place.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from s2m2_ros.atomic_files import write_atomically, write_errors
from s2m2_ros.confidence_tables import ConfidenceTable, ConfidenceTableError, RefinedTables
from s2m2_ros.plain_yaml import refusal
from s2m2_ros.regular_files import read_regular_file
from s2m2_ros.text_safety import safe_text

SUFFIX = '.confidence.yaml'
LARGEST_FILE = 1 << 16
MOST_EVENTS = 4000
TOO_LONG = 'it holds far more than tables'
COLUMNS = tuple(field.name for field in fields(ConfidenceTable))
COLUMNS_TEXT = ', '.join(COLUMNS)
WEIGHTS, COUNTED_ON, REFINED = 'weights', 'counted_on', 'refined'
REFINED_TABLES = tuple(field.name for field in fields(RefinedTables))
SHA256 = re.compile('[0-9a-f]{64}')


@dataclass(frozen=True)
class CountedConfidence:
    """The content of a file.

    Attributes:
        table: what was counted.
        weights: SHA-256 of the network that it was counted for; see `weights_sha256` of the
            matcher.
        counted_on: the sets of pairs, in words.
        refined: the tables for pairs that semi-global matching refines, if they were counted.
        sha256: of the file that was read; empty if there is none yet.

    """

    table: ConfidenceTable
    weights: str
    counted_on: tuple[str, ...] = ()
    refined: RefinedTables | None = None
    sha256: str = ''

    def to_yaml(self) -> bytes:
        """Return the content of the file."""
        values: dict[str, Any] = {
            COUNTED_ON: list(self.counted_on),
            WEIGHTS: self.weights,
            **asdict(self.table),
        }
        if self.refined is not None:
            values[REFINED] = asdict(self.refined)
        head = '# What the confidence of these weights is worth: see `s2m2 weights --help`.\n'
        body = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=95)
        return (head + body).encode()


def table_path(checkpoint: Path) -> Path:
    """Return where the table of a checkpoint belongs, whether it is there or not."""
    return checkpoint.with_name(checkpoint.name + SUFFIX)


def has_table(checkpoint: Path) -> bool:
    """Return whether there is a table beside a checkpoint, readable or not."""
    return os.path.lexists(table_path(checkpoint))


def read_table(path: Path) -> CountedConfidence:
    """Return what a file holds.

    Raises ConfidenceTableError, naming the file and what is wrong with it.
    """
    try:
        content = read_regular_file(path, max_bytes=LARGEST_FILE)
    except OSError as error:
        raise ConfidenceTableError(
            f'{path}: cannot be read ({error.strerror or error})'
        ) from error
    try:
        return _parsed(content)
    except ConfidenceTableError as error:
        raise ConfidenceTableError(
            f'{path}: {error}: delete it, or count again by `s2m2 weights fit-confidence`'
        ) from error


def read_table_of(checkpoint: Path, sha256: str) -> CountedConfidence:
    """Return what the file beside a checkpoint holds, if it was counted for these weights.

    Raises ConfidenceTableError as `read_table`, and for those of other weights.
    """
    path = table_path(checkpoint)
    counted = read_table(path)
    if counted.weights != sha256:
        raise ConfidenceTableError(
            f"{path}: counted for other weights than those of '{checkpoint}' are now: delete it, "
            'or count again by `s2m2 weights fit-confidence`'
        )
    return counted


def write_table(path: Path, counted: CountedConfidence) -> None:
    """Write a file atomically. Raises FileWriteError."""
    with write_errors(path):
        write_atomically(path, counted.to_yaml())


def _parsed(content: bytes) -> CountedConfidence:
    try:
        values = _plain_values(content.decode('utf-8-sig'))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfidenceTableError('no readable YAML') from error
    _check_keys(values, (COUNTED_ON, WEIGHTS, *COLUMNS, REFINED), f'{WEIGHTS}, {COLUMNS_TEXT}')
    refined = values.get(REFINED)
    return CountedConfidence(
        _table(values),
        _digest(values, WEIGHTS),
        _texts(values, COUNTED_ON),
        None if refined is None else _refined(refined),
        hashlib.sha256(content).hexdigest(),
    )


def _plain_values(text: str) -> Any:
    """Return a YAML text as mappings, lists and texts, whatever tags it has.

    Raises ConfidenceTableError for aliases, which can grow without bounds, and for too many parts.
    """
    if reason := refusal(text, most_events=MOST_EVENTS, too_long=TOO_LONG):
        raise ConfidenceTableError(reason)
    # It makes nothing but mappings, lists and texts.
    return yaml.load(text, yaml.BaseLoader)  # noqa: S506


def _refined(values: Any) -> RefinedTables:
    _check_keys(values, REFINED_TABLES, ', '.join(REFINED_TABLES), within=REFINED)
    tables = []
    for name in REFINED_TABLES:
        _check_keys(values.get(name), COLUMNS, COLUMNS_TEXT, within=f'{REFINED}.{name}')
        tables.append(_table(values[name]))
    return RefinedTables(*tables)


def _check_keys(values: Any, known: Collection[str], needed: str, *, within: str = '') -> None:
    """Raise ConfidenceTableError unless it is a mapping with known keys only."""
    where = f"'{within}'" if within else 'it'
    if not isinstance(values, dict):
        raise ConfidenceTableError(f'{where} must hold {needed}')
    if unknown := [key for key in values if key not in known]:
        raise ConfidenceTableError(f"{where} has an unknown key '{safe_text(unknown[0], 60)}'")


def _table(values: Mapping[str, Any]) -> ConfidenceTable:
    return ConfidenceTable(*(_numbers(values, name) for name in COLUMNS))


def _numbers(values: Mapping[str, Any], name: str) -> tuple[float, ...]:
    found = values.get(name)
    try:
        if isinstance(found, list):
            return tuple(float(one) for one in found)
    except (TypeError, ValueError):
        pass
    raise ConfidenceTableError(f"'{name}' must be a list of numbers")


def _texts(values: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = values.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ConfidenceTableError(f"'{name}' must be a list of texts")
    return tuple(found)


def _digest(values: Mapping[str, Any], name: str) -> str:
    found = values.get(name)
    if not isinstance(found, str) or not SHA256.fullmatch(found):
        raise ConfidenceTableError(f"'{name}' must be the SHA-256 of the weights, 64 digits")
    return found
