"""Wavefront OBJ models and their MTL materials, as text."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from s2m2_ros.errors import S2M2Error
from s2m2_ros.training.rendered.geometry import (
    COLOR,
    FIELDS,
    GLOSS,
    LAYER,
    NORMAL,
    OPACITY,
    POSITION,
    UV,
    FloatArray,
    Geometry,
    Surface,
    Texture,
)

LEAST_OPACITY = 0.35
"""Glass counts as a front, so it must be visible."""


class ModelError(S2M2Error):
    """A model cannot be read."""


@dataclass
class _Material:
    color: tuple[float, float, float] = (0.8, 0.8, 0.8)
    gloss: float = 0.0
    opacity: float = 1.0
    texture: str = ''


def read_materials(text: str) -> dict[str, _Material]:
    """Return the materials of an MTL file by name; lines that are not understood are ignored."""
    materials: dict[str, _Material] = {}
    current = _Material()
    for line in text.splitlines():
        word, _, rest = line.strip().partition(' ')
        rest = rest.strip()
        if word == 'newmtl':
            current = materials.setdefault(rest, _Material())
            continue
        try:
            _set_property(current, word, rest)
        except ValueError:
            continue
    return materials


def _set_property(material: _Material, word: str, rest: str) -> None:
    if word == 'Kd':
        red, green, blue = map(float, rest.split()[:3])
        material.color = (red, green, blue)
    elif word == 'Ks':
        material.gloss = min(max(map(float, rest.split()[:3])), 1.0)
    elif word == 'd':
        material.opacity = max(float(rest.rsplit(maxsplit=1)[-1]), LEAST_OPACITY)
    elif word == 'map_Kd':
        material.texture = rest.rsplit(maxsplit=1)[-1].replace('\\', '/')


@dataclass
class _Corners:
    """Corners of triangles as indices of positions, texture coordinates and normals."""

    indices: list[tuple[int, int, int]] = field(default_factory=list)
    materials: list[int] = field(default_factory=list)


def read_model(
    text: str, materials: dict[str, _Material], texture: Callable[[str], Texture | None]
) -> Geometry:
    """Return the triangles of an OBJ file; polygons are split into fans.

    ``texture`` returns the image of a name, or None if there is none.

    Raises:
        ModelError: if the file holds no triangle, or refers to a vertex that it does not hold.
    """
    points: dict[str, list[list[float]]] = {'v': [], 'vt': [], 'vn': []}
    corners = _Corners()
    surfaces = [Surface((0.8, 0.8, 0.8))]
    textures: list[Texture] = []
    numbers: dict[str, int] = {}
    current = 0
    try:
        for line in text.splitlines():
            word, _, rest = line.strip().partition(' ')
            if word in points:
                points[word].append([float(x) for x in rest.split()[:3]])
            elif word == 'f':
                _add_polygon(corners, rest.split(), points, current)
            elif word == 'usemtl' and rest.strip() in materials:
                name = rest.strip()
                if name not in numbers:
                    material = materials[name]
                    image = texture(material.texture) if material.texture else None
                    layer = -1 if image is None else len(textures)
                    textures += [] if image is None else [image]
                    numbers[name] = len(surfaces)
                    surfaces.append(
                        Surface(material.color, layer, material.gloss, material.opacity)
                    )
                current = numbers[name]
        return Geometry(_assembled(corners, points, surfaces), tuple(textures))
    except (ValueError, IndexError) as error:
        raise ModelError(f'not a whole Wavefront OBJ model: {error}') from error


def _add_polygon(
    corners: _Corners, words: list[str], points: dict[str, list[list[float]]], material: int
) -> None:
    counts = [len(points[name]) for name in ('v', 'vt', 'vn')]
    polygon = []
    for word in words:
        parts = [*word.split('/'), '', ''][:3]
        # Numbers count from 1, or backwards from the last vertex so far if negative.
        numbers = [int(part) if part else 0 for part in parts]
        first, second, third = (
            number + count if number < 0 else number - 1
            for number, count in zip(numbers, counts, strict=True)
        )
        if not 0 <= first < counts[0] or second >= counts[1] or third >= counts[2]:
            raise ValueError(f"'{word}' names a vertex that the file does not hold")
        polygon.append((first, second, third))
    for others in itertools.pairwise(polygon[1:]):
        corners.indices += [polygon[0], *others]
        corners.materials.append(material)


def _assembled(
    corners: _Corners, points: dict[str, list[list[float]]], surfaces: list[Surface]
) -> FloatArray:
    if not corners.indices:
        raise ValueError('it holds no face')
    indices = np.array(corners.indices).reshape(-1, 3, 3)
    triangles = np.zeros((len(indices), 3, FIELDS), np.float32)
    triangles[..., POSITION] = np.array(points['v'], np.float32)[indices[..., 0]]
    if points['vt']:
        coordinates = np.array([p[:2] for p in points['vt']], np.float32)
        known = (indices[..., 1] >= 0)[..., None]
        triangles[..., UV] = coordinates[indices[..., 1]] * known
    edges = triangles[:, 1:, POSITION] - triangles[:, :1, POSITION]
    flat = np.cross(edges[:, 0], edges[:, 1])
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    triangles[..., NORMAL] = flat[:, None]
    if points['vn']:
        smooth = np.array(points['vn'], np.float32)[indices[..., 2]]
        known = (indices[..., 2] >= 0)[..., None]
        triangles[..., NORMAL] = np.where(known, smooth, triangles[..., NORMAL])
    of = np.array(corners.materials)
    triangles[..., COLOR] = np.array([s.color for s in surfaces], np.float32)[of][:, None]
    for place, values in (
        (LAYER, [s.texture for s in surfaces]),
        (GLOSS, [s.gloss for s in surfaces]),
        (OPACITY, [s.opacity for s in surfaces]),
    ):
        triangles[..., place] = np.array(values, np.float32)[of][:, None]
    return triangles
