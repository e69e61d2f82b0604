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
from s2m2_ros.geometry.cloud import as_rgb, require_image
from s2m2_ros.geometry.projection import (
    Projection,
    Surfaces,
    inverse_change,
    project,
    surfaces_around,
)
from s2m2_ros.geometry.registration_limits import DepthRange, Tolerance
from s2m2_ros.geometry.stereo_camera import StereoCamera
from s2m2_ros.geometry.target_camera import TargetCamera

# So many covered pixels are worked on at once, to bound memory.
CHUNK = 1 << 24


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


def register(
    depth: torch.Tensor,
    camera: StereoCamera,
    target: TargetCamera,
    kept: DepthRange | None = None,
) -> ZBuffer:
    """Return the other camera's view of the left depth, float32 (H, W) meters, NaN if unknown.

    Pixels outside of ``kept`` (everything by default) hide what is behind them, and are unknown.
    Raises CalibrationError if the size is not the camera's, ValueError if it is no map.
    """
    _require_depth(depth, camera)
    kept = kept or DepthRange()
    if registration_kernel.serves(depth):
        return ZBuffer(registration_kernel.z_buffer(depth, camera, target, kept))
    projection = project(depth, camera, target)
    surface = surfaces_around(depth, projection, camera, target)
    flags = ((depth >= kept.nearest) & (depth <= kept.farthest)).int()
    values = _nearest(projection, surface, flags, target)
    return ZBuffer(_without_gaps(values, Tolerance.of(camera)))


def _require_depth(depth: torch.Tensor, camera: StereoCamera) -> None:
    if depth.ndim != 2:
        raise ValueError(f'the depth must be (H, W); its shape is {tuple(depth.shape)}')
    camera.require_size(depth.shape[1], depth.shape[0])


def _nearest(
    projection: Projection, surface: Surfaces, flags: torch.Tensor, target: TargetCamera
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
        change = inverse_change(du, dv, surface, pixel)
        inverse = projection.inverse.flatten()[pixel] + change
        found = (inverse.view(torch.int32) & ~1) | flags.flatten()[pixel]
        found = torch.where(change.isnan(), 0, found)
        values.scatter_reduce_(0, row * target.width + column, found, 'amax')
    return values.view(target.height, target.width)


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
    RGB, uint8 or float in 0..255. Raises ValueError if they, or the buffer, are of another size
    than their camera, CalibrationError if the depth is.
    """
    _require_depth(depth, camera)
    require_image(image, target.width, target.height, 'the coloring')
    require_image(left_image, camera.width, camera.height, 'the coloring')
    if buffer.values.shape != (target.height, target.width):
        raise ValueError(
            f"the other camera's view is {tuple(buffer.values.shape)}, the camera "
            f'{(target.height, target.width)}'
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
