"""Working through a map in bands of rows that stay in the processor's caches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Values of one operand in a band: 1 MiB of float32, the second cache of a current core.
_BAND_VALUES = 1 << 18


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
    """Apply a function whose result in a row depends on that row alone.

    Args:
        function: takes tensors like ``tokens`` and returns one (N, rows, w, D).
        tokens: each (N, h, w, channels).
        out: where the result may be written, or None for a new tensor; it may be one of
            ``tokens``. It is left alone where bands do not pay.

    Returns: (N, h, w, D), what ``function(*tokens)`` returns.
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
