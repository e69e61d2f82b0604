"""Where the network computes in half precision, and where it never does.

Convolutions, linear layers and attention run in the type of the parameters (``network.half()``,
``network.bfloat16()``) or in the autocast type if autocast is on. Correlation, Sinkhorn,
coordinates, disparity arithmetic, cost look-ups, the weighted means of the upsampling with their
softmaxes, and the whole of the full-resolution upsampling head run in float32 whatever the
autocast or the parameters say: float16 cannot hold a column index above 2048 to a whole pixel,
nor a disparity above 128 to an eighth.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Return a context in which autocast does not lower operations on the device of ``like``."""
    device_type = like.device.type
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()
