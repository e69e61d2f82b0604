"""Reading a file that may be anything: a device, a folder, a decompression bomb."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from pathlib import Path

from s2m2_ros.geometry.camera_model import CalibrationError
from s2m2_ros.io.images.image_formats import image_format

# Far more than any calibration takes in one of the text formats.
LARGEST_TEXT = 1 << 20
# With gzip it takes no more; its headers may be of any length.
LARGEST_PACKED = LARGEST_TEXT + 4096
# Archives of NumPy may hold rectification maps beside the matrices.
LARGEST_ARCHIVE = 64 << 20

GZIP_MAGIC = b'\x1f\x8b'
ZIP_MAGIC = b'PK\x03\x04'
NPY_MAGIC = b'\x93NUMPY'
TAR_MAGIC, TAR_MAGIC_AT = b'ustar', 257
# What lies under a calibration's name where a download or a clone went wrong.
STRANGERS = {
    'git-lfs pointer': 'a git-lfs pointer, not the calibration itself: run `git lfs pull`',
    'web page': 'a web page, not a calibration: the download probably needed a login, or the '
    'address of the raw file',
}
FORMAT_BYTES = 512


def read_limited(path: Path) -> bytes:
    """Return the content of a regular file, unpacked if it is gzip.

    Raises:
        CalibrationError: the file is missing, unreadable, not a regular file, or larger than
            `LARGEST_TEXT` (`LARGEST_ARCHIVE` for files of NumPy); or it is recognized as
            something else.

    """
    try:
        data = _read(path)
        if data.startswith(GZIP_MAGIC):
            if len(data) > LARGEST_PACKED:
                raise too_large(path)
            data = _unpacked(data)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CalibrationError(f'{path}: not a whole gzip file') from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise CalibrationError(f'{path}: cannot be read ({reason})') from error
    except ValueError as error:  # a NUL in the name
        raise CalibrationError(f'{str(path)!r}: cannot be read ({error})') from error
    if data[TAR_MAGIC_AT : TAR_MAGIC_AT + len(TAR_MAGIC)] == TAR_MAGIC:
        raise CalibrationError(
            f'{path}: a tar archive: unpack it and give the files in it, e.g. left.yaml and '
            'right.yaml'
        )
    stranger = STRANGERS.get(image_format(data[:FORMAT_BYTES]))
    if stranger:
        raise CalibrationError(f'{path}: {stranger}')
    if len(data) > LARGEST_TEXT and not data.startswith((ZIP_MAGIC, NPY_MAGIC)):
        raise too_large(path)
    return data


def too_large(path: Path) -> CalibrationError:
    """Return the error for a file beyond the limits."""
    return CalibrationError(f'{path}: far too large for a calibration')


def _read(path: Path) -> bytes:
    # Without O_NONBLOCK the opening of a FIFO waits for a writer.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, 'rb') as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise CalibrationError(f'{path}: not a regular file; a calibration must be a file')
        if status.st_size > LARGEST_ARCHIVE:
            raise too_large(path)
        return file.read(LARGEST_ARCHIVE + 1)


def _unpacked(data: bytes) -> bytes:
    with gzip.open(io.BytesIO(data)) as file:
        return file.read(LARGEST_TEXT + 1)
