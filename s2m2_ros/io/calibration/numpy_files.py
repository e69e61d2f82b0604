"""Matrices in files of NumPy, read within limits and without unpickling."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from s2m2_ros.geometry.camera_model import CalibrationError
from s2m2_ros.io.calibration.values import MOST_NUMBERS

# What an array without a name is called among the named values.
UNNAMED = 'array'
# Bytes; a thousand arrays take a tenth.
LARGEST_DIRECTORY = 1 << 20
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DIRECTORY_END = b'PK\5\6'
DIRECTORY64_LOCATOR = b'PK\6\7'


def read_array(path: Path, data: bytes) -> Mapping[str, Any]:
    """Return the one array of an ``.npy`` file, by the file's own name."""
    try:
        array = _small_array(io.BytesIO(data))
    except _ObjectsError as error:
        raise _pickled(path) from error
    except (ValueError, TypeError, EOFError, OSError, MemoryError) as error:
        raise CalibrationError(f'{path}: not a whole .npy file') from error
    if array is None:
        raise CalibrationError(f'{path}: this array is no matrix of a calibration')
    return {UNNAMED: array}


def read_archive(path: Path, data: bytes) -> Mapping[str, Any]:
    """Return the small arrays of an ``.npz`` file by name; others, e.g. maps, are left out."""
    try:
        return _members(path, data)
    except _ObjectsError as error:
        raise _pickled(path) from error
    except (zipfile.BadZipFile, zlib.error, ValueError, TypeError, EOFError, OSError) as error:
        raise CalibrationError(f'{path}: not a whole .npz file') from error
    except (NotImplementedError, RuntimeError, MemoryError) as error:
        raise CalibrationError(f'{path}: not an .npz file as NumPy writes it') from error


def _members(path: Path, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not _directory_is_small(data):
        raise CalibrationError(f'{path}: far too many arrays for a calibration')
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        objects = False
        for member in archive.infolist():
            if not member.filename.endswith('.npy'):
                continue
            if member.compress_type not in COMPRESSIONS:
                raise NotImplementedError
            with archive.open(member) as file:
                try:
                    array = _small_array(file)
                except _ObjectsError:
                    objects = True
                    continue
            if array is not None:
                found[member.filename.removesuffix('.npy')] = array
    if objects and not found:
        raise _ObjectsError
    return found


def _directory_is_small(data: bytes) -> bool:
    """Return whether an archive lists few members, read as `zipfile` reads its directory."""
    end = data.rfind(DIRECTORY_END)
    if end < 0 or len(data) < end + 22:
        raise zipfile.BadZipFile('without a directory')
    # The locator of a directory of more than 4 GiB or 65535 members stands right before.
    if data[max(end - 20, 0) : end].startswith(DIRECTORY64_LOCATOR):
        return False
    (size,) = struct.unpack_from('<I', data, end + 12)
    return int(size) <= LARGEST_DIRECTORY


class _ObjectsError(Exception):
    """The array holds Python objects, which only unpickling would read."""


def _small_array(file: IO[bytes]) -> list[Any] | None:
    """Return an array of real numbers as nested lists; None if it is something else, or large."""
    # Later versions have headers of any length, which only very many fields need.
    if npy.read_magic(file) != (1, 0):
        return None
    try:
        shape, fortran, dtype = npy.read_array_header_1_0(file)
    except Exception as error:  # its header is Python's own syntax, which fails in many ways
        raise ValueError('the header of the array is damaged') from error
    if dtype.hasobject:
        raise _ObjectsError
    count = math.prod(shape)
    if dtype.kind not in 'fiu' or count > MOST_NUMBERS or any(size < 0 for size in shape):
        return None
    content = file.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise ValueError('the array is cut short')
    array = np.frombuffer(content, dtype).reshape(shape, order='F' if fortran else 'C')
    values = array.tolist()
    return values if isinstance(values, list) else [values]


def _pickled(path: Path) -> CalibrationError:
    return CalibrationError(
        f'{path}: holds Python objects (a pickle), which are never read, because they can run '
        'code; save the matrices by name: numpy.savez(file, P1=P1, P2=P2)'
    )
