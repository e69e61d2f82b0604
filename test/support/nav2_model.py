"""A MODEL of how Nav2's voxel layer treats clouds, written from its documented rules.

It is not Nav2, and was never compared with a running one. It holds nav2_costmap_2d's
ObservationBuffer (transform, then drop what is outside of the height band of the source), and its
VoxelLayer (rays of clearing sources empty voxels, then points of marking sources fill them) as of
Humble to Kilted. Left out: time (persistence, expected rates), the footprint, the rolling window.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2m2_ros.geometry import RigidTransform

FREE, LETHAL, UNKNOWN = 0, 254, 255
# The defaults of Nav2 for what a file of parameters does not set.
LAYER_DEFAULTS: Mapping[str, Any] = {
    'min_obstacle_height': 0.0,
    'max_obstacle_height': 2.0,
    'origin_z': 0.0,
    'z_resolution': 0.2,
    'z_voxels': 10,
    'mark_threshold': 0,
    'unknown_threshold': 15,
}
SOURCE_DEFAULTS: Mapping[str, Any] = {
    'sensor_frame': '',
    'marking': True,
    'clearing': False,
    'min_obstacle_height': 0.0,
    'max_obstacle_height': 0.0,
    'obstacle_min_range': 0.0,
    'obstacle_max_range': 2.5,
    'raytrace_min_range': 0.0,
    'raytrace_max_range': 3.0,
}


@dataclass(frozen=True)
class Cloud:
    """Points (N, 3) in meters in a frame, as a PointCloud2 holds them."""

    points: np.ndarray
    frame_id: str


@dataclass(frozen=True)
class Observation:
    """What a source keeps of a cloud: points (N, 3) in the costmap's frame, and their origin."""

    source: Mapping[str, Any]
    points: np.ndarray
    origin: np.ndarray


def observe(
    source: Mapping[str, Any], cloud: Cloud, frames: Mapping[str, RigidTransform]
) -> Observation:
    """Return what ObservationBuffer::bufferCloud keeps of a cloud.

    ``frames`` are the transforms of each frame into the costmap's.
    """
    source = {**SOURCE_DEFAULTS, **source}
    matrix = np.array(frames[cloud.frame_id].matrix)
    points = cloud.points @ matrix[:, :3].T + matrix[:, 3]
    z = points[:, 2]
    # Before anything else, so that rays are dropped too.
    kept = (z >= source['min_obstacle_height']) & (z <= source['max_obstacle_height'])
    origin = np.array(frames[source['sensor_frame'] or cloud.frame_id].translation)
    return Observation(source, points[kept], origin)


class VoxelLayer:
    """A costmap of ``cells`` x ``cells`` around the origin, over a grid of voxels.

    ``costs`` is (x, y); ``marked`` and ``unknown`` are (x, y, z).
    """

    def __init__(
        self, parameters: Mapping[str, Any], *, resolution: float = 0.05, cells: int = 240
    ) -> None:
        self._parameters = {**LAYER_DEFAULTS, **parameters}
        self._resolution = resolution
        height = self._parameters['z_voxels']
        assert height <= 16, 'a column of voxels is a word of 16 bits'
        self._step = np.array([resolution, resolution, self._parameters['z_resolution']])
        self._shape = np.array([cells, cells, height])
        half = cells * resolution / 2
        self._origin = np.array([-half, -half, self._parameters['origin_z']])
        self.costs = np.full((cells, cells), FREE, np.uint8)
        self.marked = np.zeros((cells, cells, height), bool)
        self.unknown = np.ones((cells, cells, height), bool)

    def update(self, observations: Sequence[Observation]) -> None:
        """Clear along the rays of every clearing source, then mark: VoxelLayer::updateBounds."""
        for observation in observations:
            if observation.source['clearing']:
                self._raytrace(observation)
        for observation in observations:
            if observation.source['marking']:
                self._mark(observation)

    def lethal(self) -> np.ndarray:
        """Return the centers (N, 2) of the cells that are obstacles, in meters."""
        cells = np.argwhere(self.costs == LETHAL)
        return np.asarray((cells + 0.5) * self._resolution + self._origin[:2])

    def _mark(self, observation: Observation) -> None:
        source, points = observation.source, observation.points
        parameters = self._parameters
        z = points[:, 2]
        distance = np.linalg.norm(points - observation.origin, axis=1)
        kept = (z >= parameters['min_obstacle_height']) & (z <= parameters['max_obstacle_height'])
        kept &= distance < source['obstacle_max_range']
        kept &= distance >= source['obstacle_min_range']
        points = points[kept]
        points[:, 2] = np.maximum(points[:, 2], self._origin[2])
        voxels = self._voxels(points)
        x, y, z = np.floor(voxels[self._inside(voxels)]).astype(int).T
        self.marked[x, y, z] = True
        self.unknown[x, y, z] = False
        enough = self.marked[x, y].sum(axis=1) > parameters['mark_threshold']
        self.costs[x[enough], y[enough]] = LETHAL

    def _raytrace(self, observation: Observation) -> None:
        origin, source = observation.origin, observation.source
        start = self._voxels(origin[None])[0]
        if not self._inside(start[None])[0]:
            return  # 'Sensor origin is out of map bounds. The costmap cannot raytrace for it.'
        ends = self._voxels(self._shortened(origin, observation.points))
        ends = ends[self._inside(ends)]
        ranges = (
            math.ceil(source[name] / self._resolution)
            for name in ('raytrace_min_range', 'raytrace_max_range')
        )
        x, y, z = _lines(start, ends, *ranges)
        self.marked[x, y, z] = False
        self.unknown[x, y, z] = False
        # The cost follows from the column as the last of the rays leaves it.
        passed = np.zeros(self.costs.shape, bool)
        passed[x, y] = True
        x, y = np.nonzero(passed)
        marked, unknown = self.marked[x, y].sum(axis=1), self.unknown[x, y].sum(axis=1)
        few = marked <= self._parameters['mark_threshold']
        free = unknown <= self._parameters['unknown_threshold']
        self.costs[x[few & free], y[few & free]] = FREE
        self.costs[x[few & ~free], y[few & ~free]] = UNKNOWN

    def _shortened(self, origin: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return where rays end: two cells before the surface, and inside the map."""
        rays = points - origin
        distance = np.linalg.norm(rays, axis=1)
        distance, rays = distance[distance > 0], rays[distance > 0]
        rays *= np.maximum((distance - 2 * self._resolution) / distance, 0.0)[:, None]
        ends = origin + rays
        size = (self._shape - 0.5) * self._step
        size[2] = self._shape[2] * self._step[2] - 0.01
        highest = self._origin + size
        part = np.ones(len(rays))
        with np.errstate(divide='ignore', invalid='ignore'):
            for axis in range(3):
                for beyond, limit in (
                    (ends[:, axis] > highest[axis], highest[axis]),
                    (ends[:, axis] < self._origin[axis], self._origin[axis]),
                ):
                    cut = (limit - origin[axis]) / rays[:, axis]
                    part = np.where(beyond, np.minimum(part, cut), part)
        return np.asarray(origin + rays * part[:, None])

    def _voxels(self, points: np.ndarray) -> np.ndarray:
        return np.asarray((points - self._origin) / self._step)

    def _inside(self, voxels: np.ndarray) -> np.ndarray:
        return np.asarray(((voxels >= 0) & (voxels < self._shape)).all(axis=1))


def _lines(start: np.ndarray, ends: np.ndarray, shortest: int, longest: int) -> np.ndarray:
    """Return the voxels (3, N) on Bresenham's lines, some repeated: VoxelGrid::raytraceLine.

    Lengths count voxels, however high these are.
    """
    rays = ends - start
    length = np.linalg.norm(rays, axis=1)
    kept = (length > 0) & (np.floor(length) >= shortest)
    ends, rays, length = ends[kept], rays[kept], length[kept]
    first = (start + rays / length[:, None] * shortest).astype(int)
    way = ends.astype(int) - first
    steps = np.abs(way)
    longer = steps.max(axis=1, initial=0)
    last = (np.minimum(1.0, longest / length) * longer).astype(int)
    index = np.arange(longest + 1)[:, None, None]
    divisor = np.maximum(longer, 1)[:, None]
    moved = (longer[:, None] // 2 + index * steps) // divisor * np.sign(way)
    return np.asarray((first + moved)[index[..., 0] <= last].T)
