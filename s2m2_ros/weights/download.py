"""Fetching a checkpoint over HTTP: resumes, verifies, and moves into place atomically."""

from __future__ import annotations

import http.client
import logging
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import s2m2_ros
from s2m2_ros.weights.errors import WeightsError
from s2m2_ros.weights.partial_file import PartialFile
from s2m2_ros.weights.private_folders import private_folder
from s2m2_ros.weights.registry import Checkpoint
from s2m2_ros.weights.storage import checkpoint_path
from s2m2_ros.weights.verification import file_sha256, is_intact

_logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

CHUNK_BYTES = 1 << 18
TIMEOUT_S = 30.0
# Failures in a row with hardly any new bytes before giving up.
ATTEMPTS = 5
# Fewer new bytes than these are no progress: a very slow server would be asked forever.
FRUITFUL_BYTES = 1 << 20
# No download goes on for longer than at this rate.
SLOWEST_BYTES_PER_S = 20_000
LEAST_TIME_LIMIT_S = 600.0
TRANSIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504)
RANGE_NOT_SATISFIABLE = 416
# A server's number of bytes; longer ones are invalid.
LENGTH = re.compile(r'[0-9]{1,18}')


class _InterruptedError(Exception):
    """The transfer broke off in a way that another attempt may fix."""


class HttpsStaysHttps(urllib.request.HTTPRedirectHandler):
    """Rejects redirections from https to an insecure address."""

    def redirect_request(  # noqa: PLR0917 (urllib's signature)
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the next request, as urllib asks; WeightsError for an insecure address."""
        allowed = ('https:',) if req.type == 'https' else ('https:', 'http:')
        if not newurl.lower().startswith(allowed):
            raise WeightsError(f'the server redirects to an insecure address: {newurl[:200]}')
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _ignore_progress(done: int, total: int) -> None:
    """Report nothing."""


def download(
    checkpoint: Checkpoint,
    *,
    folder: Path | None = None,
    progress: Progress = _ignore_progress,
    retry_delay: float = 1.0,
    time_limit: float | None = None,
) -> Path:
    """Fetch a checkpoint unless it is here already, and return its path.

    An interrupted transfer goes on where it stopped, also in a later call. Nothing but a complete
    file with the right SHA-256 ever appears under the final name.

    Args:
        checkpoint: an entry of the registry.
        folder: replaces the cache folder.
        progress: called with the bytes so far and in all (0 if unknown).
        retry_delay: seconds before another attempt, doubled each time while there is hardly any
            progress.
        time_limit: seconds for the whole download; by default enough for a very slow network.

    Raises:
        WeightsError: there is no address, the server cannot be reached or keeps failing, what it
            serves is not the checkpoint, another process is fetching it, others can write to the
            cache folder, or the disk does not take the file.

    """
    target = checkpoint_path(checkpoint, folder=folder)
    if checkpoint.address is None:
        raise WeightsError(f"'{checkpoint.name}' comes with s2m2_ros and is not downloaded")
    limit = max(LEAST_TIME_LIMIT_S, checkpoint.size_bytes / SLOWEST_BYTES_PER_S)
    job = _Job(
        checkpoint,
        target,
        progress,
        retry_delay,
        time.monotonic() + (limit if time_limit is None else time_limit),
    )
    try:
        private_folder(target.parent.parent, target.parent.name)
        if target.is_file() and is_intact(checkpoint, target):
            return target
        with PartialFile(target.with_name(target.name + '.part'), checkpoint) as file:
            resumed = file.size > 0
            _fetch(job, file)
            if resumed and not is_intact(checkpoint, file.path):
                _logger.warning('the resumed download is inconsistent: starting again')
                file.cut(0)
                _fetch(job, file)
            _move_into_place(job, file)
    except OSError as error:
        raise WeightsError(
            f"cannot download '{checkpoint.name}' to '{target}': {error.strerror}"
        ) from error
    return target


@dataclass(frozen=True)
class _Job:
    """One download; ``deadline`` is a time of the monotonic clock."""

    checkpoint: Checkpoint
    target: Path
    progress: Progress
    retry_delay: float
    deadline: float

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def check_time(self) -> None:
        if self.seconds_left <= 0:
            raise WeightsError(
                'it takes too long; what was received is kept: run the same command to resume'
            )

    def failure(self, reason: str) -> WeightsError:
        return WeightsError(
            f"cannot download '{self.checkpoint.name}': {reason}. To fetch it by hand, save "
            f'{self.checkpoint.address} as {self.target}'
        )


def _move_into_place(job: _Job, file: PartialFile) -> None:
    found, expected = file_sha256(file.path), job.checkpoint.sha256_prefix
    if not found.startswith(expected):
        file.path.unlink()
        raise job.failure(
            f'another file was received (SHA-256 {found[:12]}..., expected {expected[:12]}...)'
        )
    file.finish(job.target)


def _fetch(job: _Job, file: PartialFile) -> None:
    """Append to `file` until the server has no more, trying again after interruptions."""
    fruitless = 0
    while True:
        before = file.size
        try:
            job.check_time()
            _transfer(job, file)
            return
        except WeightsError as error:
            raise job.failure(str(error)) from error
        # ValueError: answers that are no HTTP.
        except (_InterruptedError, OSError, http.client.HTTPException, ValueError) as error:
            fruitless = 0 if file.size >= before + FRUITFUL_BYTES else fruitless + 1
            reason = (str(error) or type(error).__name__).split('\n')[0][:200]
            if fruitless >= ATTEMPTS:
                raise job.failure(reason) from error
            _logger.info('download interrupted (%s): trying again', reason)
        pause = job.retry_delay * 2 ** max(fruitless - 1, 0)
        time.sleep(max(min(pause, job.seconds_left), 0))


def _transfer(job: _Job, file: PartialFile) -> None:
    """Make one request and append what it brings.

    Raises _InterruptedError or a network error if another attempt may help, else WeightsError.
    """
    checkpoint = job.checkpoint
    with _request(checkpoint, file) as response:
        offset = _resumed_offset(response, file.size)
        file.cut(offset)
        declared = response.headers.get('Content-Length', '')
        length = int(declared) if LENGTH.fullmatch(declared) else None
        total = 0 if length is None else offset + length
        _check_size(checkpoint, total)
        size = offset
        # read1 returns what has come: a slow server does not delay the check of the time.
        while chunk := response.read1(CHUNK_BYTES):
            file.append(chunk)
            size += len(chunk)
            _check_size(checkpoint, size)
            job.progress(size, total)
            job.check_time()
        # http.client reports nothing when a connection closes before the declared length.
        if size < total:
            raise _InterruptedError(f'connection closed after {size} of {total} bytes')


def _request(checkpoint: Checkpoint, file: PartialFile) -> http.client.HTTPResponse:
    address = checkpoint.address or ''
    if not address.startswith(('https://', 'http://')):
        raise WeightsError(f"'{address}' is not a web address")
    request = urllib.request.Request(  # noqa: S310 (checked above)
        address, headers={'User-Agent': f's2m2_ros/{s2m2_ros.__version__}'}
    )
    if file.size:
        request.add_header('Range', f'bytes={file.size}-')
    opener = urllib.request.build_opener(HttpsStaysHttps)
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_S)
        return response
    except urllib.error.HTTPError as error:
        with error:
            if error.code == RANGE_NOT_SATISFIABLE and file.size:
                file.cut(0)
                raise _InterruptedError('the server has less than was fetched before') from error
            if error.code in TRANSIENT_STATUSES:
                raise _InterruptedError(f'the server answers {error.code}') from error
            reason = str(error.reason).split('\n')[0][:100]
            raise WeightsError(f'the server answers {error.code} {reason}') from error


def _resumed_offset(response: http.client.HTTPResponse, wanted: int) -> int:
    """Return the position in the file at which the response's body starts."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    match = re.match(r'bytes ([0-9]{1,18})-', response.headers.get('Content-Range', ''))
    if match is None or int(match[1]) > wanted:
        raise WeightsError('the server answers with another part of the file than was asked for')
    return int(match[1])


def _check_size(checkpoint: Checkpoint, size: int) -> None:
    """Raise WeightsError for far too many bytes, before they fill the disk."""
    if size > 1.5 * checkpoint.size_bytes + (1 << 20):
        raise WeightsError(f'the server sends far more than {checkpoint.size_bytes} bytes')
