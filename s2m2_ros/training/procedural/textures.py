"""A bank of square textures, and bilinear look-ups that wrap around."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from s2m2_ros.training.procedural.seeded_random import SeededRandom

KINDS = 6


def make_bank(random: SeededRandom, *, count: int, size: int = 256) -> Tensor:
    """Return ``count`` textures (count, size, size, 3), float32 in 0..1.

    The kinds take turns: 1/f noise, dead leaves, cells, cracks between cells, repetitive
    patterns and mixtures of two others.
    """
    each = math.ceil(count / KINDS)
    noise = power_noise(random, each, size)
    leaves = dead_leaves(random, each, size)
    near, gap = cells(random, each, size)
    repeated = repetitive(random, each, size)
    blend = (power_noise(random, each, size) > 0.5).float()
    mixed = blend * leaves.roll(1, 0) + (1 - blend) * noise.roll(1, 0)
    kinds = torch.stack([noise, leaves, near, gap, repeated, mixed], 1)
    return kinds.flatten(0, 1)[:count].permute(0, 2, 3, 1).contiguous()


def photograph_patches(
    random: SeededRandom, photographs: Sequence[Tensor], *, count: int, size: int = 256
) -> Tensor:
    """Return square patches of photographs (count, size, size, 3), float32 in 0..1.

    ``photographs``: (3, H, W), 0..1, any sizes. Patches are scaled down as far as a photograph
    allows, so that they are sharp, mirrored, and half of them have their channels exchanged.
    """
    patches = [_patch(random, random.choice(photographs), size) for _ in range(count)]
    return torch.stack(patches).permute(0, 2, 3, 1).contiguous()


def _patch(random: SeededRandom, photograph: Tensor, size: int) -> Tensor:
    height, width = photograph.shape[1:]
    shorter = min(height, width)
    side = int(random.number(min(size, shorter), shorter + 1))
    top = int(random.number(0, height - side + 1))
    left = int(random.number(0, width - side + 1))
    cut = photograph[None, :, top : top + side, left : left + side]
    patch = functional.interpolate(cut, (size, size), mode='bilinear', antialias=True)[0]
    patch = patch.flip(random.choice(((), (1,), (2,), (1, 2))))
    order = random.choice(
        ((0, 1, 2),) * 5 + ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    )
    return patch[list(order)].clamp(0, 1)


def power_noise(random: SeededRandom, count: int, size: int) -> Tensor:
    """Return noise (count, 3, size, size) whose amplitude falls as 1/f^1 to 1/f^2.2.

    The channels share most of their structure, as those of photographs do.
    """
    white = random.normal((count, 3, size, size))
    white = 0.8 * white[:, :1] + 0.45 * white
    frequency = torch.fft.fftfreq(size, device=random.device)
    radius = (frequency[:, None].square() + frequency[None].square()).sqrt()
    exponent = random.uniform((count, 1, 1, 1), 0.6, 1.8)
    spectrum = torch.fft.fft2(white) * radius.clamp_min(1.0 / size).pow(-exponent)
    spectrum[..., 0, 0] = 0
    return _stretch(torch.fft.ifft2(spectrum).real)


def dead_leaves(random: SeededRandom, count: int, size: int, *, leaves: int = 150) -> Tensor:
    """Return overlapping discs and boxes of one color each (count, 3, size, size).

    Sizes follow a power law, as in the dead leaves model of Matheron (1968).
    """
    y, x = _grid(size, random.device)
    image = random.uniform((count, 3, 1, 1)).expand(-1, -1, size, size)
    for _ in range(leaves):
        cx, cy = random.uniform((2, count, 1, 1), 0, size)
        radius = random.log_uniform((count, 1, 1), 3, size / 4)
        aspect = random.log_uniform((count, 1, 1), 0.4, 2.5)
        dx, dy = _wrapped(x - cx, size).abs() * aspect, _wrapped(y - cy, size).abs()
        disc = random.chance((count, 1, 1), 0.6)
        inside = torch.where(disc, dx * dx + dy * dy < radius * radius, dx.maximum(dy) < radius)
        color = random.uniform((count, 3, 1, 1))
        image = torch.where(inside[:, None], color, image)
    return 0.85 * image + 0.15 * power_noise(random, count, size)


def cells(
    random: SeededRandom, count: int, size: int, *, points: int = 90
) -> tuple[Tensor, Tensor]:
    """Return cellular textures (Worley 1996): distance to the nearest point, and cracks.

    Both are (count, 3, size, size): the first colored by the distance itself, the second by
    the gap between the distances to the two nearest points.
    """
    y, x = _grid(size, random.device)
    nearest = torch.full((count, size, size), float(size), device=random.device)
    second = nearest.clone()
    for _ in range(points):
        cx, cy = random.uniform((2, count, 1, 1), 0, size)
        squares = _wrapped(x - cx, size).square() + _wrapped(y - cy, size).square()
        distance = squares.sqrt()
        second = torch.minimum(second, torch.maximum(nearest, distance))
        nearest = torch.minimum(nearest, distance)
    grain = power_noise(random, count, size)
    tint = random.uniform((count, 3, 1, 1), 0.3, 1.0)
    near = _stretch(nearest[:, None] * tint)
    gap = ((second - nearest)[:, None] / 6.0).clamp(0, 1) * tint
    return 0.75 * near + 0.25 * grain, 0.6 * gap + 0.4 * grain


def repetitive(random: SeededRandom, count: int, size: int) -> Tensor:
    """Return stripes, checks, dots and bricks of whole periods (count, 3, size, size)."""
    y, x = _grid(size, random.device)
    periods = random.integers((count, 1, 1), 6, 33).float() * (2 * math.pi / size)
    others = random.integers((count, 1, 1), 6, 33).float() * (2 * math.pi / size)
    shift = math.pi * (torch.sin(y * others) > 0)
    waves = torch.sin(x * periods), torch.sin(y * others)
    sharp = random.log_uniform((count, 1, 1), 1.0, 20.0)
    patterns = torch.stack(
        [
            waves[0].expand(count, size, size),
            waves[0] * waves[1],
            waves[0] + waves[1] - 0.8,
            torch.minimum(torch.sin(x * periods + shift) + 0.9, waves[1].abs() - 0.1),
        ],
        1,
    )
    which = random.integers((count, 1, 1, 1), 0, 4).expand(-1, -1, size, size)
    level = torch.sigmoid(patterns.gather(1, which) * sharp[:, None])
    dark, light = random.uniform((2, count, 3, 1, 1)).unbind(0)
    grain = power_noise(random, count, size)
    pattern = torch.lerp(dark, light, level)
    return 0.95 * pattern + 0.05 * grain


def look_up(bank: Tensor, index: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return the bilinear color (N..., 3) of texture ``index`` at column u and row v, in texels.

    ``bank``: (count, size, size, 3); the positions may be any finite value and wrap around.
    """
    size = bank.shape[1]
    column, row = u.floor(), v.floor()
    du, dv = (u - column)[..., None], (v - row)[..., None]
    left, top = column.long() % size, row.long() % size
    right, bottom = (left + 1) % size, (top + 1) % size
    texels = bank.flatten(0, 2)
    base = index * size * size
    upper = _mix(texels, base + top * size, left, right, du)
    lower = _mix(texels, base + bottom * size, left, right, du)
    return upper + (lower - upper) * dv


def _mix(texels: Tensor, line: Tensor, left: Tensor, right: Tensor, part: Tensor) -> Tensor:
    first = functional.embedding(line + left, texels)
    return first + (functional.embedding(line + right, texels) - first) * part


def _grid(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    axis = torch.arange(size, device=device, dtype=torch.float32)
    return axis[:, None], axis[None]


def _wrapped(offset: Tensor, size: int) -> Tensor:
    return (offset + size / 2) % size - size / 2


def _stretch(image: Tensor) -> Tensor:
    """Map each texture to 0..1, two standard deviations to either side of its mean."""
    mean = image.mean((1, 2, 3), keepdim=True)
    deviation = image.std((1, 2, 3), keepdim=True).clamp_min(1e-6)
    return ((image - mean) / (4 * deviation) + 0.5).clamp(0, 1)
