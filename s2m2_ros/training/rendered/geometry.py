"""Triangles with their surfaces, as the renderer takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Texture = npt.NDArray[np.uint8]

POSITION, NORMAL, UV, COLOR = slice(0, 3), slice(3, 6), slice(6, 8), slice(8, 11)
LAYER, GLOSS, OPACITY = 11, 12, 13
FIELDS = 14
"""Values per corner; positions in meters, colors and gloss 0..1, layer -1 without a texture."""


@dataclass(frozen=True, eq=False)
class Surface:
    """How a surface looks."""

    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    texture: int = -1
    """Index among the textures of the geometry, -1 for none."""
    gloss: float = 0.0
    opacity: float = 1.0


@dataclass(frozen=True, eq=False)
class Geometry:
    """Triangles (T, 3, FIELDS) float32 and the textures (H, W, 3) that they refer to."""

    triangles: FloatArray
    textures: tuple[Texture, ...] = ()

    def moved(self, rotation: FloatArray, offset: npt.ArrayLike) -> Geometry:
        """Return the geometry rotated by a matrix (3, 3), then shifted, in meters."""
        triangles = self.triangles.copy()
        triangles[..., POSITION] = triangles[..., POSITION] @ rotation.T + np.asarray(
            offset, np.float32
        )
        triangles[..., NORMAL] = triangles[..., NORMAL] @ rotation.T
        return Geometry(triangles, self.textures)


def merged(parts: Sequence[Geometry]) -> Geometry:
    """Return all parts as one, the textures numbered through."""
    triangles: list[FloatArray] = []
    textures: list[Texture] = []
    for part in parts:
        copy = part.triangles.copy()
        copy[..., LAYER] += np.where(copy[..., LAYER] >= 0, len(textures), 0)
        triangles.append(copy)
        textures.extend(part.textures)
    return Geometry(np.concatenate(triangles), tuple(textures))


def quad(corners: npt.ArrayLike, surface: Surface, *, repeat: float = 1.0) -> FloatArray:
    """Return a flat quadrilateral of two triangles; ``corners`` (4, 3) in order around it.

    A texture is repeated ``repeat`` times along both sides.
    """
    points = np.asarray(corners, np.float32)
    normal = np.cross(points[1] - points[0], points[3] - points[0])
    length = float(np.linalg.norm(normal)) or 1.0
    corner = np.zeros((4, FIELDS), np.float32)
    corner[:, POSITION] = points
    corner[:, NORMAL] = normal / length
    corner[:, UV] = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * repeat
    corner[:, COLOR] = surface.color
    corner[:, [LAYER, GLOSS, OPACITY]] = surface.texture, surface.gloss, surface.opacity
    return corner[[[0, 1, 2], [0, 2, 3]]]


def box(low: npt.ArrayLike, high: npt.ArrayLike, surface: Surface) -> FloatArray:
    """Return the twelve triangles of a box between two corners, normals outward."""
    (x0, y0, z0), (x1, y1, z1) = np.asarray(low, float), np.asarray(high, float)
    sides = (
        [(x0, y0, z0), (x0, y1, z0), (x1, y1, z0), (x1, y0, z0)],
        [(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)],
        [(x0, y0, z0), (x0, y0, z1), (x0, y1, z1), (x0, y1, z0)],
        [(x1, y0, z0), (x1, y1, z0), (x1, y1, z1), (x1, y0, z1)],
        [(x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)],
        [(x0, y1, z0), (x0, y1, z1), (x1, y1, z1), (x1, y1, z0)],
    )
    return np.concatenate([quad(side, surface) for side in sides])
