"""Portable float maps (PFM): maps of floating point, as Middlebury, ETH3D and Scene Flow use them.

By the definition at https://www.pauldebevec.com/Research/HDR/PFM/ and Middlebury's upload format:
rows from the bottom up; the sign of the scale factor names the byte order, and its size is
ignored (Middlebury's own writer puts 1/255 there, which scales nothing).
"""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt

FloatMap = npt.NDArray[np.float32]

# Words may be apart by blanks, ends of lines, and comments up to the end of a line.
_GAP = rb'(?:[ \t\r\n]|#[^\n]*\n)+'
_HEADER = re.compile(
    rb'(P[fF]4?)' + _GAP + rb'(\d{1,9})' + _GAP + rb'(\d{1,9})' + _GAP + rb'([-+.\deE]{1,40})'
)
CHANNELS = {b'Pf': 1, b'PF': 3, b'PF4': 4}
# Comments make headers longer, but not by this much.
LONGEST_HEADER = 4096


def decode_pfm(content: bytes, *, max_pixels: int) -> FloatMap:
    """Return the values (H, W), or (H, W, 3 or 4) of a color map, unscaled.

    Raises ValueError for what is no PFM, is cut short or has more than `max_pixels`.
    """
    found = _HEADER.match(content[:LONGEST_HEADER])
    channels = CHANNELS.get(found[1]) if found is not None else None
    if found is None or channels is None:
        raise ValueError('the header of the PFM is damaged')
    width, height = int(found[2]), int(found[3])
    if not width * height or width * height > max_pixels:
        raise ValueError(f'the PFM declares an implausible size of {width}x{height} pixels')
    try:
        scale = float(found[4])
    except ValueError:
        scale = math.nan
    if math.isnan(scale) or scale == 0:
        raise ValueError(f'the scale factor of the PFM is {found[4].decode()}')
    count = width * height * channels
    start = _start_of_data(content, found.end(), 4 * count)
    if len(content) - start < 4 * count:
        raise ValueError('the PFM is cut short')
    values = np.frombuffer(content, '<f4' if scale < 0 else '>f4', count, start)
    rows = values.reshape((height, width) if channels == 1 else (height, width, channels))
    return np.ascontiguousarray(rows[::-1], dtype=np.float32)


def encode_pfm(values: FloatMap) -> bytes:
    """Return the file of values (H, W) or (H, W, 3)."""
    kind = 'Pf' if values.ndim == 2 else 'PF'
    header = f'{kind}\n{values.shape[1]} {values.shape[0]}\n-1.0\n'
    return header.encode() + np.ascontiguousarray(values[::-1], dtype='<f4').tobytes()


def _start_of_data(content: bytes, end: int, needed: int) -> int:
    """Return where the values begin: behind one white space, or blanks and the end of a line.

    Values may look like white space, so that the number of bytes decides where it can.
    """
    line = re.compile(rb'[ \t]*(?:\r\n|\n|\r)').match(content, end)
    starts = [end + 1] if line is None else [line.end(), end + 1]
    exact = [start for start in starts if len(content) - start == needed]
    return (exact or starts)[0]
