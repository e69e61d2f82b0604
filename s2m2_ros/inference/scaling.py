"""Working at another size than the images have, and bringing the result back."""

from __future__ import annotations

import torch
from torch.nn import functional

from s2m2_ros.errors import ImageError
from s2m2_ros.inference.backend import Maps
from s2m2_ros.inference.images import SMALLEST_SIDE

# Where neighbors differ by more than this, in pixels of the working size, interpolating between
# them would invent points between foreground and background.
EDGE_STEP = 1.0

# Of motorcycle, cones and procedural scenes, 0.1 leaves fewer wrong pixels of each than 0 does.
MUCH_MORE_TRUSTED = 0.1


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


def finer_size(height: int, width: int, max_width: int, upsampling: float) -> tuple[int, int]:
    """Return `upsampling` times the height and width, as far as `max_width` allows; 0: no limit.

    Where that is not larger, the size itself.
    """
    wanted = round(width * upsampling)
    finer = min(wanted, max_width) if max_width else wanted
    return (height, width) if finer <= width else (round(height * finer / width), finer)


def resize_images(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return (B, C, H, W) images as float32 of `size` (height, width).

    Smaller ones without aliasing, larger ones bicubic within the range of 0 to 255.
    """
    larger = size[1] > images.shape[-1]
    mode = 'bicubic' if larger else 'bilinear'
    # With `antialias` bicubic is Keys' kernel of -0.5, which keeps slopes.
    resized = functional.interpolate(
        images.float(), size, mode=mode, align_corners=False, antialias=True
    )
    return resized.clamp_(0.0, 255.0) if larger else resized


def to_size(maps: Maps, size: tuple[int, int]) -> Maps:
    """Return maps (B, h, w) at `size` (height, width), the disparity in pixels of that size.

    Bilinear, but nearest neighbor for all three maps at depth edges.
    """
    chosen = _resized(torch.stack(maps, dim=1), size)
    disparity, visibility, confidence = chosen.unbind(1)
    return Maps(disparity * (size[1] / maps.disparity.shape[-1]), visibility, confidence)


def finer_where_trusted(maps: Maps, finer: Maps) -> Maps:
    """Return `finer`, but `maps` wherever their confidence is higher by `MUCH_MORE_TRUSTED`.

    Surfaces with texture are matched more finely at a larger size; blank ones need to be seen as
    a whole, which the confidence shows. A pixel that one of the two leaves unknown (NaN) is taken
    from the other.
    """
    keep = (maps.confidence > finer.confidence + MUCH_MORE_TRUSTED) | finer.disparity.isnan()
    keep &= ~maps.disparity.isnan()
    return Maps(*(torch.where(keep, a, b) for a, b in zip(maps, finer, strict=True)))


def resize_maps(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return maps (N, h, w), the first one the disparity, at `size`, with unchanged values.

    Interpolated as by `to_size`.
    """
    return _resized(maps[None], size)[0]


def _resized(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return maps (B, N, h, w), the first of N the disparity, at `size` (height, width)."""
    smooth = functional.interpolate(maps, size, mode='bilinear', align_corners=False)
    nearest = functional.interpolate(maps, size, mode='nearest-exact')
    at_edge = (smooth[:, :1] - nearest[:, :1]).abs() > EDGE_STEP
    # A NaN (unknown) next to a value makes the bilinear mean NaN too: keep the nearest there.
    return torch.where(at_edge | smooth[:, :1].isnan(), nearest, smooth)
