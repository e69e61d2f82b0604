"""Where the network computes in half precision, and where it never does.

Convolutions, linear layers and attention run in the type of the parameters (``network.half()``,
``network.bfloat16()``) or in the autocast type if autocast is on. Correlation, Sinkhorn,
coordinates, disparity arithmetic, cost look-ups, and the weighted means of the upsampling with
their softmaxes run in float32 whatever the autocast or the parameters say: float16 cannot hold a
column index above 2048 to a whole pixel, nor a disparity above 128 to an eighth. So does the whole
of the full-resolution upsampling head, except in inference with float16 parameters on a GPU. There
it is float16, and layers read disparities as two numbers that add up to float32 (`device_path`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Return a context in which autocast does not lower operations on the device of ``like``."""
    device_type = like.device.type
    # Tensors without data, of the device 'meta', know no autocast.
    if device_type != 'meta' and torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def in_full_precision(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor, weight: Tensor) -> Tensor:
    """Convolve in float32 with the bias and padding of a layer and the weights given.

    Call it in the context of ``full_precision``.
    """
    bias = None if layer.bias is None else layer.bias.float()
    return functional.conv2d(x, weight.float(), bias, padding=cast(tuple[int, int], layer.padding))


def promoting_lerp(start: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    """Return ``torch.lerp`` of tensors whose types may differ, in the widest of them.

    They differ under the autocast of a GPU alone, where a layer norm gives float32.
    """
    dtype = torch.promote_types(torch.promote_types(start.dtype, end.dtype), weight.dtype)
    return torch.lerp(start.to(dtype), end.to(dtype), weight.to(dtype))
