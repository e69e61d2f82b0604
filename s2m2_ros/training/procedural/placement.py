"""Where the surfaces of a scene stand: rooms, objects and thin structures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from s2m2_ros.training.procedural.seeded_random import SeededRandom
from s2m2_ros.training.procedural.surfaces import (
    RADII,
    Outlines,
    Strokes,
    Surfaces,
    World,
    concatenate,
)

STROKES = 5
"""Strokes of one thin structure."""

PLANES = 4
"""Backstop, wall, ground and side wall."""


@dataclass(frozen=True)
class SceneOptions:
    """What the scenes contain. Fractions are probabilities per scene, lengths are pixels."""

    objects: tuple[int, int] = (10, 30)
    """Fewest and most closed objects."""
    thin_structures: int = 4
    """Thin structures in the scenes that have any."""
    thin_fraction: float = 0.4
    smallest_range: float = 12.0
    """The largest disparity of a scene is log-uniform from this ..."""
    widest_range: float = 0.45
    """... to this fraction of the width."""
    negative_fraction: float = 0.05
    """Scenes whose far surfaces have disparities down to -4."""
    curved_fraction: float = 0.3
    """Objects that are curved."""
    flat_fraction: float = 0.25
    """Surfaces with almost no texture."""
    gray_fraction: float = 0.3
    specular_fraction: float = 0.1
    mirror_fraction: float = 0.1
    translucent_fraction: float = 0.05
    vertical_error_fraction: float = 0.4
    texture_scale: tuple[float, float] = (0.2, 1.2)
    """Texels per pixel."""
    photometric: bool = True
    """Apply exposure, noise, blur and compression to the views."""


def draw_world(
    random: SeededRandom, batch: int, height: int, width: int, *, options: SceneOptions
) -> World:
    """Draw the geometry of ``batch`` scenes of height x width pixels."""
    largest = max(options.widest_range * width, options.smallest_range)
    reach = random.log_uniform((batch, 1), options.smallest_range, largest)
    negative = random.chance((batch, 1), options.negative_fraction).float()
    floor = random.uniform((batch, 1)).square() * 0.3 * reach
    floor = floor - negative * (floor + random.uniform((batch, 1), 0.0, 4.0))
    room = Room(floor, reach, height, width)
    planes = _planes(random, room)
    solids, outlines = _solids(random, room, options)
    thins, strokes = _thins(random, room, options)
    translucent = random.count(batch, options.translucent_fraction)
    if translucent:
        solids.offset[:translucent, 0] = reach[:translucent, 0] * 0.9
        solids.active[:translucent, 0] = True
    return World(
        surfaces=concatenate([planes, solids, thins]),
        outlines=outlines,
        strokes=strokes,
        translucent=translucent,
    )


@dataclass(frozen=True)
class Room:
    """The space of B scenes."""

    floor: Tensor
    """(B, 1), disparity of the farthest surface."""
    reach: Tensor
    """(B, 1), disparity of the nearest."""
    height: int
    width: int


def _plain(center_x: Tensor, center_y: Tensor, offset: Tensor) -> Surfaces:
    """Return active surfaces that face the cameras."""
    zero = torch.zeros_like(offset)
    return Surfaces(
        center_x=center_x.expand_as(offset),
        center_y=center_y.expand_as(offset),
        offset=offset,
        slope_x=zero,
        slope_y=zero,
        bend_x=zero,
        bend_y=zero,
        active=torch.ones_like(offset, dtype=torch.bool),
    )


def _planes(random: SeededRandom, room: Room) -> Surfaces:
    """Return a backstop at the farthest disparity, a slanted wall, a ground and a side wall.

    The nearest wins in every pixel, so that together they look like a room or a street.
    """
    floor, reach, height, width = room.floor, room.reach, room.height, room.width
    batch = floor.shape[0]
    chance = random.uniform((batch, 3))
    back = _plain(floor * 0 + width / 2, floor * 0 + height / 2, floor)
    wall_level = floor + (reach - floor) * random.uniform((batch, 1)).square() * 0.5
    wall = replace(
        _plain(back.center_x, back.center_y, wall_level),
        slope_x=random.uniform((batch, 1), -0.5, 0.5) * reach / width,
        slope_y=random.uniform((batch, 1), -0.3, 0.3) * reach / height,
        active=chance[:, :1] < 0.8,
    )
    horizon = random.uniform((batch, 1), 0.25, 0.8) * height
    rise = (reach - floor) * random.uniform((batch, 1), 0.3, 1.0)
    ground = replace(
        _plain(back.center_x, horizon, floor),
        slope_y=rise / (height - horizon),
        slope_x=random.normal((batch, 1), 0.02),
        active=chance[:, 1:2] < 0.5,
    )
    side = torch.where(random.chance((batch, 1), 0.5), 1.0, -1.0)
    rise = (reach - floor) * random.uniform((batch, 1), 0.2, 0.8)
    start = random.uniform((batch, 1), 0.3, 0.7)
    side_wall = replace(
        _plain(start * width, back.center_y, floor),
        slope_x=(side * rise / (0.5 * width)).clamp(-0.7, 0.5),
        active=chance[:, 2:] < 0.35,
    )
    return concatenate([back, wall, ground, side_wall])


def _solids(random: SeededRandom, room: Room, options: SceneOptions) -> tuple[Surfaces, Outlines]:
    """Return slanted and curved objects with closed outlines."""
    floor, reach, height, width = room.floor, room.reach, room.height, room.width
    batch, count = floor.shape[0], options.objects[1]
    shape = (batch, count)
    number = random.integers((batch, 1), options.objects[0], count + 1)
    depth = floor + (reach - floor) * random.uniform(shape)
    radius = random.log_uniform(shape, 0.03, 0.28) * math.sqrt(height * width)
    aspect = random.log_uniform(shape, 0.4, 2.5).sqrt()
    size_x, size_y = radius * aspect, radius / aspect
    extent = torch.maximum(size_x, size_y)
    steepest = (0.5 * (depth - floor).clamp_min(0.5) / extent).clamp_max(0.3)
    curved = random.chance(shape, options.curved_fraction).float()
    bend = curved * 0.12 / extent
    surfaces = replace(
        _plain(
            random.uniform(shape, -0.1, 1.3) * width,
            random.uniform(shape, -0.05, 1.05) * height,
            depth,
        ),
        slope_x=random.uniform(shape, -1.0, 1.0) * steepest,
        slope_y=random.uniform(shape, -1.0, 1.0) * steepest,
        bend_x=random.uniform(shape, -1.0, 1.0) * bend,
        bend_y=random.uniform(shape, -1.0, 1.0) * bend,
        active=torch.arange(count, device=random.device) < number,
    )
    angle = random.uniform(shape, -math.pi, math.pi) * random.chance(shape, 0.7)
    outlines = Outlines(
        cosine=angle.cos(),
        sine=angle.sin(),
        width=size_x,
        height=size_y,
        radius=_radii(random, shape),
        bars=random.uniform(shape, 8.0, 30.0) * random.chance(shape, 0.06),
    )
    return surfaces, outlines


def _radii(random: SeededRandom, shape: tuple[int, int]) -> Tensor:
    """Return outlines (B, K, RADII + 1) of ellipses, polygons, stars and blobs."""
    angle = torch.arange(RADII, device=random.device) * (2 * math.pi / RADII)
    ellipse = torch.ones((*shape, RADII), device=random.device)
    corners = random.integers((*shape, 1), 3, 7).float()
    sector = (angle % (2 * math.pi / corners)) - math.pi / corners
    polygon = torch.cos(math.pi / corners) / torch.cos(sector)
    star = 0.4 + 0.6 * (sector.abs() * corners / math.pi)
    waves = torch.arange(1, 7, device=random.device, dtype=torch.float32)
    phase = random.uniform((*shape, 1, 6), 0, 2 * math.pi)
    strength = random.normal((*shape, 1, 6), 0.35) / waves.sqrt()
    blob = torch.sigmoid((torch.cos(angle[:, None] * waves + phase) * strength).sum(-1) * 2 + 0.7)
    kinds = torch.stack([ellipse, polygon, star, blob], 2)
    which = random.integers((*shape, 1, 1), 0, 6) % 4
    radius = kinds.gather(2, which.expand(-1, -1, 1, RADII)).squeeze(2)
    return torch.cat([radius, radius[..., :1]], -1)


def _thins(random: SeededRandom, room: Room, options: SceneOptions) -> tuple[Surfaces, Strokes]:
    """Return wires, branches, poles and glyphs made of a few strokes."""
    floor, reach, height, width = room.floor, room.reach, room.height, room.width
    shape = (floor.shape[0], options.thin_structures)
    depth = floor + (reach - floor) * random.uniform(shape, 0.2, 1.0)
    surfaces = replace(
        _plain(
            random.uniform(shape, 0.0, 1.2) * width,
            random.uniform(shape, 0.0, 1.0) * height,
            depth,
        ),
        active=random.chance((shape[0], 1), options.thin_fraction).expand(shape),
    )
    spread = random.log_uniform((*shape, 1, 1), 0.05, 0.5) * height
    ends = random.uniform((*shape, STROKES, 4), -1.0, 1.0) * spread
    pole = random.chance((*shape, 1, 1), 0.3).float()
    upright = torch.tensor([0.0, 1.0, 0.0, 1.0], device=random.device)
    ends = ends * (1 - pole * (1 - upright))
    return surfaces, Strokes(ends=ends, thickness=random.log_uniform(shape, 0.7, 3.0))
