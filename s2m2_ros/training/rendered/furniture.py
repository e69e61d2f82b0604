"""Furniture libraries of Sweet Home 3D (.sh3f): zip archives of OBJ models with a catalog."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from s2m2_ros.errors import S2M2Error
from s2m2_ros.training.rendered.geometry import POSITION, Geometry, Texture
from s2m2_ros.training.rendered.wavefront import ModelError, read_materials, read_model

CATALOG = 'PluginFurnitureCatalog.properties'
LARGEST_MODEL = 1_500_000
"""Bytes of an OBJ file; larger ones have more triangles than pixels show."""

LARGEST_IMAGE = 50_000_000


class FurnitureError(S2M2Error):
    """A furniture library cannot be read."""


@dataclass(frozen=True)
class Piece:
    """One piece of a library; lengths in meters, y up."""

    library: Path
    name: str
    model: str
    """Path of the OBJ file within the archive."""
    size: tuple[float, float, float]
    """Width (x), height (y), depth (z)."""
    elevation: float
    """Height of its lower side above the floor."""
    creator: str
    stands_alone: bool
    """Not part of a wall, as doors and windows are."""


def find_pieces(libraries: Sequence[Path]) -> list[Piece]:
    """Return all pieces whose models are not too large.

    Raises:
        FurnitureError: if a library cannot be read or none of them holds a piece.
    """
    pieces = [piece for library in libraries for piece in _catalog(library)]
    if not pieces:
        raise FurnitureError('the libraries hold no furniture of a suitable size')
    return pieces


def _catalog(library: Path) -> list[Piece]:
    try:
        with zipfile.ZipFile(library) as archive:
            text = archive.read(CATALOG).decode('latin-1')
            sizes = {info.filename: info.file_size for info in archive.infolist()}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise FurnitureError(
            f"'{library}' is not a furniture library of Sweet Home 3D, a zip archive with "
            f'{CATALOG}: {error}'
        ) from error
    lines = (line.partition('=') for line in text.splitlines() if not line.startswith('#'))
    values = {key.strip(): value.strip() for key, _, value in lines}
    numbers = [key.removeprefix('model#') for key in values if key.startswith('model#')]
    pieces = (_piece(library, values, number) for number in numbers)
    return [p for p in pieces if p and 0 < sizes.get(p.model, 0) <= LARGEST_MODEL]


def _piece(library: Path, values: dict[str, str], number: str) -> Piece | None:
    """Return the piece of a number, None if its size is missing."""
    try:
        width, height, depth = (
            float(values[f'{side}#{number}']) / 100 for side in ('width', 'height', 'depth')
        )
        elevation = float(values.get(f'elevation#{number}', '0')) / 100
    except (KeyError, ValueError):
        return None
    return Piece(
        library=library,
        name=values.get(f'name#{number}', number),
        model=values[f'model#{number}'].lstrip('/'),
        size=(width, height, depth),
        elevation=elevation,
        creator=values.get(f'creator#{number}', 'unknown'),
        stands_alone=values.get(f'doorOrWindow#{number}') != 'true',
    )


@lru_cache(maxsize=128)
def load(piece: Piece) -> Geometry:
    """Return the model of a piece in its size, standing on y = 0, its center at x = z = 0.

    Raises:
        FurnitureError: if the model cannot be read.
    """
    folder = PurePosixPath(piece.model).parent
    with zipfile.ZipFile(piece.library) as archive:
        names = {name.lower(): name for name in archive.namelist()}

        def read(name: str) -> bytes:
            found = names.get(str(folder / PurePosixPath(name).name).lower())
            return archive.read(found) if found else b''

        text = archive.read(piece.model).decode('latin-1')
        materials = {}
        for line in text.splitlines():
            if line.startswith('mtllib'):
                materials.update(read_materials(read(line[6:].strip()).decode('latin-1')))
        try:
            geometry = read_model(text, materials, lambda name: _decoded(read(name)))
        except ModelError as error:
            raise FurnitureError(f'{piece.library}: {piece.model}: {error}') from error
    triangles = geometry.triangles
    points = triangles[..., POSITION].reshape(-1, 3)
    low, high = points.min(0), points.max(0)
    scale = np.array(piece.size, np.float32) / np.maximum(high - low, 1e-6)
    middle = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    triangles[..., POSITION] = (triangles[..., POSITION] - middle) * scale
    return geometry


def _decoded(content: bytes) -> Texture | None:
    if not 0 < len(content) <= LARGEST_IMAGE:
        return None
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8)
