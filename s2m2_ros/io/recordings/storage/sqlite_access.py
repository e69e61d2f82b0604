"""How SQLite files of recordings are opened: nothing is written, and damage is put in words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

from s2m2_ros.io.recordings.storage.sqlite_pages import FoundRow
from s2m2_ros.io.sources.stereo_frame import seconds_text

# What `sqlite3` raises for damage, and what values of a wrong type lead to.
DAMAGE = (sqlite3.Error, TypeError, ValueError, AttributeError, OverflowError, MemoryError)
# Gaps between the numbers of rows that are listed; more are counted.
GAPS_LISTED = 5
# More are numbers that are damaged themselves.
MOST_MISSING = 10_000_000
# Where a file says that changes go to a log first, and how.
LOG_BYTES = slice(18, 20)
HAS_LOG = b'\2\2'
# A log is read with memory of this process in place of a file beside it, which needs no lock.
ALONE = 'mode=ro&vfs=unix-none'
SHARED, UNCHANGING = 'mode=ro', 'immutable=1'


class NothingThereError(ValueError):
    """A file lacks what makes a recording; says what, in words for people."""


def log_of(path: Path) -> Path:
    """Return the write-ahead log of a file, which may not be there."""
    return path.with_name(f'{path.name}-wal')


def connected(path: Path) -> tuple[sqlite3.Connection, bool, bool]:
    """Return a connection, whether the file has the size that it declares, and reads its log.

    The log is that of a killed recorder; the last value is True without any.
    """
    error: Exception | None = None
    log = log_of(path)
    has_log = log.is_file() and log.stat().st_size > 0
    for option, is_whole in _ways(path, has_log=has_log):
        try:
            connection = _opened(path, option, is_whole=is_whole)
        except sqlite3.Error as failure:
            error = failure
        else:
            return connection, is_whole, not has_log or option != UNCHANGING
    raise error or sqlite3.OperationalError('cannot be opened')


def _ways(path: Path, *, has_log: bool) -> Iterator[tuple[str, bool]]:
    """Yield how to open a file, and whether it must be whole for that, the best way first.

    SQLite makes a file beside the recording, for processes that share its log; if there is none
    already, no other process shares it.
    """
    if not has_log:
        with path.open('rb') as file:
            may_make_files = file.read(LOG_BYTES.stop)[LOG_BYTES] == HAS_LOG
        if not may_make_files:
            yield SHARED, True
    else:
        if path.with_name(f'{path.name}-shm').exists():
            yield SHARED, True
        yield ALONE, True
    yield UNCHANGING, True
    yield UNCHANGING, False


def _opened(path: Path, option: str, *, is_whole: bool) -> sqlite3.Connection:
    name = quote(os.fsencode(path.absolute()))
    # Whoever opened it may hand it to another thread.
    connection = sqlite3.connect(f'file:{name}?{option}', uri=True, check_same_thread=False)
    try:
        if option == ALONE:
            connection.execute('PRAGMA locking_mode = EXCLUSIVE').fetchone()
        if not is_whole:
            # Without this, SQLite reads nothing of a file that is cut short.
            connection.execute('PRAGMA writable_schema = ON')
        connection.execute('SELECT count(*) FROM sqlite_master').fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def damage_text(error: Exception) -> str:
    """Return what is wrong with a file, of what was raised for it."""
    if isinstance(error, NothingThereError):
        return str(error)
    text = str(error)
    if 'no such table' in text or 'no such column' in text:
        return f'it has no {text.removeprefix("no such ").replace(": ", " ")} as rosbag2 writes it'
    if 'interrupted' in text:
        return 'its content is implausible: reading it takes far longer than its size explains'
    if 'not a database' in text:
        return 'its header is damaged'
    if 'unable to open' in text or 'locked' in text:
        return 'it cannot be opened: is another program writing to it, and may you read it?'
    return 'its pages are not as SQLite writes them'


def missing_rows(rows: Sequence[FoundRow]) -> str:
    """Return how many rows are missing between those that were found, and of which times.

    rosbag2 numbers the messages of a file one after another.
    """
    found = sorted(rows, key=lambda row: row.number)
    gaps = [(a, b) for a, b in pairwise(found) if b.number - a.number > 1]
    lost = sum(b.number - a.number - 1 for a, b in gaps)
    places = [f'between {seconds_text(a.log_ns)} and {seconds_text(b.log_ns)} s' for a, b in gaps]
    if found[0].number > 1:
        lost += found[0].number - 1
        places.insert(0, f'before {seconds_text(found[0].log_ns)} s')
    if not 0 < lost <= MOST_MISSING:
        return ''
    more = len(places) - GAPS_LISTED
    listed = '; '.join(places[:GAPS_LISTED]) + (f'; and {more} more' if more > 0 else '')
    return f', {lost} are missing, as their numbers show: {listed}'
