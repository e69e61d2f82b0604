"""What the C library does with memory that this process has freed."""

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

    Every pair allocates and frees the same megabytes. By default they go back to the
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
