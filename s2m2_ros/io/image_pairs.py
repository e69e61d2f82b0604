"""Two images that belong together as two arrays of one kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def make_alike(
    left: npt.NDArray[Any], right: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return both as color if one is, and as float32 if their types differ.

    Both are (H, W) or (H, W, 3) RGB with values in 0..255: cameras of one pair may be set to
    different encodings, and files saved in different formats.
    """
    if left.ndim != right.ndim:
        left, right = (i if i.ndim == 3 else np.stack((i,) * 3, axis=-1) for i in (left, right))
    if left.dtype != right.dtype:
        left, right = left.astype(np.float32), right.astype(np.float32)
    return left, right
