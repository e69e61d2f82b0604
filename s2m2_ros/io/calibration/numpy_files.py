"""Matrices in files of NumPy, read within limits and without unpickling."""

from __future__ import annotations

import io
import math
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
MOST_MEMBERS = 1000


def read_array(path: Path, data: bytes) -> Mapping[str, Any]:
    """Return the one array of an ``.npy`` file, by the file's own name."""
    try:
        array = _small_array(io.BytesIO(data))
    except _ObjectsError as error:
        raise _pickled(path) from error
    except (ValueError, EOFError, OSError, MemoryError) as error:
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
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError) as error:
        raise CalibrationError(f'{path}: not a whole .npz file') from error
    except (NotImplementedError, RuntimeError, MemoryError) as error:
        raise CalibrationError(f'{path}: not an .npz file as NumPy writes it') from error


def _members(path: Path, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if len(members) > MOST_MEMBERS:
            raise CalibrationError(f'{path}: far too many arrays for a calibration')
        objects = False
        for member in members:
            if not member.filename.endswith('.npy'):
                continue
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


class _ObjectsError(Exception):
    """The array holds Python objects, which only unpickling would read."""


def _small_array(file: IO[bytes]) -> list[Any] | None:
    """Return an array of real numbers as nested lists; None if it is something else, or large."""
    version = npy.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = npy.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = npy.read_array_header_2_0(file)
    else:
        return None
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
