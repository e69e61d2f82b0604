"""Tensors to the host in one copy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch

# Every tensor begins at a multiple of this in the packed buffer, so that host views are aligned.
ALIGNMENT = 16


def download(tensors: Sequence[torch.Tensor]) -> list[np.ndarray]:
    """Return host arrays of tensors that lie on one device.

    From an accelerator they travel in one packed buffer and one copy, through pinned memory on
    CUDA; on the CPU they are returned as they are, without a copy.
    """
    if all(tensor.device.type == 'cpu' for tensor in tensors):
        return [tensor.contiguous().numpy() for tensor in tensors]
    packed = pack(tensors)
    host = torch.empty(packed.shape, dtype=torch.uint8, pin_memory=packed.is_cuda)
    host.copy_(packed)
    return unpack(host, tensors)


def pack(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the bytes of all tensors, one after the other, each aligned, as uint8 (N,)."""
    parts = []
    for tensor in tensors:
        data = tensor.contiguous().reshape(-1).view(torch.uint8)
        parts += [data, data.new_empty(-data.numel() % ALIGNMENT)]
    return torch.cat(parts)


def unpack(packed: torch.Tensor, like: Sequence[torch.Tensor]) -> list[np.ndarray]:
    """Return views into what :func:`pack` made, now on the host, shaped like the tensors."""
    sizes = [tensor.numel() * tensor.element_size() for tensor in like]
    starts = itertools.accumulate((size + -size % ALIGNMENT for size in sizes[:-1]), initial=0)
    return [
        packed[start : start + size].view(tensor.dtype).reshape(tensor.shape).numpy()
        for start, size, tensor in zip(starts, sizes, like, strict=True)
    ]
