"""Images in NumPy's own format (.npy), without anything that its reader could run."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_HEADER = 10_000


def decode_npy(content: bytes, *, max_pixels: int) -> npt.NDArray[Any]:
    """Return the array (H, W) or (H, W, C) of numbers.

    Raises ValueError for anything else, for arrays of more than `max_pixels`, and for files that
    are cut short.
    """
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in readers:
            raise ValueError(f'version {version} is not one of images')
        shape, _, kind = readers[version](stream, max_header_size=MAX_HEADER)
    except Exception as error:  # its header is Python's own syntax, which fails in many ways
        raise ValueError('the header of the NumPy array is damaged') from error
    if kind.kind not in 'buif' or kind.itemsize > 8:
        raise ValueError(f'the NumPy array holds {kind}: an image holds integers or floats')
    if len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
        raise ValueError(f'the NumPy array has shape {shape}: channels come last, transpose it')
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise ValueError(f'the NumPy array has shape {shape}: give (H, W) or (H, W, 3)')
    if not all(type(size) is int and size > 0 for size in shape):
        raise ValueError('the NumPy array has an impossible shape')
    if shape[0] * shape[1] > max_pixels:
        raise ValueError(f'the NumPy array has an implausible shape of {shape}')
    if len(content) - stream.tell() < int(np.prod(shape)) * kind.itemsize:
        raise ValueError('the NumPy array is cut short')
    stream.seek(0)
    found: npt.NDArray[Any] = np.lib.format.read_array(
        stream, allow_pickle=False, max_header_size=MAX_HEADER
    )
    return found.astype(found.dtype.newbyteorder('='), copy=False)
