"""Weights and images that every machine makes alike, for networks of any variant.

Every number is a function of a name and an index, by the 64-bit SplitMix generator (Steele, Lea
and Flood, 2014) in integer arithmetic: z = crc32(name)·2³² + (index + 1)·0x9E3779B97F4A7C15.
"""

from __future__ import annotations

import math
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2m2_ros.network import S2M2, S2M2Config

_WEYL = np.uint64(0x9E3779B97F4A7C15)
_MIX = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
# Gains of weights with two or more axes; the first name that occurs in the key counts.
_GAINS = (
    ('attn.q.weight', 2.0),
    ('attn.k.weight', 2.0),
    ('attn.proj.weight', 0.3),
    ('attn.pe_proj.weight', 4.0),
    ('ffn.2.weight', 0.4),
    ('feature_gate.2.weight', 4.0),
    ('refiner.disp_update.2.weight', 2.0),
    ('refiner.conf_occ_update.2.weight', 2.0),
    ('global_refiner.out_feat.0.weight', 0.1),
)
_OCTAVES = ((16, 2), (4, 3), (2, 3))  # cell in pixels, weight


def mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over='ignore'):
        for shift, factor in _MIX:
            z = (z ^ (z >> shift)) * factor
        last: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return last


def noise(name: str, count: int) -> NDArray[np.float64]:
    """Return numbers in −1..1."""
    seed = np.uint64(zlib.crc32(name.encode()))
    with np.errstate(over='ignore'):
        z = (seed << np.uint64(32)) + np.arange(1, count + 1, dtype=np.uint64) * _WEYL
    unit: NDArray[np.float64] = (mixed(z) >> np.uint64(11)).astype(np.float64) * 2.0**-52
    return unit - 1.0


def weight(key: str, shape: tuple[int, ...]) -> Tensor:
    count = math.prod(shape)
    u = noise(key, count)
    if len(shape) > 1:
        gain = next((gain for part, gain in _GAINS if part in key), 1.0)
        u *= gain * math.sqrt(3.0 * shape[0] / count)
    elif key.endswith('.bias'):
        u *= 0.05
    else:
        u = (1.0 + 0.1 * u) * (0.7 if key == 'disp_init.layer_norm.weight' else 1.0)
    return torch.from_numpy(u.astype(np.float32).reshape(shape))


@lru_cache(maxsize=3)
def weights_of(variant: str) -> dict[str, Tensor]:
    with torch.device('meta'):
        shapes = S2M2(S2M2Config.named(variant)).state_dict()
    return {key: weight(key, tuple(value.shape)) for key, value in shapes.items()}


def _texture(x: NDArray[np.int64], y: NDArray[np.int64], code: int) -> NDArray[np.int64]:
    """Sum three octaves of bilinear integer noise."""

    def lattice(ix: NDArray[np.int64], iy: NDArray[np.int64], layer: int) -> NDArray[np.int64]:
        column, row = ((i + (1 << 20)).astype(np.uint64) for i in (ix, iy))
        with np.errstate(over='ignore'):
            state = (np.uint64(layer) << np.uint64(44)) + (row << np.uint64(22)) + column
            byte = mixed((state + np.uint64(1)) * _WEYL) >> np.uint64(56)
        value: NDArray[np.int64] = byte.astype(np.int64)
        return value

    total = np.zeros(x.shape, dtype=np.int64)
    for octave, (cell, share) in enumerate(_OCTAVES):
        (ix, fx), (iy, fy) = np.divmod(x, cell), np.divmod(y, cell)
        value = sum(
            lattice(ix + dx, iy + dy, code * 4 + octave)
            * (fx if dx else cell - fx)
            * (fy if dy else cell - fy)
            for dx in (0, 1)
            for dy in (0, 1)
        )
        total += share * value * (256 // cell**2)
    clipped: NDArray[np.int64] = np.clip((total // 2048 - 128) * 3 // 2 + 128, 0, 255)
    return clipped


def _pair(height: int, width: int, kind: str, index: int) -> NDArray[np.uint8]:
    """Return left and right (2, 3, H, W): a plane, and a nearer rectangle before it."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    unit = 4 * max(1, width // 48)
    back, front = {'pos': (unit, 2 * unit), 'neg': (-unit, unit)}[kind]
    rows = (y >= height // 4) & (y < height - height // 4)
    low, high = width // 2, width // 2 + width // 4
    views = []
    for moved_back, moved_front in ((back, front), (0, 0)):
        at = x + front - moved_front
        inside = rows & (at >= low) & (at < high)
        layers = [
            np.where(
                inside,
                _texture(x - moved_front, y, (2 * index + 1) * 4 + channel),
                _texture(x - moved_back, y, 2 * index * 4 + channel),
            )
            for channel in range(3)
        ]
        views.append(np.stack(layers))
    return np.stack(views).astype(np.uint8)


def stereo_pairs(
    height: int, width: int, *, kind: str = 'pos', index: int = 0, batch: int = 1
) -> tuple[Tensor, Tensor]:
    """Return left and right images, (B, 3, H, W) float32."""
    pairs = np.stack([_pair(height, width, kind, index + i) for i in range(batch)], axis=1)
    left, right = torch.from_numpy(pairs).float()
    return left, right


def filled_network(variant: str, **options: Any) -> S2M2:
    network = S2M2(S2M2Config.named(variant), **options)
    network.load_state_dict(weights_of(variant))
    return network.eval()
