"""How surfaces look: textures, gradients, highlights, weak mirrors, translucent fronts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from s2m2_ros.training.procedural.placement import PLANES, SceneOptions
from s2m2_ros.training.procedural.seeded_random import SeededRandom
from s2m2_ros.training.procedural.surfaces import Hits, Rays, World
from s2m2_ros.training.procedural.textures import look_up

HIGHLIGHT_SHIFT = 6.0
"""A highlight moves up to this many pixels over its surface between the views."""


@dataclass(frozen=True)
class Appearance:
    """Appearance of K surfaces in B scenes; float32 tensors (B, K, ...)."""

    texture: Tensor
    """(B, K, 2) int64: the surface's texture and the one that it mirrors."""
    turn: Tensor
    """(B, K, 6): the affine map from pixels around the center to texels."""
    base: Tensor
    """(B, K, 3): mean color, 0..1."""
    tint: Tensor
    """(B, K, 3): how strongly the texture shows in each channel."""
    gradient: Tensor
    """(B, K, 2): change of brightness per pixel."""
    highlight: Tensor
    """(B, K, 5): position, radius, shift between the views, strength."""
    mirror: Tensor
    """(B, K, 2): fraction of the mirrored texture, its shift between the views in texels."""
    opacity: Tensor
    """(B, K): 1 but for translucent surfaces."""
    gray: Tensor
    """(B, 1, 1, 1): 1 for scenes without color."""


def draw_appearance(
    random: SeededRandom, world: World, textures: int, *, options: SceneOptions
) -> Appearance:
    """Draw the appearance of every surface of the world, from a bank of ``textures``."""
    shape = tuple(world.surfaces.offset.shape)
    batch = shape[0]
    angle = random.uniform((*shape, 1), -torch.pi, torch.pi) * random.chance((*shape, 1), 0.7)
    scale = random.log_uniform((*shape, 1), *options.texture_scale)
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    origin = random.uniform((*shape, 2), 0.0, 256.0)
    flat = random.chance((*shape, 1), options.flat_fraction).float()
    contrast = random.uniform((*shape, 1), 0.25, 1.2) * (1 - flat) + 0.03 * flat
    glossy = random.chance((batch, 1, 1), options.specular_fraction) & random.chance(
        (*shape, 1), 0.4
    )
    mirrors = random.chance((batch, 1, 1), options.mirror_fraction) & random.chance(
        (*shape, 1), 0.3
    )
    opacity = torch.ones(shape, device=random.device)
    opacity[: world.translucent, PLANES] = random.uniform((world.translucent,), 0.55, 0.85)
    spots = random.uniform((*shape, 5))
    return Appearance(
        texture=random.integers((*shape, 2), 0, textures),
        turn=torch.cat([cosine, sine, origin[..., :1], -sine, cosine, origin[..., 1:]], -1),
        base=random.uniform((*shape, 1), 0.1, 0.9) + random.uniform((*shape, 3), -0.15, 0.15),
        tint=contrast * random.uniform((*shape, 3), 0.7, 1.0),
        gradient=random.normal((*shape, 2), 0.002),
        highlight=torch.cat(
            [
                spots[..., :2] * 60 - 30,
                spots[..., 2:3] * 20 + 4,
                (spots[..., 3:4] * 2 - 1) * HIGHLIGHT_SHIFT,
                spots[..., 4:] * glossy,
            ],
            -1,
        ),
        mirror=random.uniform((*shape, 2), -1.0, 1.0)
        * torch.tensor([0.25, 12.0], device=random.device)
        * mirrors,
        opacity=opacity,
        gray=random.chance((batch, 1, 1, 1), options.gray_fraction).float(),
    )


def shade(world: World, appearance: Appearance, bank: Tensor, rays: Rays, hits: Hits) -> Tensor:
    """Return the image (B, 3, H, W), 0..1, of rays whose first hits are known."""
    color = _color(world, appearance, bank, rays, hits.index)
    few = world.translucent
    if few:
        behind, some = world.behind_translucent(), rays.scenes(slice(0, few))
        through = _color(behind, appearance, bank, some, behind.trace(some).index)
        index = hits.index[:few]
        opacity = appearance.opacity[:few].gather(1, index.flatten(1)).view(*index.shape, 1)
        front = through + (color[:few] - through) * opacity
        color = torch.cat([front, color[few:]])
    image = color.permute(0, 3, 1, 2).clamp(0, 1)
    return image + appearance.gray * (image.mean(1, keepdim=True) - image)


def _color(
    world: World, appearance: Appearance, bank: Tensor, rays: Rays, index: Tensor
) -> Tensor:
    """Return the color (B, H, W, 3) of the surface ``index`` (B, H, W) at each ray."""
    s, t, _ = rays.meet(world.surfaces.pick(index))
    right = float(rays.right)
    turn = _per_pixel(appearance.turn, index).unbind(-1)
    u = turn[0] * s + turn[1] * t + turn[2]
    v = turn[3] * s + turn[4] * t + turn[5]
    texture = _per_pixel(appearance.texture, index)
    detail = look_up(bank, texture[..., 0], u, v) - 0.5
    fraction, shift = _per_pixel(appearance.mirror, index).unbind(-1)
    reflected = look_up(bank, texture[..., 1], u + shift * right, v) - 0.5
    gradient = _per_pixel(appearance.gradient, index).unbind(-1)
    slope = (gradient[0] * s + gradient[1] * t).clamp(-0.3, 0.3)
    x, y, radius, moved, strength = _per_pixel(appearance.highlight, index).unbind(-1)
    squares = (s - x - moved * right).square() + (t - y).square()
    glow = strength * torch.exp(-squares / radius.square())
    return (
        _per_pixel(appearance.base, index)
        + _per_pixel(appearance.tint, index) * detail
        + (fraction.abs()[..., None] * reflected)
        + (slope + glow)[..., None]
    )


def _per_pixel(values: Tensor, index: Tensor) -> Tensor:
    """Return ``values`` (B, K, N) of each pixel's surface ``index`` (B, H, W): (B, H, W, N)."""
    scenes = torch.arange(index.shape[0], device=index.device)[:, None, None]
    flat = values.flatten(0, 1)
    if flat.is_floating_point():
        return functional.embedding(index + scenes * values.shape[1], flat)
    return flat[index + scenes * values.shape[1]]
