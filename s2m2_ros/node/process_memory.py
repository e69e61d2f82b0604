"""How this process keeps memory."""

from __future__ import annotations

import ctypes

# Constants of glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
# The largest threshold that glibc accepts.
LARGEST_KEPT = 32 * 1024 * 1024


def keep_freed_memory() -> None:
    """Let malloc keep what is freed, where the C library is glibc; elsewhere do nothing.

    Every pair allocates and frees the same megabytes of messages. By default they go back to the
    kernel each time, and fetching them again costs more than filling them. One arena, because
    freed memory in another thread's arena is of no use.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_ARENA_MAX, 1)


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
