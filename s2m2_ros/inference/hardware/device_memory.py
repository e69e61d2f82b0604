"""Running out of memory: noticing it, cleaning up, and saying what would fit."""

from __future__ import annotations

import gc

import torch

from s2m2_ros.inference.hardware.host_memory import free_host_bytes

# Peak memory of one pair in bytes per pixel, and per pixel and column of width (the correlation
# volume and what is made of it). Chosen to lie somewhat above S in float32, whose process takes
# 1.2 GB at 640x480 and 2.7 GB at 1216x1024. Wider variants take more, float16 takes less.
BYTES_PER_PIXEL = 1800.0
BYTES_PER_PIXEL_AND_COLUMN = 0.5
SPARE = 0.8


# torch.OutOfMemoryError is younger than the torch of some JetPack releases.
_OUT_OF_MEMORY = (getattr(torch, 'OutOfMemoryError', torch.cuda.OutOfMemoryError), MemoryError)
# What libraries without an error class of their own write: torch's CPU allocator, C++, oneDNN
# (whose primitives fail when their scratch memory does), cuDNN, cuBLAS, ONNX Runtime.
_WORDS_OF_LIBRARIES = (
    "can't allocate memory",
    'cannot allocate memory',
    'out of memory',
    'bad_alloc',
    'could not create a primitive',
    'cudnn_status_alloc_failed',
    'cublas_status_alloc_failed',
    'failed to allocate memory',
    'not enough memory',
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the device's or the host's memory is exhausted."""
    if isinstance(error, _OUT_OF_MEMORY):
        return True
    # The errors of ONNX Runtime derive from Exception alone.
    foreign = type(error).__module__.startswith('onnxruntime')
    text = str(error).lower()
    return (isinstance(error, RuntimeError) or foreign) and any(
        words in text for words in _WORDS_OF_LIBRARIES
    )


def release(device: torch.device) -> None:
    """Give what no tensor uses back to the device."""
    gc.collect()
    if device.type == 'cuda':
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Return the free memory in bytes of the device, or of the host for 'cpu'; 0 if unknown.

    Limits of control groups and of the process count for the host; see `host_memory`.
    """
    if device.type == 'cuda':
        return int(torch.cuda.mem_get_info(device)[0])
    return free_host_bytes()


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
