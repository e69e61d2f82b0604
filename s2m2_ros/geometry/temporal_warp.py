"""An estimate of the temporal filter as the camera sees it after it moved.

The disparity goes forward through a z-buffer (`registration.register`), so that what is hidden now
is forgotten and what comes into view is unknown. The other maps follow from the pixel that each
surface comes from. An error of the depth stays what it is in meters, so an error of the disparity
is multiplied by ``(d' / d)^2`` where a surface goes from disparity ``d`` to ``d'``, and the weight
by ``(d / d')^4``.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from s2m2_ros.geometry.cloud import RigidTransform
from s2m2_ros.geometry.projection import project
from s2m2_ros.geometry.registration import register
from s2m2_ros.geometry.registration_limits import Tolerance
from s2m2_ros.geometry.stereo_camera import StereoCamera
from s2m2_ros.geometry.target_camera import TargetCamera
from s2m2_ros.geometry.temporal_filter import Estimate

# A view that moved by less than this many pixels anywhere is the same view.
STILL = 0.05


@dataclass(frozen=True)
class Motion:
    """``p_now = rotation @ p_before + translation`` between two left optical frames, meters."""

    before: RigidTransform
    now: RigidTransform

    @property
    def matrix(self) -> np.ndarray:
        """The 4x4 homogeneous matrix, float64."""
        return np.asarray(np.linalg.inv(_square(self.now)) @ _square(self.before))


def is_still(motion: Motion, camera: StereoCamera, largest_disparity: float) -> bool:
    """Return whether no pixel moves by `STILL`, at infinity or at the largest disparity."""
    matrix = motion.matrix
    xs, ys = (0.0, camera.width - 1.0), (0.0, camera.height - 1.0)
    focal = np.array((camera.focal_length, camera.focal_length_y))
    for column, row in itertools.product(xs, ys):
        ray = ((np.array((column, row)) - (camera.left.x, camera.left.y)) / focal).tolist()
        for inverse in (0.0, largest_disparity / (camera.focal_length * camera.baseline)):
            x, y, z = matrix[:3, :3] @ (*ray, 1.0) + matrix[:3, 3] * inverse
            if z <= 0 or np.abs(focal * ((x, y) / z - ray)).max() > STILL:
                return False
    return True


def moved(estimate: Estimate, camera: StereoCamera, motion: Motion) -> Estimate:
    """Return the estimate in the view after a motion; it shares no memory with the one before.

    Surfaces at infinity and beyond become unknown: they have no depth to go forward with.
    """
    matrix = motion.matrix
    known = torch.where(estimate.weight > 0, estimate.disparity, torch.nan)
    before = camera.depth(known)
    depth = register(before, camera, _view(camera, matrix)).depth
    origin = project(depth, camera, _view(camera, np.linalg.inv(matrix)))
    column, row = origin.u.round(), origin.v.round()
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    # In whole numbers: float32 does not hold every index.
    column, row = (torch.where(inside, place, 0.0).long() for place in (column, row))
    index = row * camera.width + column
    same = inside & Tolerance.of(camera).agree(origin.inverse, 1 / before.flatten()[index])

    def carried(values: torch.Tensor) -> torch.Tensor:
        return torch.where(same, values.flatten()[index], 0.0)

    disparity = camera.focal_length * camera.baseline / depth + camera.principal_point_difference
    growth = depth * origin.inverse  # d / d'
    return Estimate(
        disparity=torch.where(same, disparity, 0.0),
        weight=torch.where(same, carried(estimate.weight) * growth.square().square(), 0.0),
        noise=carried(estimate.noise),
        drift=carried(estimate.drift),
        missed=carried(estimate.missed),
    )


def _view(camera: StereoCamera, matrix: np.ndarray) -> TargetCamera:
    """Return the left camera as another one that stands elsewhere."""
    rows = [tuple(float(value) for value in row) for row in matrix[:3]]
    return TargetCamera(
        width=camera.width,
        height=camera.height,
        fx=camera.focal_length,
        fy=camera.focal_length_y,
        cx=camera.left.x,
        cy=camera.left.y,
        rotation=tuple((r[0], r[1], r[2]) for r in rows),
        translation=(rows[0][3], rows[1][3], rows[2][3]),
    )


def _square(transform: RigidTransform) -> np.ndarray:
    return np.array((*transform.matrix, (0.0, 0.0, 0.0, 1.0)))
