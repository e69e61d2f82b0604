"""Visibility and confidence of networks that give neither: both views must agree.

The network runs a second time on the mirrored right image as the left one and the mirrored left
image as the right one; mirrored back, that is the disparity of the right view.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

# Both views' disparities of one point may differ by this much, in pixels of the width at which
# they were matched.
TOLERANCE = 1.0


class Agreement(NamedTuple):
    """What follows from two views' disparities; each (..., H, W) float32 in [0, 1]."""

    visibility: torch.Tensor
    confidence: torch.Tensor


def mirrored(images: torch.Tensor) -> torch.Tensor:
    """Return (..., H, W) images or maps with their columns in reverse order."""
    return images.flip(-1)


def check(of_left: torch.Tensor, of_right: torch.Tensor, *, scale: float = 1.0) -> Agreement:
    """Return where two views agree, and how well.

    Visible is a pixel x with ``|d_left(x) - d_right(x - d_left(x))|`` of at most 1 px of the
    width at which was matched. Confidence is ``exp(-difference)`` in these pixels, 0 where the
    right view does not show the point; `confidence_tables` knows what that is worth.

    Args:
        of_left: (..., H, W) disparity of the left view in pixels.
        of_right: (..., H, W) disparity of the right view, of the same sign.
        scale: width of the images over the width at which they were matched; below 1, it counts
            as 1.

    """
    width = of_left.shape[-1]
    columns = torch.arange(width, device=of_left.device, dtype=of_left.dtype)
    target = (columns - of_left).round()
    inside = (target >= 0) & (target < width)
    index = target.nan_to_num(0.0).clamp(0, width - 1).long()
    difference = (of_left - of_right.gather(-1, index)).abs() / max(scale, 1.0)
    # A comparison with NaN is false: what is unknown is not visible.
    visible = inside & (difference <= TOLERANCE)
    confidence = torch.where(inside, torch.exp(-difference), 0.0).nan_to_num(0.0)
    return Agreement(visible.float(), confidence)
