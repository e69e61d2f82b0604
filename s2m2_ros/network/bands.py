"""Working through a map in bands of rows that stay in the processor's caches."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import torch
from torch import Tensor

# Values of one operand in a band: 4 MiB of float32. All of a block stays in the last cache, its
# memory is used again from band to band, and the calls are too few to cost anything.
_BAND_VALUES = 1 << 20
# Values of one map in an overlapping band: 12 MiB of float32. glibc's malloc gives blocks above
# 32 MiB back to the kernel at once, and getting their pages again costs as much as a tenth of a
# convolution that fills them.
_MAP_VALUES = 3 << 20


def banding_pays(tokens: Tensor) -> bool:
    """Return whether a map should be taken in bands: for inference on a processor only.

    Training keeps every intermediate result anyway, and a compiler does better with whole maps.
    """
    return (
        tokens.device.type == 'cpu'
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )


def in_bands(
    function: Callable[..., Tensor], *tokens: Tensor, out: Tensor | None = None
) -> Tensor:
    """Apply a function of tokens, each on its own, to a whole map.

    Args:
        function: takes tensors of any shape (N', h', w, channels) and returns (N', h', w, D).
        tokens: each (N, h, w, channels).
        out: where the result may be written, or None for a new tensor; it may be one of
            ``tokens``. It is left alone where bands do not pay.

    Returns: (N, h, w, D), what ``function(*tokens)`` returns.
    """
    if not banding_pays(tokens[0]):
        return function(*tokens)
    # Rows of all maps in one axis, so that bands are blocks of memory.
    flat = [t.flatten(0, 1)[None] for t in tokens]
    target = None if out is None else out.view(flat[0].shape[:-1] + out.shape[-1:])
    result = in_joint_bands(function, *flat, out=target)
    return result.view(tokens[0].shape[:-1] + result.shape[-1:])


def in_joint_bands(
    function: Callable[..., Tensor], *tokens: Tensor, out: Tensor | None = None
) -> Tensor:
    """Apply a function whose result in a row depends on that row of all maps alone.

    Arguments and result are those of ``in_bands``, but every call gets rows of all N maps.
    """
    first = tokens[0]
    if not banding_pays(first):
        return function(*tokens)
    height = first.shape[1]
    rows = max(1, _BAND_VALUES * height // max(1, first.numel()))
    if rows >= height:
        return function(*tokens)
    for start in range(0, height, rows):
        band = function(*(t[:, start : start + rows] for t in tokens))
        if out is None:
            out = band.new_empty(band.shape[0], height, *band.shape[2:])
        out[:, start : start + rows] = band
    assert out is not None  # noqa: S101
    return out


def in_overlapping_bands(
    function: Callable[..., Tensor], *maps: Tensor, halo: int, channels: int | None = None
) -> Tensor:
    """Apply a function whose result in a row depends on some rows around it.

    Large maps are taken image by image, in bands of rows. Every band is worked out with rows to
    spare above and below, which are then cut off; at the borders of the map there are none, so
    whatever padding the function does there is kept.

    Args:
        function: takes maps of part of the height and returns a map whose height is in a fixed
            ratio to theirs.
        maps: each (N, C, h, w); the first is the tallest, the heights of the others divide its.
        halo: rows of the first map to spare on either side, at least as far as the function
            looks, and a multiple of the ratios of the heights.
        channels: of the widest map that the function makes, at the resolution of the first, or
            None if the first has as many.

    Returns: (N, D, k·h, k·w), what ``function(*maps)`` returns.
    """
    first = maps[0]
    if not banding_pays(first):
        return function(*maps)
    height, width = first.shape[2:]
    ratios = [height // each.shape[2] for each in maps]
    most_rows = max(1, _MAP_VALUES // ((channels or first.shape[1]) * width))
    if most_rows >= height * first.shape[0]:
        return function(*maps)
    # Equal bands, so that the memory of one serves the next.
    bands, multiple = math.ceil(height / most_rows), math.lcm(2, *ratios)
    rows = multiple * math.ceil(height / (bands * multiple))
    out: Tensor | None = None
    for index, start in product(range(first.shape[0]), range(0, height, rows)):
        low, high = max(0, start - halo), min(height, start + rows + halo)
        band = function(
            *(
                m[index : index + 1, :, low // r : high // r]
                for m, r in zip(maps, ratios, strict=True)
            )
        )
        scale = Fraction(band.shape[2], high - low)
        if out is None:
            shape = (first.shape[0], band.shape[1], int(height * scale), band.shape[3])
            out = torch.empty(
                shape, dtype=band.dtype, device=band.device, memory_format=memory_order(band)
            )
        end = min(height, start + rows)
        top, bottom = int((start - low) * scale), int((end - low) * scale)
        out[index, :, int(start * scale) : int(end * scale)] = band[0, :, top:bottom]
    assert out is not None  # noqa: S101
    return out


def memory_order(maps: Tensor) -> torch.memory_format:
    """Return the memory order that maps (N, C, h, w) are in."""
    if maps.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format
