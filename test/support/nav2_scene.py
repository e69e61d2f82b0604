"""Rendered scenes for the model of Nav2: a floor, boxes, a stereo camera, and what it sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from s2m2_ros.geometry import Output, PrincipalPoint, RigidTransform, StereoCamera, compute_outputs
from s2m2_ros.inference import MatchResult
from s2m2_ros.node.parameters import Settings
from support.maps import maps
from support.nav2_model import Cloud

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


@dataclass(frozen=True)
class Box:
    """A box by two opposite corners, in meters in the frame of the map (x ahead, z up)."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]


PERSON = Box((2.0, -0.25, 0.0), (2.3, 0.25, 1.7))
LOW_BOX = Box((1.8, -0.2, 0.0), (2.2, 0.2, 0.2))


@dataclass(frozen=True)
class View:
    """A camera at the origin of the map, ``height`` meters up, and what stands before it.

    ``pitch`` turns it down, in degrees. Without a floor everything else is sky, at infinity.
    ``noise`` is the standard deviation of the disparity in pixels.
    """

    boxes: Sequence[Box] = ()
    floor: bool = True
    height: float = 0.5
    pitch: float = 0.0
    noise: float = 0.1
    seed: int = 0

    def frames(self) -> dict[str, RigidTransform]:
        """Return the transforms into the map of the frames."""
        sine, cosine = math.sin(math.radians(self.pitch)), math.cos(math.radians(self.pitch))
        # Columns: the camera's x, y and z axes, which look to the right, down and ahead.
        rotation = ((0.0, -sine, cosine), (-1.0, 0.0, 0.0), (0.0, -cosine, -sine))
        unit = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
        return {
            OPTICAL: RigidTransform(MAP, rotation, (0.0, 0.0, self.height)),
            BASE: RigidTransform(MAP, unit, (0.0, 0.0, 0.0)),
        }

    def depth(self) -> np.ndarray:
        """Return the depth (H, W) in meters, infinite where nothing is seen."""
        pose = self.frames()[OPTICAL]
        x, y = CAMERA.rays()
        x, y = torch.broadcast_tensors(x, y)
        optical = torch.stack((x, y, torch.ones_like(x)), dim=-1).double().numpy()
        rays, origin = optical @ np.array(pose.rotation).T, np.array(pose.translation)
        nearest = np.full(rays.shape[:2], np.inf)
        with np.errstate(divide='ignore'):
            if self.floor:
                nearest = np.where(rays[..., 2] < 0, -self.height / rays[..., 2], np.inf)
            for box in self.boxes:
                first, second = (np.array(box.low) - origin) / rays, (box.high - origin) / rays
                enter = np.minimum(first, second).max(axis=-1)
                leave = np.maximum(first, second).min(axis=-1)
                nearest = np.where(
                    (enter > 0) & (enter <= leave), np.minimum(nearest, enter), nearest
                )
        return nearest

    def estimate(self) -> MatchResult:
        """Return the maps of a matcher that is right but for the noise."""
        noise = np.random.default_rng(self.seed).normal(
            0, self.noise, (CAMERA.height, CAMERA.width)
        )
        disparity = CAMERA.focal_length * CAMERA.baseline / self.depth() + noise
        return maps(torch.from_numpy(disparity.astype(np.float32)))

    def clouds(self, settings: Settings) -> dict[str, Cloud]:
        """Return the clouds of stereo_node with these parameters, by topic."""
        options = settings.pipeline_options().outputs
        if settings.points_frame:
            pose = replace(self.frames()[OPTICAL], frame_id=settings.points_frame)
            options = replace(options, cloud=replace(options.cloud, transform=pose))
        topics = {'points': Output.POINTS, 'points_clearing': Output.POINTS_CLEARING}
        estimate = self.estimate()
        image = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
        outputs = compute_outputs(CAMERA, estimate, topics.values(), image=image, options=options)
        frame = outputs.cloud_frame_id or OPTICAL
        return {
            topic: Cloud(
                outputs.arrays[output]
                .reshape(-1, outputs.arrays[output].shape[-1])[:, :3]
                .astype(float),
                frame,
            )
            for topic, output in topics.items()
        }
