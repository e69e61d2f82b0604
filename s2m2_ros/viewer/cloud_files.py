"""Clouds from PLY files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from s2m2_ros.errors import S2M2Error
from s2m2_ros.viewer.viewed_cloud import Floats, ViewedCloud


def read_cloud(path: Path) -> ViewedCloud:
    """Read a PLY file, as `s2m2 match` writes them or another program.

    Raises S2M2Error if it cannot be read or holds no point.
    """
    import trimesh

    try:
        content: Any = trimesh.load(path)
        points = np.asarray(content.vertices, np.float32)
        known = np.flatnonzero(np.isfinite(points).all(axis=1))
        colors = getattr(content, 'colors', None)
        has_colors = colors is not None and len(colors) == len(points)
        cloud = ViewedCloud(
            points[known],
            np.asarray(colors, np.uint8)[known, :3] if has_colors else None,
            _confidence(content, known),
        )
    except Exception as error:  # trimesh raises whatever its readers raise
        raise S2M2Error(f"'{path}' is not a point cloud that can be shown: {error}") from error
    if len(cloud.points) == 0:
        raise S2M2Error(f"'{path}' holds no points to show")
    return cloud


def _confidence(content: Any, known: npt.NDArray[np.intp]) -> Floats | None:
    """Return the property `confidence` of the points; None if there is none."""
    vertices = content.metadata.get('_ply_raw', {}).get('vertex', {}).get('data')
    if vertices is None or 'confidence' not in (vertices.dtype.names or ()):
        return None
    values: Floats = np.asarray(vertices['confidence'], np.float32).reshape(-1)[known]
    return np.nan_to_num(values).clip(0, 1)
