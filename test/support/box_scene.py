"""A scene of planes and boxes, cast ray by ray: an independent view for any camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Plane:
    """All points with ``normal . p = distance``, in the frame of the left camera, meters."""

    normal: Vector
    distance: float

    def hit(self, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
        """Return how far along each ray (..., 3) the plane is; infinity where it is not."""
        with np.errstate(divide='ignore', invalid='ignore'):
            along = (self.distance - origin @ np.array(self.normal)) / (
                rays @ np.array(self.normal)
            )
        return np.where(along > 0, along, np.inf)


@dataclass(frozen=True)
class Box:
    """An upright box between two corners, in the frame of the left camera, meters."""

    low: Vector
    high: Vector

    def hit(self, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
        """Return how far along each ray (..., 3) the box is; infinity where it is not."""
        with np.errstate(divide='ignore', invalid='ignore'):
            sides = (np.array([self.low, self.high])[:, None] - origin) / rays.reshape(-1, 3)
        near, far = sides.min(axis=0).max(axis=-1), sides.max(axis=0).min(axis=-1)
        along = np.where((near <= far) & (near > 0), near, np.inf)
        return np.asarray(along.reshape(rays.shape[:-1]))


ROOM: tuple[Plane | Box, ...] = (
    Plane((0.0, 0.0, 1.0), 3.0),  # a wall
    Plane((0.0, 1.0, 0.0), 0.8),  # the floor, below the camera
    Plane((0.9, 0.0, 0.435889894), 2.2),  # a slanted wall on the right
    Box((-0.5, -0.2, 1.2), (-0.1, 0.3, 1.5)),
    Box((0.25, 0.1, 0.9), (0.31, 0.79, 0.95)),  # a post
)


def cast(
    scene: tuple[Plane | Box, ...],
    rays: np.ndarray,
    rotation: np.ndarray | None = None,
    translation: np.ndarray | None = None,
) -> np.ndarray:
    """Return the depth along the optical axis for rays (..., 3) with z = 1, in a camera's frame.

    ``p_camera = rotation @ p_left + translation``.
    """
    turn = np.eye(3) if rotation is None else rotation
    shift = np.zeros(3) if translation is None else translation
    origin = -turn.T @ shift
    directions = rays @ turn  # turn.T @ ray, for rows
    return np.asarray(np.min([thing.hit(origin, directions) for thing in scene], axis=0))


def pinhole_rays(
    size: tuple[int, int], focal: tuple[float, float], center: tuple[float, float]
) -> np.ndarray:
    """Return the rays (H, W, 3) of the pixels' centers; each pair is x, y."""
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float64)
    rays = ((x - center[0]) / focal[0], (y - center[1]) / focal[1], np.ones_like(x))
    return np.stack(rays, axis=-1)
