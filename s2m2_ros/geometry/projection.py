"""Left pixels in another camera's image: where they are, and what of it their surface covers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from s2m2_ros.geometry.registration_limits import (
    EDGE_ON,
    LARGEST_EXTENT,
    LARGEST_REACH,
    NEAREST,
    OVERLAP,
    SMALLEST_EXTENT,
    Tolerance,
)
from s2m2_ros.geometry.stereo_camera import StereoCamera
from s2m2_ros.geometry.target_camera import TargetCamera


@dataclass(frozen=True)
class Projection:
    """Where the pixels of the left camera appear, each float32 (H, W), NaN where nowhere.

    Attributes:
        u, v: column and row in the other image.
        inverse: 1 / meters along the other optical axis.

    """

    u: torch.Tensor
    v: torch.Tensor
    inverse: torch.Tensor


def project(depth: torch.Tensor, camera: StereoCamera, target: TargetCamera) -> Projection:
    """Return where the left camera's pixels appear in the other image.

    ``depth``: float32 (H, W) in meters, NaN where unknown.
    """
    x, y = camera.rays(depth.device)
    rows = zip(target.rotation, target.translation, strict=True)
    # In this order of operations the compiled loop does the same.
    right, down, ahead = ((x * r[0] + (y * r[1] + r[2])) * depth + t for r, t in rows)
    ahead = torch.where(ahead >= NEAREST, ahead, torch.nan)
    inverse = 1.0 / ahead
    a, b = target.distort(right * inverse, down * inverse)
    u = a * target.fx + (inverse * target.tx + target.cx)
    v = b * target.fy + (inverse * target.ty + target.cy)
    return Projection(u, v, torch.where(u.isnan(), u, inverse))


@dataclass(frozen=True)
class Steps:
    """What changes from one left pixel to the next along one axis, each float32 (H, W).

    Attributes:
        u, v: the mean change of column and row in the other image.
        after, before: the change of inverse depth towards the next pixel, and from the one
            before. Where only one of them is of the same surface both are that one, else 0.

    """

    u: torch.Tensor
    v: torch.Tensor
    after: torch.Tensor
    before: torch.Tensor


@dataclass(frozen=True)
class Surfaces:
    """The surface and the rectangle around each pixel, each float32 (H, W).

    A place in the other image, du and dv away, is ``du * xu + dv * xv`` left pixels to the right
    and ``du * yu + dv * yv`` down, ``reach`` at most. The rectangle reaches ``half_u`` and
    ``half_v`` to each side.
    """

    x: Steps
    y: Steps
    xu: torch.Tensor
    xv: torch.Tensor
    yu: torch.Tensor
    yv: torch.Tensor
    reach: torch.Tensor
    half_u: torch.Tensor
    half_v: torch.Tensor


def surfaces_around(
    depth: torch.Tensor,
    projection: Projection,
    camera: StereoCamera,
    target: TargetCamera,
) -> Surfaces:
    """Return what surrounds each left pixel in the other image.

    ``depth``: (H, W) in meters, and the ``projection`` of it.
    """
    x, y = (_steps(depth, projection, camera, target, axis=axis) for axis in (0, 1))
    determinant = x.u * y.v - x.v * y.u
    # Where the surface is seen edge-on it says nothing about the other image's neighbors.
    usable = determinant.abs() > EDGE_ON
    factor = torch.where(usable, 1.0 / determinant, 0.0)
    extent_u = (x.u.abs() + y.u.abs()) * 0.5
    extent_v = (x.v.abs() + y.v.abs()) * 0.5
    half_u, half_v = (e.clamp(SMALLEST_EXTENT, LARGEST_EXTENT) for e in (extent_u, extent_v))
    # In a coarser image the rectangle is larger than the pixel.
    reach = torch.maximum(half_u / extent_u, half_v / extent_v).clamp(1.0, LARGEST_REACH) * 0.5
    return Surfaces(
        x=x,
        y=y,
        xu=y.v * factor,
        xv=-(y.u * factor),
        yu=-(x.v * factor),
        yv=x.u * factor,
        reach=reach,
        half_u=half_u,
        half_v=half_v,
    )


def _steps(
    depth: torch.Tensor,
    projection: Projection,
    camera: StereoCamera,
    target: TargetCamera,
    *,
    axis: int,
) -> Steps:
    """Return the changes along the rows, to the right (``axis`` 0), or down the columns (1)."""
    dimension = 1 - axis
    length = depth.shape[dimension] - 1

    def first(values: torch.Tensor) -> torch.Tensor:
        return values.narrow(dimension, 0, length)

    def second(values: torch.Tensor) -> torch.Tensor:
        return values.narrow(dimension, 1, length)

    left = 1.0 / depth
    joined = Tolerance.of(camera).agree(first(left), second(left))
    joined &= (second(projection.u) - first(projection.u)).isfinite()
    has_after = torch.zeros_like(depth, dtype=torch.bool)
    has_before = torch.zeros_like(has_after)
    first(has_after).copy_(joined)
    second(has_before).copy_(joined)
    changes = []
    for values in (projection.u, projection.v, projection.inverse):
        change = values.diff(dim=dimension).masked_fill_(~joined, 0.0)
        after, before = torch.zeros_like(values), torch.zeros_like(values)
        first(after).copy_(change)
        second(before).copy_(change)
        changes.append((after, before))
    both = has_after & has_before
    u, v = (
        torch.where(
            has_after | has_before,
            torch.where(both, (after + before) * 0.5, after + before),
            across,
        )
        for (after, before), across in zip(
            changes, _across(depth, projection, camera, target, axis), strict=False
        )
    )
    after, before = changes[2]
    return Steps(
        u, v, torch.where(has_after, after, before), torch.where(has_before, before, after)
    )


def _across(
    depth: torch.Tensor,
    projection: Projection,
    camera: StereoCamera,
    target: TargetCamera,
    axis: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how u and v change from one left pixel to the next at the same left depth."""
    focal = camera.focal_length if axis == 0 else camera.focal_length_y
    # The lens bends the directions, which `magnification` bounds.
    a = (projection.u - target.cx) / target.fx
    b = (projection.v - target.cy) / target.fy
    scale = depth * projection.inverse * (target.magnification / focal)
    right, down, ahead = (row[axis] for row in target.rotation)
    return (right - a * ahead) * scale * target.fx, (down - b * ahead) * scale * target.fy


def inverse_change(
    du: torch.Tensor, dv: torch.Tensor, surface: Surfaces, pixel: torch.Tensor
) -> torch.Tensor:
    """Return how inverse depth changes from left pixels to places du and dv away from them.

    NaN for places that the surface of the pixel does not cover.
    """

    def at(values: torch.Tensor) -> torch.Tensor:
        return values.flatten()[pixel]

    reach = at(surface.reach)
    x = du * at(surface.xu) + dv * at(surface.xv)
    y = du * at(surface.yu) + dv * at(surface.yv)
    beyond = torch.maximum(x.abs(), y.abs()) > reach + OVERLAP
    beyond &= torch.maximum(du.abs(), dv.abs()) > SMALLEST_EXTENT  # whose center is hit
    x, y = (torch.minimum(torch.maximum(place, -reach), reach) for place in (x, y))
    along_x = torch.where(x > 0, at(surface.x.after), at(surface.x.before))
    along_y = torch.where(y > 0, at(surface.y.after), at(surface.y.before))
    return torch.where(beyond, torch.nan, x * along_x + y * along_y)
