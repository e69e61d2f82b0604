"""The pictures of the demo: what each matcher made of the same pair, side by side, with scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from s2m2_ros.demo.render import View, render
from s2m2_ros.demo.subscriber import ReceivedPair, colors_of, disparity, pixels, read_cloud
from s2m2_ros.io.images.ros_images import decode_image

DOTS_PER_INCH = 110
UNKNOWN = '0.25'
# Beyond these, values take the color of the end of the scale.
SHOWN_PERCENTILES = (1, 92)


@dataclass(frozen=True)
class MethodOutputs:
    """One matcher's outputs of the pair that is shown, and what made them, in words."""

    label: str
    pair: ReceivedPair


@dataclass(frozen=True)
class Quantity:
    """One kind of picture: what it shows, in which unit, from where, and in which colors."""

    name: str
    title: str
    values: Callable[[ReceivedPair], np.ndarray]
    colors: str
    limits: tuple[float, float] | None = None


QUANTITIES = (
    Quantity(
        'disparity',
        'disparity [pixels]',
        lambda pair: disparity(pair.messages['disparity']),
        'turbo',
    ),
    Quantity('depth', 'depth [m]', lambda pair: pixels(pair.messages['depth']), 'turbo_r'),
    Quantity(
        'confidence',
        'confidence: probability that the error is under 4 pixels',
        lambda pair: pixels(pair.messages['confidence']),
        'viridis',
        (0.0, 1.0),
    ),
    Quantity(
        'occlusion',
        'occlusion: 1 where the right camera sees nothing of it',
        lambda pair: 1 - pixels(pair.messages['estimate'].visibility),
        'magma',
        (0.0, 1.0),
    ),
)


def draw_all(methods: Sequence[MethodOutputs], folder: Path) -> list[Path]:
    """Write every picture of the demo and return their paths."""
    left = decode_image(methods[0].pair.left)
    paths = [_save(_left_figure(left), folder / 'left.png')]
    for quantity in QUANTITIES:
        figure = _comparison(quantity, methods)
        paths.append(_save(figure, folder / f'{quantity.name}.png'))
    paths.append(_save(_views(methods), folder / 'points.png'))
    paths.append(_save(_overview(left, methods), folder / 'overview.png'))
    return paths


def _left_figure(left: np.ndarray) -> Figure:
    figure = _figure(1, 1)
    _show(figure.add_subplot(), left, 'left image', colors='gray', limits=(0, 255))
    return figure


def _comparison(quantity: Quantity, methods: Sequence[MethodOutputs]) -> Figure:
    """Return one quantity by each matcher, on one scale."""
    figure = _figure(1, len(methods))
    figure.suptitle(quantity.title)
    _row(figure, list(figure.subplots(1, len(methods), squeeze=False)[0]), quantity, methods)
    return figure


def _row(
    figure: Figure, axes: Sequence[Any], quantity: Quantity, methods: Sequence[MethodOutputs]
) -> None:
    maps = [quantity.values(method.pair) for method in methods]
    limits = quantity.limits or _common_limits(maps)
    for axis, values, method in zip(axes, maps, methods, strict=True):
        shown = _show(axis, values, method.label, colors=quantity.colors, limits=limits)
    short = quantity.title.partition(':')[0]
    figure.colorbar(shown, ax=list(axes), fraction=0.03, pad=0.02, label=short)


def _overview(left: np.ndarray, methods: Sequence[MethodOutputs]) -> Figure:
    """Return everything on one page: a column for each matcher, a row for each quantity."""
    rows, columns = len(QUANTITIES) + 1, len(methods)
    figure = _figure(rows, columns)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, quantity in zip(grid, QUANTITIES, strict=False):
        _row(figure, list(axes), quantity, methods)
    last = grid[-1]
    _show(last[0], left, 'left image', colors='gray', limits=(0, 255))
    for axis in last[1:]:
        axis.axis('off')
    _show(last[-1], _slanted(methods[0].pair), f'points of {methods[0].label}')
    return figure


def _views(methods: Sequence[MethodOutputs]) -> Figure:
    figure = _figure(1, len(methods))
    figure.suptitle('points, seen from the right and from above')
    for axis, method in zip(
        figure.subplots(1, len(methods), squeeze=False)[0], methods, strict=True
    ):
        number = len(read_cloud(method.pair.messages['points']))
        _show(axis, _slanted(method.pair), f'{method.label}: {number} points')
    return figure


def _slanted(pair: ReceivedPair) -> np.ndarray:
    records = read_cloud(pair.messages['points'])
    return render(records[:, :3], colors_of(records), View())


def _common_limits(maps: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return limits that show what the first matcher knows, without its extremes."""
    known = maps[0][np.isfinite(maps[0])]
    if not known.size:
        return 0.0, 1.0
    low, high = np.percentile(known, SHOWN_PERCENTILES)
    return float(low), float(max(high, low + 1e-3))


def _figure(rows: int, columns: int) -> Figure:
    figure = Figure(
        figsize=(6.4 * columns + 0.6, 5.0 * rows), dpi=DOTS_PER_INCH, layout='constrained'
    )
    FigureCanvasAgg(figure)
    return figure


def _show(
    axis: Any,
    values: np.ndarray,
    title: str,
    *,
    colors: str | None = None,
    limits: tuple[float, float] = (0, 255),
) -> Any:
    axis.set_title(title)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_facecolor(UNKNOWN)  # shown where a value is NaN
    return axis.imshow(values, cmap=colors, vmin=limits[0], vmax=limits[1])


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path)
    return path
