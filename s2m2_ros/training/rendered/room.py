"""Furnished interiors: walls, floor, windows, pictures, furniture, glass and thin structures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from s2m2_ros.training.rendered.furniture import FurnitureError, Piece, load
from s2m2_ros.training.rendered.geometry import (
    FloatArray,
    Geometry,
    Surface,
    Texture,
    box,
    merged,
    quad,
)

PIECES = (10, 22)
"""Fewest and most pieces of furniture of a room."""

TRIALS = 8
"""Places that are tried for a piece before it is left out."""

SMALL = 0.5
"""Pieces below this size, in meters, stand on others."""

TABLE = (0.3, 1.2)
"""Heights, in meters, on which small pieces stand."""

WHITE_FRACTION = 0.45
"""Walls without texture."""

GLASS_FRACTION = 0.4
"""Interiors with panes of glass in front of other things."""


@dataclass(frozen=True, eq=False)
class Light:
    """A lamp that shines towards a point; both (x, y, z) in meters, color 0..1 and above."""

    position: FloatArray
    target: FloatArray
    color: FloatArray


@dataclass(frozen=True, eq=False)
class Room:
    """A room from (0, 0, 0) to ``size`` in meters, y up."""

    size: FloatArray
    geometry: Geometry
    lights: tuple[Light, ...]
    ambient: float
    """Light from everywhere, as a fraction of full scale."""
    pieces: tuple[Piece, ...]
    """The furniture in it."""


def draw_room(
    random: np.random.Generator, pieces: Sequence[Piece], textures: Sequence[Texture]
) -> Room:
    """Draw a room; ``textures`` (H, W, 3) are for walls, floors and pictures, and may be none."""
    size = random.uniform((3.0, 2.3, 3.5), (7.0, 3.2, 8.0)).astype(np.float32)
    furniture, used = _furniture(random, pieces, size)
    parts = [_shell(random, size, textures), _thin_structures(random, size), *furniture]
    if random.random() < GLASS_FRACTION:
        parts.append(_glass(random, size))
    return Room(
        size=size,
        geometry=merged(parts),
        lights=_lights(random, size),
        ambient=float(random.uniform(0.1, 0.35)),
        pieces=tuple(used),
    )


def _shell(random: np.random.Generator, size: FloatArray, textures: Sequence[Texture]) -> Geometry:
    """Return floor, ceiling and walls, with windows and pictures on the walls."""
    width, height, depth = (float(length) for length in size)
    chosen: list[Texture] = []

    def surface(white_fraction: float, gloss: float) -> Surface:
        if not textures or random.random() < white_fraction:
            shade = random.uniform(0.55, 0.95) * random.uniform(0.93, 1.0, 3)
            return Surface(_color(shade), -1, gloss)
        chosen.append(textures[int(random.integers(len(textures)))])
        return Surface(_color(random.uniform(0.6, 1.0, 3)), len(chosen) - 1, gloss)

    floor = [(0, 0, 0), (width, 0, 0), (width, 0, depth), (0, 0, depth)]
    ceiling = [(0, height, 0), (width, height, 0), (width, height, depth), (0, height, depth)]
    polished = float(random.uniform(0.2, 0.7)) if random.random() < 0.4 else 0.0
    triangles = [
        quad(floor, surface(0.1, polished), repeat=float(random.uniform(1, 6))),
        quad(ceiling, surface(0.8, 0.0), repeat=2.0),
    ]
    for origin, along in (
        ((0, 0, 0), (width, 0, 0)),
        ((width, 0, depth), (-width, 0, 0)),
        ((width, 0, 0), (0, 0, depth)),
        ((0, 0, depth), (0, 0, -depth)),
    ):
        start, side = np.array(origin, float), np.array(along, float)
        up = np.array((0, height, 0))
        inward = np.cross(side, up) / np.linalg.norm(side) / height
        wall = [start, start + side, start + side + up, start + up]
        repeat = float(random.uniform(1, 5))
        triangles.append(quad(wall, surface(WHITE_FRACTION, 0.0), repeat=repeat))
        for _ in range(int(random.integers(0, 4))):
            left, low = random.uniform(0.05, 0.7), random.uniform(0.3, 0.6)
            right, high = left + random.uniform(0.1, 0.25), low + random.uniform(0.15, 0.35)
            lifted = inward * random.uniform(0.01, 0.04)
            panel = [
                start + side * x + up * y + lifted
                for x, y in ((left, low), (right, low), (right, high), (left, high))
            ]
            # A window is bright and mirrors, a picture shows one of the textures.
            window = Surface((1.6, 1.6, 1.7), -1, 0.6)
            is_window = random.random() < 0.3
            triangles.append(quad(panel, window if is_window else surface(0.1, 0.1)))
    return Geometry(np.concatenate(triangles), tuple(chosen))


def _thin_structures(random: np.random.Generator, size: FloatArray) -> Geometry:
    """Return cables, rods and bars of 4 to 25 mm; at least one."""
    triangles = []
    for _ in range(int(random.integers(1, 9))):
        thickness = random.uniform(0.004, 0.025)
        start, end = (random.uniform(0.05, 0.95, 3) * size for _ in range(2))
        if random.random() < 0.5:
            end[[0, 2]] = start[[0, 2]]
        length = float(np.linalg.norm(end - start)) + 1e-3
        surface = Surface(_color(random.uniform(0.05, 0.9, 3)), -1, float(random.uniform(0, 0.5)))
        rod = Geometry(box((0, 0, 0), (thickness, thickness, length), surface))
        triangles.append(rod.moved(_towards(end - start), start).triangles)
    return Geometry(np.concatenate(triangles))


def _glass(random: np.random.Generator, size: FloatArray) -> Geometry:
    """Return upright panes of glass, whose truth is that of their front."""
    triangles = []
    for _ in range(int(random.integers(1, 3))):
        width, height = random.uniform(0.4, 1.4), random.uniform(0.5, 1.6)
        pane = [(0, 0, 0), (width, 0, 0), (width, height, 0), (0, height, 0)]
        tint = _color(random.uniform(0.5, 0.9, 3))
        surface = Surface(tint, -1, 0.7, float(random.uniform(0.35, 0.6)))
        turned = _turn(random.uniform(0, 2 * math.pi))
        place = random.uniform((0.2, 0.0, 0.2), (0.8, 0.3, 0.8)) * size
        triangles.append(Geometry(quad(pane, surface)).moved(turned, place).triangles)
    return Geometry(np.concatenate(triangles))


def _furniture(
    random: np.random.Generator, pieces: Sequence[Piece], size: FloatArray
) -> tuple[list[Geometry], list[Piece]]:
    """Place pieces on the floor where they do not meet, and small ones on top of others."""
    parts, used, plan = [], [], _FloorPlan(size)
    standing = [piece for piece in pieces if piece.stands_alone and max(piece.size) < size[1]]
    for _ in range(int(random.integers(PIECES[0], PIECES[1] + 1)) if standing else 0):
        piece = standing[int(random.integers(len(standing)))]
        place = plan.place(random, piece)
        if place is None:
            continue
        try:
            model = load(piece)
        except FurnitureError:
            continue  # one broken model of hundreds does not stop the others
        parts.append(model.moved(_turn(random.uniform(0, 2 * math.pi)), place))
        used.append(piece)
    return parts, used


@dataclass
class _FloorPlan:
    """What is taken of a room, in meters."""

    size: FloatArray
    taken: list[tuple[float, float, float]] = field(default_factory=list)
    """(x, z, radius) of pieces on the floor."""
    tops: list[tuple[float, float, float]] = field(default_factory=list)
    """(x, y, z) of places on top of pieces."""

    def place(
        self, random: np.random.Generator, piece: Piece
    ) -> tuple[float, float, float] | None:
        """Return where a piece goes and keep that place; None if no free one was found."""
        if max(piece.size) < SMALL and self.tops and random.random() < 0.8:
            return self.tops[int(random.integers(len(self.tops)))]
        radius = math.hypot(piece.size[0], piece.size[2]) / 2
        if 2 * radius >= min(self.size[0], self.size[2]):
            return None
        for _ in range(TRIALS):
            x, z = (float(random.uniform(radius, self.size[i] - radius)) for i in (0, 2))
            if all(math.hypot(x - a, z - b) > 0.8 * (radius + r) for a, b, r in self.taken):
                self.taken.append((x, z, radius))
                height = piece.elevation + piece.size[1]
                if TABLE[0] < height < TABLE[1]:
                    self.tops.append((x, height, z))
                return x, piece.elevation, z
        return None


def _lights(random: np.random.Generator, size: FloatArray) -> tuple[Light, ...]:
    lights = []
    for _ in range(int(random.integers(2, 4))):
        position = random.uniform((0.1, 0.75, 0.1), (0.9, 0.97, 0.9)) * size
        target = random.uniform((0.3, 0.0, 0.3), (0.7, 0.2, 0.7)) * size
        color = random.uniform(0.4, 1.0) * random.uniform(0.75, 1.0, 3)
        lights.append(Light(*(np.float32(v) for v in (position, target, color))))
    return tuple(lights)


def _color(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _turn(angle: float) -> FloatArray:
    """Return the rotation about the vertical axis."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([(cosine, 0, sine), (0, 1, 0), (-sine, 0, cosine)], np.float32)


def _towards(direction: npt.NDArray[np.float64]) -> FloatArray:
    """Return the rotation that turns the z axis into a direction."""
    forward = direction / np.linalg.norm(direction)
    side = np.cross((0, 1, 0) if abs(forward[1]) < 0.9 else (1, 0, 0), forward)
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(forward, side), forward], 1).astype(np.float32)
