"""Surfaces of a procedural scene and the z-buffer that sees them.

A surface gives every left pixel ``(x, y)`` a disparity that is quadratic around its center:
``d = offset + slope_x s + slope_y t + bend_x s^2 + bend_y t^2`` with ``s = x - center_x`` and
``t = y - center_y``, in pixels. The same point lies at ``x - d`` in the right view; solving that
for ``s`` is a quadratic equation, so both views are sampled from one surface without error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

NOTHING = -1.0e6
"""Disparity of a ray that meets no surface of a group."""

SURFACES_AT_ONCE_GPU = 8
"""Surfaces tested in one go: many on a GPU, which else waits; one on a CPU, for its caches."""

RADII = 64
"""Samples of an outline's radius around its center."""


@dataclass(frozen=True)
class Surfaces:
    """K surfaces in each of B scenes; float32 tensors (B, K) unless said otherwise."""

    center_x: Tensor
    center_y: Tensor
    offset: Tensor
    slope_x: Tensor
    slope_y: Tensor
    bend_x: Tensor
    bend_y: Tensor
    active: Tensor
    """Bool: an inactive surface is never seen."""

    def pick(self, index: Tensor) -> Surfaces:
        """Return the surface of each pixel; ``index`` (B, H, W) gives fields of (B, H, W)."""
        flat = index.flatten(1)
        return self._map(lambda value: value.gather(1, flat).view(index.shape))

    def part(self, start: int, stop: int) -> Surfaces:
        """Return surfaces ``start`` to ``stop - 1``, ready to broadcast over (B, K, H, W)."""
        return self._map(lambda value: value[:, start:stop, None, None])

    def scenes(self, chosen: slice) -> Surfaces:
        """Return a copy of the surfaces of some scenes."""
        return self._map(lambda value: value[chosen].clone())

    def _map(self, change: Callable[[Tensor], Tensor]) -> Surfaces:
        return Surfaces(**{f.name: change(getattr(self, f.name)) for f in fields(self)})


def concatenate(groups: list[Surfaces]) -> Surfaces:
    """Join groups of surfaces along K."""
    return Surfaces(
        **{f.name: torch.cat([getattr(g, f.name) for g in groups], 1) for f in fields(Surfaces)}
    )


def from_left(surfaces: Surfaces, columns: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``(s, t, disparity)`` of left pixels; all shapes broadcast."""
    s = columns - surfaces.center_x
    t = rows - surfaces.center_y
    along_x = s * (surfaces.slope_x + surfaces.bend_x * s)
    along_y = t * (surfaces.slope_y + surfaces.bend_y * t)
    return s, t, surfaces.offset + along_x + along_y


def from_right(surfaces: Surfaces, columns: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``(s, t, disparity)`` of right pixels; all shapes broadcast.

    With ``g = x_right - center_x + offset + slope_y t + bend_y t^2`` the point solves
    ``bend_x s^2 - (1 - slope_x) s + g = 0``; the root that stays finite for ``bend_x = 0`` is
    ``2 g / (p + sqrt(p^2 - 4 bend_x g))``, ``p = 1 - slope_x``. Where no point solves it the
    value is outside of every outline that `outline_reach` allows.
    """
    t = rows - surfaces.center_y
    along_y = t * (surfaces.slope_y + surfaces.bend_y * t)
    g = columns - surfaces.center_x + surfaces.offset + along_y
    p = 1.0 - surfaces.slope_x
    root = (p * p - 4.0 * surfaces.bend_x * g).clamp_min(1e-6).sqrt()
    s = 2.0 * g / (p + root)
    return s, t, s + surfaces.center_x - columns


@dataclass(frozen=True)
class Outlines:
    """Closed outlines, star-shaped around their centers: radius over angle, scaled and turned."""

    cosine: Tensor
    sine: Tensor
    width: Tensor
    height: Tensor
    radius: Tensor
    """(B, K, RADII + 1), the last equal to the first; at most 1."""
    bars: Tensor
    """Bars across the outline, in radians per half width; 0 for a whole surface."""

    def inside(self, start: int, stop: int, s: Tensor, t: Tensor) -> Tensor:
        """Return which points ``s, t`` (B, stop - start, H, W) lie inside."""
        u, v = self._local(start, stop, s, t)
        turn = (torch.atan2(v, u) + torch.pi) * (RADII / (2 * torch.pi))
        low = turn.floor().clamp(0, RADII - 1)
        part = turn - low
        index = low.long().flatten(2)
        table = self.radius[:, start:stop]
        first = table.gather(2, index).view_as(u)
        second = table.gather(2, index + 1).view_as(u)
        limit = first + (second - first) * part
        bars = self.bars[:, start:stop, None, None]
        return (u * u + v * v < limit * limit) & (torch.cos(u * bars) > -0.2)

    def _local(self, start: int, stop: int, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        part = (slice(None), slice(start, stop), None, None)
        cosine, sine = self.cosine[part], self.sine[part]
        u = (s * cosine + t * sine) / self.width[part]
        v = (t * cosine - s * sine) / self.height[part]
        return u, v


@dataclass(frozen=True)
class Strokes:
    """Thin structures and glyphs: the points near one of a few straight strokes."""

    ends: Tensor
    """(B, K, strokes, 4): x and y of both ends, in pixels from the center."""
    thickness: Tensor
    """(B, K), half of the stroke's width in pixels."""

    def inside(self, start: int, stop: int, s: Tensor, t: Tensor) -> Tensor:
        """Return which points ``s, t`` (B, stop - start, H, W) lie on a stroke."""
        limit = self.thickness[:, start:stop, None, None].square()
        found = torch.zeros_like(s, dtype=torch.bool)
        for stroke in range(self.ends.shape[2]):
            x0, y0, x1, y1 = (self.ends[:, start:stop, stroke, i, None, None] for i in range(4))
            dx, dy = x1 - x0, y1 - y0
            px, py = s - x0, t - y0
            fraction = ((px * dx + py * dy) / (dx * dx + dy * dy).clamp_min(1e-6)).clamp(0.0, 1.0)
            distance = (px - fraction * dx).square() + (py - fraction * dy).square()
            found |= distance < limit
        return found


@dataclass(frozen=True)
class Rays:
    """Positions in one view."""

    columns: Tensor
    """(B, H, W), fractional pixels."""
    rows: Tensor
    """(B, H, W), fractional pixels."""
    right: bool
    """Whether it is the right view."""

    def scenes(self, chosen: slice) -> Rays:
        """Return the rays of some scenes."""
        return Rays(self.columns[chosen], self.rows[chosen], self.right)

    def meet(self, surfaces: Surfaces) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``(s, t, disparity)`` of surfaces that broadcast with the rays."""
        view = from_right if self.right else from_left
        return view(surfaces, self.columns, self.rows)


@dataclass(frozen=True)
class Hits:
    """What each ray meets first."""

    disparity: Tensor
    """(B, H, W) float32, pixels."""
    index: Tensor
    """(B, H, W) int64: which surface."""


@dataclass(frozen=True)
class World:
    """Surfaces of B scenes in the order planes, outlines, strokes."""

    surfaces: Surfaces
    outlines: Outlines
    strokes: Strokes
    translucent: int
    """The first outline of so many scenes, from the first on, is translucent."""

    @property
    def planes(self) -> int:
        """Return the number of surfaces without an outline, which come first."""
        solids, thins = self.outlines.width.shape[1], self.strokes.thickness.shape[1]
        return self.surfaces.offset.shape[1] - solids - thins

    def behind_translucent(self) -> World:
        """Return the scenes with a translucent surface as they are without it."""
        part = slice(0, self.translucent)
        surfaces = self.surfaces.scenes(part)
        surfaces.active[:, self.planes] = False
        return World(
            surfaces=surfaces,
            outlines=Outlines(
                **{f.name: getattr(self.outlines, f.name)[part] for f in fields(Outlines)}
            ),
            strokes=Strokes(ends=self.strokes.ends[part], thickness=self.strokes.thickness[part]),
            translucent=0,
        )

    def trace(self, rays: Rays) -> Hits:
        """Return the nearest surface (largest disparity) that each ray meets."""
        solids = self.outlines.width.shape[1]
        best = torch.full_like(rays.columns, NOTHING)
        index = torch.zeros_like(rays.columns, dtype=torch.int64)
        spread = Rays(rays.columns[:, None], rays.rows[:, None], rays.right)
        chunk = SURFACES_AT_ONCE_GPU if best.is_cuda else 1
        for first, count, shape in (
            (0, self.planes, None),
            (self.planes, solids, self.outlines),
            (self.planes + solids, self.strokes.thickness.shape[1], self.strokes),
        ):
            for start in range(0, count, chunk):
                stop = min(start + chunk, count)
                part = self.surfaces.part(first + start, first + stop)
                s, t, disparity = spread.meet(part)
                seen = part.active.expand_as(disparity)
                if shape is not None:
                    seen = seen & shape.inside(start, stop, s, t)
                nearest, which = torch.where(seen, disparity, NOTHING).max(1)
                closer = nearest > best
                best = torch.where(closer, nearest, best)
                index = torch.where(closer, which + (first + start), index)
        return Hits(disparity=best, index=index)
