"""Charts over time as SVG, drawn without a script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 860, 180
LEFT, RIGHT, TOP, BOTTOM = 60, 10, 10, 30
# Points of a curve: more are not seen, and a long recording would make a large page.
MOST_POINTS = 1500
TICKS = 5


@dataclass(frozen=True)
class Curve:
    """Values over seconds; None leaves a gap. ``dots`` draws no lines between them."""

    name: str
    points: Sequence[tuple[float, float | None]]
    color: str = '#1f6fb4'
    dots: bool = False


def chart(
    curves: Sequence[Curve], *, unit: str, low: float | None = None, high: float | None = None
) -> str:
    """Return an SVG of curves over one axis of time; ``low`` and ``high`` bound the values."""
    times = [t for curve in curves for t, _ in curve.points]
    values = [v for curve in curves for _, v in curve.points if v is not None]
    if not times or not values:
        return '<p class="none">nothing to draw</p>'
    bottom = min(values) if low is None else low
    top = max(values) if high is None else high
    if top - bottom < 1e-9:
        bottom, top = bottom - 0.5, top + 0.5
    frame = _Frame(min(times), max(*times, min(times) + 1e-3), bottom, top)
    parts = [_axes(frame, unit), *(_drawn(curve, frame) for curve in curves)]
    legend = ' '.join(
        f'<tspan fill="{curve.color}">{escape(curve.name)}</tspan>' for curve in curves
    )
    parts.append(f'<text x="{LEFT + 6}" y="{TOP + 14}">{legend}</text>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(", ".join(c.name for c in curves))}">{"".join(parts)}</svg>'
    )


@dataclass(frozen=True)
class _Frame:
    start: float
    end: float
    low: float
    high: float

    def x(self, time: float) -> float:
        part = (time - self.start) / (self.end - self.start)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        part = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)


def _axes(frame: _Frame, unit: str) -> str:
    lines = []
    for index in range(TICKS):
        part = index / (TICKS - 1)
        value = frame.low + part * (frame.high - frame.low)
        time = frame.start + part * (frame.end - frame.start)
        y, x = frame.y(value), frame.x(time)
        anchor = 'start' if index == 0 else 'end' if index == TICKS - 1 else 'middle'
        lines.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>')
        lines.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{_seconds(time)} s</text>'
        )
    lines.append(f'<text x="4" y="{TOP + 4}">{escape(unit)}</text>')
    return ''.join(lines)


def _seconds(time: float) -> str:
    return f'{time:.3f}'.rstrip('0').rstrip('.')


def _drawn(curve: Curve, frame: _Frame) -> str:
    points = _thinned(curve.points)
    if curve.dots:
        return ''.join(
            f'<circle cx="{frame.x(t):.1f}" cy="{frame.y(v):.1f}" r="3" fill="{curve.color}"/>'
            for t, v in points
            if v is not None
        )
    steps, is_pen_down = [], False
    for time, value in points:
        if value is not None:
            steps.append(f'{"L" if is_pen_down else "M"}{frame.x(time):.1f} {frame.y(value):.1f}')
        is_pen_down = value is not None
    return f'<path class="curve" stroke="{curve.color}" d="{"".join(steps)}"/>'


def _thinned(
    points: Sequence[tuple[float, float | None]],
) -> Sequence[tuple[float, float | None]]:
    """Return at most about `MOST_POINTS`: of so many neighbors, the lowest and the highest."""
    if len(points) <= MOST_POINTS:
        return points
    size = math.ceil(2 * len(points) / MOST_POINTS)
    kept: list[tuple[float, float | None]] = []
    for start in range(0, len(points), size):
        known = [p for p in points[start : start + size] if p[1] is not None]
        if known:
            extremes = {
                min(known, key=lambda p: (p[1] or 0.0, p[0])),
                max(known, key=lambda p: (p[1] or 0.0, p[0])),
            }
            kept += sorted(extremes, key=lambda p: p[0])
    return kept
