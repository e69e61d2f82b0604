"""Disparities and errors as pictures, written as PNG with nothing but NumPy."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatMap = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

# Colours of equal steps from near to far, interpolated: dark blue, cyan, green, yellow, red.
_RAMP = np.array(
    [[48, 18, 59], [62, 117, 233], [27, 208, 213], [97, 252, 108], [225, 220, 55],
     [253, 140, 39], [210, 49, 5], [122, 4, 3]],
    np.float32,
)  # fmt: skip

# Upper ends of the error classes in pixels, and their colours: from right (blue) to wrong (red).
_ERROR_STEPS = (0.5, 1.0, 2.0, 4.0)
_ERROR_COLOURS = np.array(
    [[49, 54, 149], [116, 173, 209], [255, 255, 191], [253, 141, 60], [165, 0, 38]], np.uint8
)
_UNKNOWN = 0


def disparity_picture(disparity: FloatMap, low: float, high: float) -> Picture:
    """Return colours (H, W, 3) of disparities (H, W) between low and high; NaN is black."""
    share = (disparity - low) / max(high - low, 1e-6)
    position = np.nan_to_num(share, nan=0.0).clip(0, 1) * (len(_RAMP) - 1)
    first = position.astype(np.intp).clip(0, len(_RAMP) - 2)
    part = (position - first)[..., None]
    colours = _RAMP[first] * (1 - part) + _RAMP[first + 1] * part
    return np.where(np.isfinite(disparity)[..., None], colours, _UNKNOWN).astype(np.uint8)


def error_picture(estimate: FloatMap, truth: FloatMap) -> Picture:
    """Return the error (H, W, 3) in classes up to 0.5, 1, 2, 4 px and above.

    Pixels without truth are black; pixels without an estimate are wrong.
    """
    error = np.where(np.isfinite(estimate), np.abs(estimate - truth), np.inf)
    colours = _ERROR_COLOURS[np.searchsorted(_ERROR_STEPS, error)]
    return np.where(np.isfinite(truth)[..., None], colours, _UNKNOWN).astype(np.uint8)


def mask_picture(share: FloatMap) -> Picture:
    """Return grey (H, W, 3) of values 0..1."""
    grey = (np.nan_to_num(share).clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def histogram_picture(values: FloatMap, width: int, height: int, *, bins: int = 64) -> Picture:
    """Return a bar chart (height, width, 3) of ``values`` from 0 to their largest."""
    counts, _ = np.histogram(values, bins=bins, range=(0.0, max(float(values.max()), 1.0)))
    heights = counts / max(counts.max(), 1) * (height - 1)
    bar = np.minimum(np.arange(width) * bins // width, bins - 1)
    filled = np.arange(height)[::-1, None] < heights[bar][None]
    grey = np.where(filled, 220, 30).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def write_png(file: Path, picture: Picture) -> None:
    """Write an RGB picture (H, W, 3), atomically (PNG, ISO/IEC 15948)."""
    height, width, _ = picture.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)
    lines[:, 1:] = picture.reshape(height, 3 * width)
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    content = b'\x89PNG\r\n\x1a\n' + b''.join(
        _chunk(kind, data)
        for kind, data in (
            (b'IHDR', header),
            (b'IDAT', zlib.compress(lines.tobytes(), 6)),
            (b'IEND', b''),
        )
    )
    partial = file.with_name(f'{file.name}.{os.getpid()}.partial')
    partial.write_bytes(content)
    partial.replace(file)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', check)
