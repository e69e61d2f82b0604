"""Running out of memory: noticing it, cleaning up, and saying what would fit."""

from __future__ import annotations

import gc
from pathlib import Path

import torch

# Peak memory of one pair in bytes per pixel, and per pixel and column of width (the correlation
# volume and what is made of it). Chosen to lie somewhat above S in float32, whose process takes
# 1.2 GB at 640x480 and 2.7 GB at 1216x1024. Wider variants take more, float16 takes less.
BYTES_PER_PIXEL = 1800.0
BYTES_PER_PIXEL_AND_COLUMN = 0.5
SPARE = 0.8


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that the device's or the host's memory is exhausted."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU allocator and the engines of other libraries have no class of their own for it.
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or 'out of memory' in text or 'bad_alloc' in text
    )


def release(device: torch.device) -> None:
    """Give what no tensor uses back to the device."""
    gc.collect()
    if device.type == 'cuda':
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Return the free memory in bytes of the device, or of the host for 'cpu'; 0 if unknown."""
    if device.type == 'cuda':
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path('/proc/meminfo').read_text(encoding='ascii').splitlines()
    except OSError:
        return 0
    available = [line.split()[1] for line in lines if line.startswith('MemAvailable:')]
    return int(available[0]) * 1024 if available else 0


def estimated_bytes(height: int, width: int, batch: int = 1) -> float:
    """Return roughly how much memory matching `batch` pairs of this size takes at its peak."""
    pixels = batch * height * width
    return pixels * (BYTES_PER_PIXEL + BYTES_PER_PIXEL_AND_COLUMN * width)


def width_that_fits(height: int, width: int, batch: int, device: torch.device) -> int:
    """Return the largest multiple of 32 below `width` whose work should fit, or 0.

    The estimate is rough; as the tried size did not fit, nothing above 3/4 of it is offered.
    """
    budget = free_bytes(device) * SPARE
    for candidate in range(width * 3 // 4 // 32 * 32, 31, -32):
        scaled = round(height * candidate / width)
        if scaled >= 32 and estimated_bytes(scaled, candidate, batch) <= budget:
            return candidate
    return 0
