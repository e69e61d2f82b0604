"""Pixels as a camera or a file gives them, before their range is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class RawImage:
    """One decoded image whose values are not scaled yet.

    Attributes:
        pixels: (H, W) gray or (H, W, 3) RGB; uint8, uint16 or float32.
        largest: the value of white by the type or the encoding; None for floating point, where
            nothing names it.
        exact: whether the encoding itself names `largest` (mono10: 1023), so that there is
            nothing to find out.
        stored: the type of the numbers as stored, where `pixels` holds them as float32 only
            because they have no usual range (int64); else empty.

    """

    pixels: npt.NDArray[Any]
    largest: float | None
    exact: bool = False
    stored: str = ''

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]


def raw_image(pixels: npt.NDArray[Any], *, bits: int | None = None) -> RawImage:
    """Return pixels of any numeric type as a RawImage.

    Args:
        pixels: (H, W) or (H, W, 3), of bool, integers or floating point.
        bits: how many bits the encoding says that the values have; None if it does not.

    """
    if pixels.dtype == np.bool_:
        return RawImage(pixels.astype(np.uint8) * np.uint8(255), 255.0, exact=True)
    if pixels.dtype == np.uint8:
        return RawImage(pixels, 255.0, exact=True)
    stored = '' if pixels.dtype.kind == 'f' else pixels.dtype.name
    if pixels.dtype.kind == 'f' or pixels.dtype.itemsize > 2:
        return RawImage(pixels.astype(np.float32, copy=False), None, stored=stored)
    largest = float(np.iinfo(pixels.dtype).max)
    if pixels.dtype.kind == 'i':
        # Signed types that hold no negative value are the type of a camera's software.
        if pixels.size and pixels.min() < 0:
            return RawImage(pixels.astype(np.float32), None, stored=stored)
        pixels = pixels.astype(np.uint16)
    if bits is not None and (not pixels.size or pixels.max() < 1 << bits):
        return RawImage(pixels, float((1 << bits) - 1), exact=True)
    return RawImage(pixels, largest)
