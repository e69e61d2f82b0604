"""Working through a map in bands of rows that stay in the processor's caches."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

# Values of one operand in a band: 4 MiB of float32. All of a block stays in the last cache, its
# memory is used again from band to band, and the calls are too few to cost anything.
_BAND_VALUES = 1 << 20


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
    height = first.shape[1]
    rows = max(1, _BAND_VALUES * height // max(1, first.numel()))
    if rows >= height or not banding_pays(first):
        return function(*tokens)
    for start in range(0, height, rows):
        band = function(*(t[:, start : start + rows] for t in tokens))
        if out is None:
            out = band.new_empty(band.shape[0], height, *band.shape[2:])
        out[:, start : start + rows] = band
    assert out is not None  # noqa: S101
    return out


def in_overlapping_bands(
    function: Callable[..., Tensor], *maps: Tensor, rows: int, halo: int
) -> Tensor:
    """Apply a function whose result in a row depends on some rows around it.

    Every band is worked out with rows to spare above and below, which are then cut off; at the
    borders of the map there are none, so whatever padding the function does there is kept.

    Args:
        function: takes maps of part of the height and returns a map whose height is in a fixed
            ratio to theirs.
        maps: each (N, C, h, w); the first is the tallest, the heights of the others divide its.
        rows: rows of the first map in a band.
        halo: rows of the first map to spare on either side, at least as far as the function
            looks. Both must be multiples of the ratios of the heights.

    Returns: (N, D, k·h, k·w), what ``function(*maps)`` returns.
    """
    height = maps[0].shape[2]
    if rows >= height or not banding_pays(maps[0]):
        return function(*maps)
    ratios = [height // each.shape[2] for each in maps]
    out: Tensor | None = None
    for start in range(0, height, rows):
        low, high = max(0, start - halo), min(height, start + rows + halo)
        band = function(
            *(m[:, :, low // r : high // r] for m, r in zip(maps, ratios, strict=True))
        )
        scale = Fraction(band.shape[2], high - low)
        if out is None:
            shape = (*band.shape[:2], int(height * scale), band.shape[3])
            order = suggested_order(band)
            out = torch.empty(shape, dtype=band.dtype, device=band.device, memory_format=order)
        end = min(height, start + rows)
        first, last = int((start - low) * scale), int((end - low) * scale)
        out[:, :, int(start * scale) : int(end * scale)] = band[:, :, first:last]
    assert out is not None  # noqa: S101
    return out


def suggested_order(maps: Tensor) -> torch.memory_format:
    """Return the memory order that maps (N, C, h, w) are in."""
    if maps.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format
