"""Working at a smaller size than the images have, and bringing the result back."""

from __future__ import annotations

import torch
from torch.nn import functional

from s2m2_ros.errors import ImageError
from s2m2_ros.inference.backend import Maps
from s2m2_ros.inference.images import SMALLEST_SIDE

# Where neighbors differ by more than this, in pixels of the working size, interpolating between
# them would invent points between foreground and background.
EDGE_STEP = 1.0


def working_size(height: int, width: int, max_width: int) -> tuple[int, int]:
    """Return the height and width to work at: at most `max_width` wide, 0 for no limit.

    Raises ImageError if that leaves a side shorter than the networks can take.
    """
    if not max_width or width <= max_width:
        return height, width
    scaled = round(height * max_width / width)
    if min(scaled, max_width) < SMALLEST_SIDE:
        raise ImageError(
            f'a max width of {max_width} would shrink {width}x{height} to {max_width}x{scaled}: '
            f'both sides must be at least {SMALLEST_SIDE} pixels'
        )
    return scaled, max_width


def shrink(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return (B, C, H, W) images as float32 of `size` (height, width), without aliasing."""
    return functional.interpolate(
        images.float(), size, mode='bilinear', align_corners=False, antialias=True
    )


def enlarge(maps: Maps, size: tuple[int, int]) -> Maps:
    """Return maps (B, h, w) at `size` (height, width), the disparity in pixels of that size.

    Bilinear, but nearest neighbor for all three maps at depth edges.
    """
    chosen = _resized(torch.stack(maps, dim=1), size)
    disparity, visibility, confidence = chosen.unbind(1)
    return Maps(disparity * (size[1] / maps.disparity.shape[-1]), visibility, confidence)


def resize_maps(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return maps (N, h, w), the first one the disparity, at `size`, with unchanged values.

    Interpolated as by `enlarge`.
    """
    return _resized(maps[None], size)[0]


def _resized(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return maps (B, N, h, w), the first of N the disparity, at `size` (height, width)."""
    smooth = functional.interpolate(maps, size, mode='bilinear', align_corners=False)
    nearest = functional.interpolate(maps, size, mode='nearest-exact')
    at_edge = (smooth[:, :1] - nearest[:, :1]).abs() > EDGE_STEP
    # A NaN (unknown) next to a value makes the bilinear mean NaN too: keep the nearest there.
    return torch.where(at_edge | smooth[:, :1].isnan(), nearest, smooth)
