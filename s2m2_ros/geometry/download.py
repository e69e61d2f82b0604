"""Tensors to the host in one copy, and images to a device without a wait."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

# Every tensor begins at a multiple of this in the packed buffer, so that host views are aligned.
ALIGNMENT = 16


class Downloaded(NamedTuple):
    """Host arrays, and when and how long they were copied.

    ``started`` is a time of ``time.perf_counter``, or an event of CUDA that has passed;
    ``milliseconds`` are those of the copy, not of the work that it waited for.
    """

    arrays: list[np.ndarray]
    started: float | torch.cuda.Event
    milliseconds: float


def download(tensors: Sequence[torch.Tensor]) -> Downloaded:
    """Return host arrays of tensors that lie on one device.

    From an accelerator they travel in one packed buffer and one copy, into pinned memory on
    CUDA, and the host waits once, for that copy; on the CPU they are returned as they are, without
    a copy.
    """
    if all(tensor.device.type == 'cuda' for tensor in tensors) and tensors:
        host, started, milliseconds = copy_from_cuda(pack(tensors))
        return Downloaded(unpack(host, tensors), started, milliseconds)
    begun = time.perf_counter()
    if all(tensor.device.type == 'cpu' for tensor in tensors):
        arrays = [tensor.contiguous().numpy() for tensor in tensors]
    else:
        arrays = unpack(pack(tensors).cpu(), tensors)
    return Downloaded(arrays, begun, (time.perf_counter() - begun) * 1e3)


def copy_from_cuda(packed: torch.Tensor) -> tuple[torch.Tensor, torch.cuda.Event, float]:
    """Return a tensor in pinned memory, and when and for how many milliseconds it was copied.

    This is the host's only wait for a pair: all that was queued before is done then.
    """
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]  # type: ignore[no-untyped-call]
    host = torch.empty(packed.shape, dtype=torch.uint8, pin_memory=True)
    stream = torch.cuda.current_stream(packed.device)
    events[0].record(stream)
    host.copy_(packed, non_blocking=True)
    events[1].record(stream)
    events[1].synchronize()
    return host, events[0], float(events[0].elapsed_time(events[1]))


def upload(image: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return an image on a device; a copy from host memory to CUDA is queued, not waited for."""
    if device.type != 'cuda' or image.device.type != 'cpu':
        return image.to(device)
    return image.pin_memory().to(device, non_blocking=True)


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
