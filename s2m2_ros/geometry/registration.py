"""Depth of the left camera as another camera sees it, by forward projection with a z-buffer.

Every known pixel of the left camera covers a small rectangle of the other image: half of the way
to the projections of those neighbors that lie on the same surface, else what a surface across
the ray would cover. Inside of it depth goes on towards these neighbors. The nearest surface
wins. Values are compared as inverse depth, of which the largest is the nearest and 0 is
unknown; their last bit says whether the pixel is kept (see `DepthRange`), since what is too near
to be published hides what is behind it all the same. The result does not depend on the order of
the pixels, so it is the same on every run and device.

A compiled loop (compiled/registration_kernel.cpp) does it on a CPU.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch

from s2m2_ros.geometry import registration_kernel
from s2m2_ros.geometry.cloud import as_rgb
from s2m2_ros.geometry.registration_limits import (
    EDGE_ON,
    LARGEST_EXTENT,
    LARGEST_REACH,
    NEAREST,
    OVERLAP,
    SMALLEST_EXTENT,
    DepthRange,
    Tolerance,
)
from s2m2_ros.geometry.stereo_camera import StereoCamera
from s2m2_ros.geometry.target_camera import TargetCamera

# So many covered pixels are worked on at once, to bound memory.
CHUNK = 1 << 24


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


@dataclass(frozen=True)
class ZBuffer:
    """The nearest surface at each pixel of the other image.

    ``values``: int32 (H, W), 0 where nothing is known, else the bits of the inverse depth in
    float32, of which the last one says whether the pixel is kept.
    """

    values: torch.Tensor

    @property
    def inverse(self) -> torch.Tensor:
        """The inverse depth in 1/m, 0 where unknown."""
        return (self.values & ~1).view(torch.float32)

    @property
    def depth(self) -> torch.Tensor:
        """The depth in meters of what is kept, NaN elsewhere."""
        if registration_kernel.serves(self.values):
            return registration_kernel.depth(self.values)
        kept = (self.values & 1).bool()
        return torch.where(kept, 1.0 / self.inverse, torch.nan)


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


def register(
    depth: torch.Tensor,
    camera: StereoCamera,
    target: TargetCamera,
    kept: DepthRange | None = None,
) -> ZBuffer:
    """Return the other camera's view of the left depth, float32 (H, W) meters, NaN if unknown.

    Pixels outside of ``kept`` (everything by default) hide what is behind them, and are unknown.
    """
    kept = kept or DepthRange()
    if registration_kernel.serves(depth):
        return ZBuffer(registration_kernel.z_buffer(depth, camera, target, kept))
    projection = project(depth, camera, target)
    surface = _surfaces(depth, projection, camera, target)
    flags = ((depth >= kept.nearest) & (depth <= kept.farthest)).int()
    values = _nearest(projection, surface, flags, target)
    return ZBuffer(_without_gaps(values, Tolerance.of(camera)))


@dataclass(frozen=True)
class _Steps:
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
class _Surfaces:
    """The surface and the rectangle around each pixel, each float32 (H, W).

    A place in the other image, du and dv away, is ``du * xu + dv * xv`` left pixels to the right
    and ``du * yu + dv * yv`` down, ``reach`` at most. The rectangle reaches ``half_u`` and
    ``half_v`` to each side.
    """

    x: _Steps
    y: _Steps
    xu: torch.Tensor
    xv: torch.Tensor
    yu: torch.Tensor
    yv: torch.Tensor
    reach: torch.Tensor
    half_u: torch.Tensor
    half_v: torch.Tensor


def _surfaces(
    depth: torch.Tensor,
    projection: Projection,
    camera: StereoCamera,
    target: TargetCamera,
) -> _Surfaces:
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
    return _Surfaces(
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
) -> _Steps:
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
    return _Steps(
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


def _nearest(
    projection: Projection, surface: _Surfaces, flags: torch.Tensor, target: TargetCamera
) -> torch.Tensor:
    """Return the nearest value at each pixel of the other image, int32 (H, W)."""
    device = projection.u.device
    values = torch.zeros(target.height * target.width, dtype=torch.int32, device=device)
    left, columns = _covered(projection.u, surface.half_u, target.width)
    top, rows = _covered(projection.v, surface.half_v, target.height)
    counts = (columns * rows).flatten()
    sources = counts.nonzero().squeeze(1)
    counts = counts[sources]
    for begin, end in _chunks(counts):
        chosen, covers = sources[begin:end], counts[begin:end]
        pixel = chosen.repeat_interleave(covers)
        start = (covers.cumsum(0) - covers).repeat_interleave(covers)
        place = torch.arange(len(pixel), device=device) - start
        across = columns.flatten()[pixel]
        column = left.flatten()[pixel] + place % across
        row = top.flatten()[pixel] + place // across
        du = column.float() - projection.u.flatten()[pixel]
        dv = row.float() - projection.v.flatten()[pixel]
        change = _change(du, dv, surface, pixel)
        inverse = projection.inverse.flatten()[pixel] + change
        found = (inverse.view(torch.int32) & ~1) | flags.flatten()[pixel]
        found = torch.where(change.isnan(), 0, found)
        values.scatter_reduce_(0, row * target.width + column, found, 'amax')
    return values.view(target.height, target.width)


def _change(
    du: torch.Tensor, dv: torch.Tensor, surface: _Surfaces, pixel: torch.Tensor
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


def _covered(
    center: torch.Tensor, half: torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first covered pixel along an axis and how many there are, int64."""
    # NaN, and what lies outside of the image, covers nothing.
    first = (center - half).ceil().clamp(min=0.0).nan_to_num_(nan=float(size))
    last = (center + half).floor().clamp(max=size - 1.0).nan_to_num_(nan=-1.0)
    first = first.clamp_(max=float(size))
    return first.long(), (last - first + 1.0).clamp_(min=0.0).long()


def _chunks(counts: torch.Tensor) -> list[tuple[int, int]]:
    """Return ranges of pixels that cover about `CHUNK` pixels each."""
    if not len(counts):
        return []
    ends = counts.cumsum(0)
    number = -(-int(ends[-1]) // CHUNK)
    marks = torch.arange(1, number, device=counts.device) * CHUNK
    inner = torch.searchsorted(ends, marks, right=True).tolist()
    bounds = [0, *inner, len(counts)]
    return [(a, b) for a, b in itertools.pairwise(bounds) if b > a]


def _without_gaps(values: torch.Tensor, tolerance: Tolerance) -> torch.Tensor:
    """Return the values with gaps of one pixel closed where both sides are of one surface."""
    filled = values.clone()
    for dimension in (0, 1):  # along a row is preferred, so it comes last
        length = values.shape[dimension] - 2
        if length < 1:
            continue
        before, here, after = (values.narrow(dimension, i, length) for i in range(3))
        known = (before != 0) & (after != 0) & (here == 0)
        a, b = ((side & ~1).view(torch.float32) for side in (before, after))
        middle = ((a + b) * 0.5).view(torch.int32) & ~1 | (before & after & 1)
        target = filled.narrow(dimension, 1, length)
        target.copy_(torch.where(known & tolerance.agree(a, b), middle, target))
    return filled


def registered_colors(
    depth: torch.Tensor,
    camera: StereoCamera,
    target: TargetCamera,
    buffer: ZBuffer,
    *,
    image: torch.Tensor,
    left_image: torch.Tensor,
) -> torch.Tensor:
    """Return the other image's color at each pixel of the left one, uint8 (H, W, 3) RGB.

    Where the other camera does not see the point, or something nearer, the left image's color
    stays, and everywhere where the depth is unknown.

    ``image``: of the other camera, ``left_image``: of the left one, each (H, W) gray or (H, W, 3)
    RGB, uint8 or float in 0..255. Raises ValueError if ``image`` is not of the target's size.
    """
    if image.shape[:2] != (target.height, target.width):
        raise ValueError(
            f'the image to color with must be {target.width}x{target.height}; its shape is '
            f'{tuple(image.shape)}'
        )
    image, left_image = (as_rgb(picture).to(depth.device) for picture in (image, left_image))
    if registration_kernel.serves(depth):
        return registration_kernel.colors(
            depth, camera, target, buffer.values, image=image, left_image=left_image
        )
    projection = project(depth, camera, target)
    column, row = projection.u.round(), projection.v.round()
    inside = (column >= 0) & (column < target.width) & (row >= 0) & (row < target.height)
    # In whole numbers: float32 does not hold every index.
    column, row = (torch.where(inside, place, 0.0).long() for place in (column, row))
    index = row * target.width + column
    nearest = buffer.inverse.flatten()[index]
    seen = (projection.inverse >= nearest) | Tolerance.of(camera).agree(
        projection.inverse, nearest
    )
    return torch.where((seen & inside)[..., None], image.reshape(-1, 3)[index], left_image)
