"""Stereo pairs with their truth, as losses and validation take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class StereoBatch:
    """B stereo pairs, all float32 on one device."""

    left: Tensor
    """(B, 3, H, W), RGB 0..255."""
    right: Tensor
    """(B, 3, H, W), RGB 0..255."""
    disparity: Tensor
    """(B, 1, H, W), pixels, of the left view; finite also where it is not valid."""
    visibility: Tensor
    """(B, 1, H, W), 1 where the right view shows the left pixel's point, else 0."""
    valid: Tensor
    """(B, 1, H, W), 1 where the disparity is known, else 0."""
    labeled: Tensor
    """(B, 1, H, W), 1 where the visibility is known: many real data sets do not say."""

    def to(self, device: torch.device | str) -> StereoBatch:
        """Return the batch on another device."""
        # A copy to the host would return before its bytes have arrived.
        ahead = torch.device(device).type != 'cpu'
        return StereoBatch(
            **{f.name: getattr(self, f.name).to(device, non_blocking=ahead) for f in fields(self)}
        )

    def part(self, start: int, stop: int) -> StereoBatch:
        """Return pairs ``start`` to ``stop - 1``."""
        return StereoBatch(**{f.name: getattr(self, f.name)[start:stop] for f in fields(self)})


def stack(batches: Sequence[StereoBatch]) -> StereoBatch:
    """Return all pairs of batches of one size in one batch."""
    return StereoBatch(
        **{f.name: torch.cat([getattr(b, f.name) for b in batches]) for f in fields(StereoBatch)}
    )


class BatchSource(Protocol):
    """Where the trainer gets its pairs; batch ``index`` depends on nothing but the arguments."""

    def batch(self, index: int, batch_size: int, height: int, width: int) -> StereoBatch:
        """Return batch ``index`` of pairs of height x width pixels."""
