"""Random numbers of one seeded generator, on the device where they are used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar('T')


class SeededRandom:
    """Draw tensors from one generator; the same seed and device give the same tensors.

    ``seed`` and ``stream`` are non-negative integers. Streams of one seed are independent, so
    that batch 1000 can be drawn without drawing the 999 before it.
    """

    def __init__(self, seed: int, stream: int = 0, *, device: torch.device | str = 'cpu') -> None:
        self.device = torch.device(device)
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(_mix(seed, stream))
        self._host = np.random.default_rng(_mix(seed, stream))

    def count(self, trials: int, probability: float) -> int:
        """Return how many of ``trials`` succeed; drawn on the host, so that no device waits."""
        return int(self._host.binomial(trials, probability))

    def choice(self, values: Sequence[T]) -> T:
        """Return one of the values; drawn on the host, as `number` is."""
        return values[int(self._host.integers(len(values)))]

    def number(self, low: float, high: float) -> float:
        """Return one number in [low, high)."""
        return float(self._host.uniform(low, high))

    def uniform(self, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return float32 values in [low, high)."""
        values = torch.rand(shape, generator=self.generator, device=self.device)
        return values * (high - low) + low

    def log_uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        """Return float32 values in [low, high), uniform in their logarithm; 0 < low <= high."""
        return self.uniform(shape, math.log(low), math.log(high)).exp()

    def normal(self, shape: tuple[int, ...], deviation: float = 1.0) -> Tensor:
        """Return float32 values of a normal distribution around 0."""
        return torch.randn(shape, generator=self.generator, device=self.device) * deviation

    def chance(self, shape: tuple[int, ...], probability: float) -> Tensor:
        """Return booleans that are true with ``probability``."""
        return torch.rand(shape, generator=self.generator, device=self.device) < probability

    def integers(self, shape: tuple[int, ...], low: int, high: int) -> Tensor:
        """Return int64 values in low .. high - 1."""
        return torch.randint(low, high, shape, generator=self.generator, device=self.device)


def _mix(seed: int, stream: int) -> int:
    """Return a 63-bit hash of both numbers (SplitMix64, Steele, Lea and Flood 2014)."""
    mask = (1 << 64) - 1
    value = (seed * 0x9E3779B97F4A7C15 + stream * 0xD1342543DE82EF95 + 0x632BE59BD9B4E019) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return (value ^ (value >> 31)) >> 1
