"""Peaks of the memory that this process holds on devices."""

from __future__ import annotations


def peak_device_memory() -> int:
    """Return the most bytes that torch has held on CUDA devices since the last reset."""
    import torch

    return sum(torch.cuda.max_memory_allocated(index) for index in _open_devices())


def reset_peak_device_memory() -> None:
    """Begin a new peak."""
    import torch

    for index in _open_devices():
        torch.cuda.reset_peak_memory_stats(index)


def _open_devices() -> range:
    """Return the CUDA devices in use; asking for more would open one."""
    import torch

    opened = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return range(torch.cuda.device_count() if opened else 0)
