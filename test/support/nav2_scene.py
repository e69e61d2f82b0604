"""Rendered scenes for the model of Nav2: a floor, boxes, a stereo camera, and what it sees."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from s2m2_ros.geometry import Output, PrincipalPoint, RigidTransform, StereoCamera, compute_outputs
from s2m2_ros.inference import MatchResult
from s2m2_ros.node.parameters import Settings
from support.maps import maps
from support.nav2_model import Cloud, Observation, VoxelLayer, observe

OPTICAL, BASE, MAP = 'left_optical', 'base_link', 'odom'
CAMERA = StereoCamera(
    width=640,
    height=480,
    focal_length=385.0,
    focal_length_y=385.0,
    baseline=0.095,
    left=PrincipalPoint(319.5, 239.5),
    right=PrincipalPoint(319.5, 239.5),
)
# The layer as it was shipped before: one source that marks and clears.
FORMER = """
/**/stereo_node:
  ros__parameters: {points_organized: false, points_decimation: 4, points_color: none,
                    confidence_threshold: 0.7, min_depth: 0.3, max_depth: 5.0}
local_costmap: {local_costmap: {ros__parameters: {stereo_voxel_layer: {
  origin_z: 0.0, z_resolution: 0.1, z_voxels: 16, max_obstacle_height: 1.6, mark_threshold: 2,
  observation_sources: stereo,
  stereo: {topic: /points, marking: true, clearing: true,
           min_obstacle_height: 0.1, max_obstacle_height: 1.6,
           obstacle_min_range: 0.3, obstacle_max_range: 4.0,
           raytrace_min_range: 0.3, raytrace_max_range: 4.5}}}}}
"""
TOPICS = {'points': Output.POINTS, 'points_clearing': Output.POINTS_CLEARING}


@dataclass(frozen=True)
class Box:
    """A box by two opposite corners, in meters in the frame of the map (x ahead, z up)."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]


# Further away than what any source marks or clears.
FAR_WALL = Box((8.0, -30.0, 0.0), (8.2, 30.0, 30.0))


def person(ahead: float) -> Box:
    """Return a box of the size of a person, whose front is so many meters ahead."""
    return Box((ahead, -0.25, 0.0), (ahead + 0.3, 0.25, 1.7))


@dataclass(frozen=True)
class View:
    """A camera at the origin of the map, ``height`` meters up, and what stands before it.

    ``pitch`` turns it down, in degrees. Where there is neither floor nor box, there is sky.
    ``noise`` is the standard deviation of the disparity in pixels; ``unknown`` has none at all.
    """

    boxes: tuple[Box, ...] = ()
    floor: bool = True
    height: float = 0.5
    pitch: float = 0.0
    noise: float = 0.1
    unknown: bool = False

    def frames(self) -> dict[str, RigidTransform]:
        """Return the transforms of the frames into the map."""
        sine, cosine = math.sin(math.radians(self.pitch)), math.cos(math.radians(self.pitch))
        # Columns: the camera's x, y and z axes, which look to the right, down and ahead.
        rotation = ((0.0, -sine, cosine), (-1.0, 0.0, 0.0), (0.0, -cosine, -sine))
        unit = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
        return {
            OPTICAL: RigidTransform(MAP, rotation, (0.0, 0.0, self.height)),
            BASE: RigidTransform(MAP, unit, (0.0, 0.0, 0.0)),
        }

    @lru_cache(maxsize=4)  # noqa: B019  # small, and used again for every pair
    def depth(self) -> np.ndarray:
        """Return the depth (H, W) in meters, infinite where the sky is."""
        pose = self.frames()[OPTICAL]
        x, y = (values.double().numpy() for values in CAMERA.rays())
        optical = np.stack(np.broadcast_arrays(x, y, 1.0), axis=-1)
        rays, origin = optical @ np.array(pose.rotation).T, np.array(pose.translation)
        depth = np.full(rays.shape[:2], np.inf)
        with np.errstate(divide='ignore'):
            if self.floor:
                depth = np.where(rays[..., 2] < 0, -self.height / rays[..., 2], np.inf)
            for box in self.boxes:
                sides = np.stack([(np.array(corner) - origin) / rays for corner in _corners(box)])
                enter, leave = sides.min(axis=0).max(axis=-1), sides.max(axis=0).min(axis=-1)
                hit = (enter > 0) & (enter <= leave)
                depth = np.where(hit, np.minimum(depth, enter), depth)
        return depth

    def estimate(self, seed: int) -> MatchResult:
        """Return the maps of a matcher that is right but for the noise."""
        noise = np.random.default_rng(seed).normal(0, self.noise, (CAMERA.height, CAMERA.width))
        disparity = CAMERA.focal_length * CAMERA.baseline / self.depth() + noise
        if self.unknown:
            disparity[:] = np.nan
        return maps(torch.from_numpy(disparity.astype(np.float32)))

    def clouds(self, settings: Settings, number: int) -> dict[str, Cloud]:
        """Return the clouds of stereo_node with these parameters, by topic, of the n-th pair."""
        options = settings.pipeline_options().outputs
        options = replace(options, clearing=replace(options.clearing, phase=number))
        if settings.points_frame:
            pose = self.frames()[settings.points_frame]
            assert np.array_equal(pose.rotation, np.eye(3)), 'only a frame of the same axes'
            moved = replace(self.frames()[OPTICAL], frame_id=settings.points_frame)
            options = replace(options, cloud=replace(options.cloud, transform=moved))
        outputs = compute_outputs(CAMERA, self.estimate(number), TOPICS.values(), options=options)
        frame = outputs.cloud_frame_id or OPTICAL
        return {
            topic: Cloud(outputs.arrays[output].astype(float), frame)
            for topic, output in TOPICS.items()
        }


def _corners(box: Box) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    return box.low, box.high


class Robot:
    """A costmap with one voxel layer, fed by a stereo node, as one file of parameters says.

    ``observations`` are those of the newest pair.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        costmap = parameters['local_costmap']['local_costmap']['ros__parameters']
        layer = costmap['stereo_voxel_layer']
        self.settings = Settings(**parameters['/**/stereo_node']['ros__parameters'])
        self.layer = VoxelLayer(layer)
        self._sources = [layer[name] for name in layer['observation_sources'].split()]
        self._pairs = 0
        self.observations: list[Observation] = []

    def see(self, view: View, pairs: int = 1) -> int:
        """Update the costmap with so many pairs of a view; return the number of lethal cells."""
        for _ in range(pairs):
            self._pairs += 1
            clouds = view.clouds(self.settings, self._pairs)
            self.observations = [
                observe(source, clouds[source['topic'].removeprefix('/')], view.frames())
                for source in self._sources
            ]
            self.layer.update(self.observations)
        return len(self.layer.lethal())
