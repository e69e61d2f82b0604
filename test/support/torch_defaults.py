"""What a program may have made the default of torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_defaults(dtype: torch.dtype, device: str) -> Iterator[None]:
    """Make a type and a device the default of new tensors, for a while."""
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(torch.float32)
