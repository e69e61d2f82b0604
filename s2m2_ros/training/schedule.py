"""Learning rate, parameter groups and moving average of the weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FINAL_SHARE = 0.01
"""The learning rate ends at this fraction of its peak."""


def one_cycle(progress: float, *, warm_up: float) -> float:
    """Return the learning rate as a fraction of its peak, at ``progress`` 0..1 through the run.

    A linear rise over the fraction ``warm_up``, then half a cosine down (Smith and Topin 2018).
    """
    if progress < warm_up:
        return max(progress / warm_up, 0.02)
    fall = (progress - warm_up) / max(1.0 - warm_up, 1e-9)
    return FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0)))


def parameter_groups(network: nn.Module, *, weight_decay: float) -> list[dict[str, object]]:
    """Return the parameters in two groups: norms and biases do not decay."""
    decaying = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {'params': decaying, 'weight_decay': weight_decay},
        {'params': others, 'weight_decay': 0.0},
    ]


class MovingAverage:
    """Exponential moving average of a network's weights.

    Over the first steps the decay is ``(1 + n) / (10 + n)``, so that the random start is
    forgotten soon.
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone().float() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after step number ``step`` (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = network.state_dict()
        averages = list(self.weights.values())
        values = [current[name].float() for name in self.weights]
        torch._foreach_lerp_(averages, values, 1.0 - decay)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Replace the averages by ``weights`` of the same names and shapes."""
        for name, value in self.weights.items():
            value.copy_(weights[name])
