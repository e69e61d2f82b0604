"""Keeping the memory of one pass for the next."""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt (malloc.h).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def reuse_freed_memory() -> bool:
    """Let this process keep the main memory it frees, for its next allocations.

    By default the C library gives every block above 32 MiB back to the system when it is freed,
    and the system clears the pages of the next one: at 1216×1024 that costs more than all the
    activations together. Afterwards the process stays as large as it once was. It concerns the
    whole process and cannot be undone, so it is for programs to call, not for libraries.

    Returns: whether it worked; it does with glibc, which most Linux systems use.
    """
    if not sys.platform.startswith('linux'):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
