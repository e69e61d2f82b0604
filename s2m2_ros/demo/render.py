"""A picture of a point cloud from the side, drawn with nothing but NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BACKGROUND = (24, 24, 28)
# Percentile of the depth up to which points set the view; the rest is too far away.
FAR_PERCENTILE = 95.0
NEAREST_M = 0.05
# The gap between neighboring pixels in the original view, with a margin for slanted surfaces.
GAP_PIXELS = 1.8


@dataclass(frozen=True)
class View:
    """A virtual pinhole camera that looks at the middle of the cloud.

    It stands ``to_the_right`` and ``above`` of the real camera by these angles in degrees, at a
    ``distance`` in units of the median depth; ``field_of_view`` is horizontal, in degrees.
    """

    to_the_right: float = 28.0
    above: float = 18.0
    distance: float = 1.2
    field_of_view: float = 62.0
    width: int = 960
    height: int = 720


def render(points: np.ndarray, colors: np.ndarray, view: View) -> np.ndarray:
    """Return a picture (height, width, 3), uint8 RGB.

    ``points`` (N, 3) in meters lie in an optical frame (x right, y down, z forward); ``colors``
    (N, 3) are uint8 RGB. Near points hide far ones; each is drawn as large as the gap to its
    neighbors in the original image, seen from here.
    """
    picture = np.full((view.height, view.width, 3), BACKGROUND, np.uint8)
    if not len(points):
        return picture
    focal = 0.5 * view.width / np.tan(np.radians(view.field_of_view) / 2)
    seen = _in_camera(points, view)
    ahead = seen[:, 2] > NEAREST_M
    seen, colors, own_depth = seen[ahead], colors[ahead], points[ahead, 2]
    order = np.argsort(-seen[:, 2])  # far ones first: later pixels overwrite
    seen, colors, own_depth = seen[order], colors[order], own_depth[order]
    u = np.rint(focal * seen[:, 0] / seen[:, 2] + view.width / 2).astype(int)
    v = np.rint(focal * seen[:, 1] / seen[:, 2] + view.height / 2).astype(int)
    size = np.clip(np.ceil(GAP_PIXELS * own_depth / seen[:, 2]), 1, 4).astype(int)
    for dv in range(size.max()):
        for du in range(size.max()):
            drawn = (size > max(du, dv)) & _inside(u + du, v + dv, view)
            _draw(picture, u[drawn] + du, v[drawn] + dv, colors[drawn])
    return picture


def _draw(picture: np.ndarray, u: np.ndarray, v: np.ndarray, colors: np.ndarray) -> None:
    """Set pixels; of several points on one pixel the last one, the nearest, stays."""
    flat = v * picture.shape[1] + u
    # NumPy does not define which of repeated indices is used: keep the last of each.
    _, last = np.unique(flat[::-1], return_index=True)
    chosen = len(flat) - 1 - last
    picture.reshape(-1, 3)[flat[chosen]] = colors[chosen]


def _inside(u: np.ndarray, v: np.ndarray, view: View) -> np.ndarray:
    inside: np.ndarray = (u >= 0) & (u < view.width) & (v >= 0) & (v < view.height)
    return inside


def _in_camera(points: np.ndarray, view: View) -> np.ndarray:
    """Return the points in the optical frame of the virtual camera."""
    near = points[points[:, 2] <= np.percentile(points[:, 2], FAR_PERCENTILE)]
    center = np.median(near, axis=0)
    depth = center[2]
    yaw, pitch = np.radians([view.to_the_right, view.above])
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    tilt = np.array(
        [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    )
    turned: np.ndarray = (points - center) @ (tilt @ turn).T
    turned[:, 2] += view.distance * depth
    return turned
