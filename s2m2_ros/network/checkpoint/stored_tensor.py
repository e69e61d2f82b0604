"""A tensor in a file that was not read yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class StoredTensor:
    """What a file says of a tensor, checked against the file's size before it is allocated.

    ``load`` reads it; raises CheckpointError if the file is damaged there.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], torch.Tensor]
