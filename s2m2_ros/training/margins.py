"""Random margins, as the matcher adds them to images whose size is no multiple of 32."""

from __future__ import annotations

import torch
from torch import Tensor

from s2m2_ros.training.batch import BatchSource, StereoBatch
from s2m2_ros.training.procedural.seeded_random import SeededRandom

WIDEST = 31
"""Widest margin in pixels: the matcher pads to the next multiple of 32."""


class RandomMargins:
    """Batches of another source, a fraction of whose pairs get margins right and below."""

    def __init__(self, source: BatchSource, *, fraction: float, seed: int) -> None:
        self.source, self.fraction, self.seed = source, fraction, seed

    def batch(self, index: int, batch_size: int, height: int, width: int) -> StereoBatch:
        """Return batch ``index``; margins depend on the seed and the index alone."""
        pairs = self.source.batch(index, batch_size, height, width)
        random = SeededRandom(self.seed, (2 << 40) + index, device=pairs.left.device)
        chosen = random.chance((batch_size,), self.fraction)
        sizes = random.integers((2, batch_size), 1, WIDEST + 1) * chosen
        return add_margins(pairs, sizes[0], sizes[1])


def add_margins(pairs: StereoBatch, below: Tensor, right: Tensor) -> StereoBatch:
    """Replace the last rows and columns of each pair by a repetition of those before them.

    ``below`` and ``right`` (B,) are widths in pixels, 0 for none. Truth within the margins is
    invalid, and what the right view would show there is hidden.
    """
    height, width = pairs.left.shape[2:]
    rows = torch.arange(height, device=pairs.left.device)
    columns = torch.arange(width, device=pairs.left.device)
    last_row, last_column = height - 1 - below[:, None], width - 1 - right[:, None]
    inside = (rows <= last_row)[:, None, :, None] & (columns <= last_column)[:, None, None]
    matched = columns - pairs.disparity <= last_column[:, None, None]
    return StereoBatch(
        left=_repeat(pairs.left, rows.minimum(last_row), columns.minimum(last_column)),
        right=_repeat(pairs.right, rows.minimum(last_row), columns.minimum(last_column)),
        disparity=pairs.disparity,
        visibility=pairs.visibility * matched,
        valid=pairs.valid * inside,
        labeled=pairs.labeled * inside,
    )


def _repeat(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return images (B, C, H, W) with the rows (B, H) and columns (B, W) taken."""
    batch = torch.arange(images.shape[0], device=images.device)[:, None, None]
    return images.movedim(1, 3)[batch, rows[:, :, None], columns[:, None, :]].movedim(3, 1)
