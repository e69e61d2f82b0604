"""Fetching a checkpoint over HTTP: resumes, verifies, and moves into place atomically."""

from __future__ import annotations

import fcntl
import http.client
import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import s2m2_ros
from s2m2_ros.weights.errors import WeightsError
from s2m2_ros.weights.registry import Checkpoint
from s2m2_ros.weights.storage import checkpoint_path
from s2m2_ros.weights.verification import file_sha256, is_intact

_logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

CHUNK_BYTES = 1 << 18
TIMEOUT_S = 30.0
# Failures in a row without a single new byte before giving up.
ATTEMPTS = 5
TRANSIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504)
RANGE_NOT_SATISFIABLE = 416


class _InterruptedError(Exception):
    """The transfer broke off in a way that another attempt may mend."""


def _ignore_progress(done: int, total: int) -> None:
    """Report to nobody."""


def download(
    checkpoint: Checkpoint,
    *,
    folder: Path | None = None,
    progress: Progress = _ignore_progress,
    retry_delay: float = 1.0,
) -> Path:
    """Fetch a checkpoint unless it is here already, and return its path.

    An interrupted transfer goes on where it stopped, also in a later call. Nothing but a complete
    file with the right SHA-256 ever appears under the final name.

    Args:
        checkpoint: an entry of the registry.
        folder: replaces the cache folder.
        progress: called with the bytes so far and in all (0 if unknown).
        retry_delay: seconds before the second attempt without progress, doubled each time.

    Raises:
        WeightsError: there is no address, the server cannot be reached or keeps failing, what it
            serves is not the checkpoint, or another process is fetching it.

    """
    target = checkpoint_path(checkpoint, folder=folder)
    if checkpoint.address is None:
        raise WeightsError(f"'{checkpoint.name}' comes with s2m2_ros and is not downloaded")
    if target.is_file() and is_intact(checkpoint, target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + '.part')
    with partial.open('ab') as file:
        _lock(file, checkpoint)
        resumed = file.tell() > 0
        _fetch(checkpoint, file, target, progress, retry_delay)
        if resumed and not is_intact(checkpoint, partial):
            _logger.warning('the resumed download does not fit together: starting afresh')
            _cut(file, 0)
            _fetch(checkpoint, file, target, progress, retry_delay)
        os.fsync(file.fileno())
        _move_into_place(checkpoint, partial, target)
    return target


def _move_into_place(checkpoint: Checkpoint, partial: Path, target: Path) -> None:
    found = file_sha256(partial)
    if not found.startswith(checkpoint.sha256_prefix):
        partial.unlink()
        raise _failure(
            checkpoint,
            target,
            f'the file received is not it (SHA-256 {found[:12]}..., expected '
            f'{checkpoint.sha256_prefix}...)',
        )
    partial.replace(target)


def _cut(file: BinaryIO, size: int) -> None:
    file.truncate(size)
    file.seek(size)


def _lock(file: BinaryIO, checkpoint: Checkpoint) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WeightsError(
            f"another process is downloading '{checkpoint.name}': wait for it"
        ) from None


def _fetch(
    checkpoint: Checkpoint, file: BinaryIO, target: Path, progress: Progress, retry_delay: float
) -> None:
    """Append to `file` until the server has no more, trying again after interruptions."""
    fruitless = 0
    while True:
        before = file.tell()
        try:
            _transfer(checkpoint, file, progress)
            return
        except (_InterruptedError, OSError, http.client.HTTPException) as error:
            file.flush()
            fruitless = 0 if file.tell() > before else fruitless + 1
            if fruitless >= ATTEMPTS:
                raise _failure(checkpoint, target, str(error) or type(error).__name__) from error
            _logger.info('download interrupted (%s): trying again', error)
        except WeightsError as error:
            raise _failure(checkpoint, target, str(error)) from error
        if fruitless:
            time.sleep(retry_delay * 2 ** (fruitless - 1))


def _failure(checkpoint: Checkpoint, target: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"cannot download '{checkpoint.name}': {reason}. To fetch it by hand, save "
        f'{checkpoint.address} as {target}'
    )


def _transfer(checkpoint: Checkpoint, file: BinaryIO, progress: Progress) -> None:
    """Make one request and append what it brings.

    Raises _InterruptedError or a network error if another attempt may help, else WeightsError.
    """
    with _request(checkpoint, file) as response:
        offset = _resumed_offset(response, file.tell())
        _cut(file, offset)
        declared = response.headers.get('Content-Length')
        length = int(declared) if declared and declared.isdecimal() else None
        total = 0 if length is None else offset + length
        _check_size(checkpoint, total)
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            _check_size(checkpoint, file.tell())
            progress(file.tell(), total)
        file.flush()
        # http.client tells nobody when a connection closes before the declared length.
        if file.tell() < total:
            raise _InterruptedError(f'connection closed after {file.tell()} of {total} bytes')


def _request(checkpoint: Checkpoint, file: BinaryIO) -> http.client.HTTPResponse:
    address = checkpoint.address or ''
    if not address.startswith(('https://', 'http://')):
        raise WeightsError(f"'{address}' is not a web address")
    request = urllib.request.Request(  # noqa: S310 (checked above)
        address, headers={'User-Agent': f's2m2_ros/{s2m2_ros.__version__}'}
    )
    if file.tell():
        request.add_header('Range', f'bytes={file.tell()}-')
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
        return response
    except urllib.error.HTTPError as error:
        with error:
            if error.code == RANGE_NOT_SATISFIABLE and file.tell():
                _cut(file, 0)
                raise _InterruptedError('the server has less than was fetched before') from error
            if error.code in TRANSIENT_STATUSES:
                raise _InterruptedError(f'the server answers {error.code}') from error
            raise WeightsError(f'the server answers {error.code} {error.reason}') from error


def _resumed_offset(response: http.client.HTTPResponse, wanted: int) -> int:
    """Return the position in the file at which the response's body starts."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    match = re.match(r'bytes (\d+)-', response.headers.get('Content-Range', ''))
    if match is None or int(match[1]) > wanted:
        raise WeightsError('the server answers with another part of the file than was asked for')
    return int(match[1])


def _check_size(checkpoint: Checkpoint, size: int) -> None:
    """Refuse what is far too large to be the checkpoint, before it fills the disk."""
    if size > 1.5 * checkpoint.size_bytes + (1 << 20):
        raise WeightsError(f'the server sends far more than {checkpoint.size_bytes} bytes')
