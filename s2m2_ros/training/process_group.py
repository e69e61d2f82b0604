"""Several processes of one training run: each draws its own pairs, all take the same steps.

``torchrun`` starts them and sets their ranks in the environment. On a computer with several
GPUs every process has one; on a processor two processes of one thread are faster than one of two
threads, because most operations of the network are too short to share.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class ProcessGroup:
    """This process and those it trains with."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> ProcessGroup:
        """Join the processes that ``torchrun`` started; a group of one without it."""
        if int(os.environ.get('WORLD_SIZE', '1')) == 1:
            return cls()
        distributed.init_process_group('nccl' if device.type == 'cuda' else 'gloo')
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that validates, saves and reports."""
        return self.rank == 0

    def average(self, gradients: Sequence[Tensor]) -> None:
        """Replace gradients by their mean over all processes, in place."""
        if self.size == 1:
            return
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(joined)
        sizes = [gradient.numel() for gradient in gradients]
        parts = torch.split(joined.div_(self.size), sizes)
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def broadcast(self, seconds: float, device: torch.device) -> float:
        """Return what the leading process passed: clocks differ, steps must not."""
        if self.size == 1:
            return seconds
        shared = torch.tensor([seconds], dtype=torch.float64, device=device)
        distributed.broadcast(shared, 0)
        return float(shared)

    def wait(self) -> None:
        """Wait until all processes have reached this point."""
        if self.size > 1:
            distributed.barrier()

    def leave(self) -> None:
        """Leave the process group."""
        if self.size > 1:
            distributed.destroy_process_group()
