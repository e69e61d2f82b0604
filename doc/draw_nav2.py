"""Draws doc/nav2.png: what the layers of doc/nav2.md make of a person who leaves.

Usage: python doc/draw_nav2.py [PICTURE]

The scene is rendered, the costmap is the model of the tests (test/support/nav2_model.py).
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use('agg')
import matplotlib.pyplot as plt
import numpy as np
import yaml
from matplotlib.patches import Rectangle

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'test'))

from support.nav2_scene import FAR_WALL, FORMER, Box, Robot, View, person  # noqa: E402

LOW_BOX = Box((1.6, 0.6, 0.0), (2.0, 1.0, 0.2))
AFTER = View((FAR_WALL, LOW_BOX))
BEFORE = replace(AFTER, boxes=(*AFTER.boxes, person(2.0)))
PAIRS = 6
REACH, WIDTH, TOP = 5.0, 1.6, 1.8
RAYS_DRAWN = 35
OBSTACLE, RAY, SEEN = '#c22f2f', '#3b78b5', '#e4efe2'


def draw_map(axes: Any, robot: Robot, title: str) -> None:
    """Draw the costmap from above: obstacles, and the cells that a ray or a point reached."""
    layer = robot.layer
    known = (~layer.unknown).any(axis=2)
    half = known.shape[0] * 0.05 / 2
    axes.imshow(
        np.where(known.T, 1.0, np.nan),
        origin='lower',
        extent=(-half, half, -half, half),
        cmap=mpl.colors.ListedColormap([SEEN]),
    )
    cells = layer.lethal()
    axes.scatter(*cells.T, marker='s', s=7, color=OBSTACLE, linewidths=0)
    axes.plot(0, 0, '>', color='black', clip_on=False)
    low, high = LOW_BOX.low, LOW_BOX.high
    axes.add_patch(
        Rectangle(low[:2], high[0] - low[0], high[1] - low[1], fill=False, linewidth=0.8)
    )
    axes.set(xlim=(0, REACH), ylim=(-WIDTH, WIDTH), title=title, ylabel='y in m')
    axes.set_aspect('equal')


def draw_side(axes: Any, robot: Robot, title: str) -> None:
    """Draw the rays that are followed straight ahead, and the voxels marked within 0.3 m."""
    for observation in robot.observations:
        if not observation.source['clearing']:
            continue
        points, origin = observation.points, observation.origin
        near = points[np.abs(points[:, 1]) < 0.02 * points[:, 0]]
        for point in near[:: max(1, len(near) // RAYS_DRAWN)]:
            axes.plot(*np.transpose([origin[::2], point[::2]]), color=RAY, linewidth=0.6)
    marked = np.argwhere(robot.layer.marked[:, 114:126].any(axis=1))
    for x, z in marked:
        corner = (x * 0.05 - 6.0, z * 0.1)
        axes.add_patch(Rectangle(corner, 0.05, 0.1, color=OBSTACLE, linewidth=0))
    for height in (0.1, 1.6):
        axes.axhline(height, color='gray', linestyle=':', linewidth=0.8)
    axes.axhline(0.0, color='black', linewidth=1.0)
    axes.plot(0, AFTER.height, '>', color='black', clip_on=False)
    axes.set(xlim=(0, REACH), ylim=(-0.1, TOP), title=title, ylabel='z in m')
    axes.set_aspect('equal')


def main(picture: Path) -> None:
    """Draw one row for each layer."""
    content = (ROOT / 'config' / 'nav2_obstacle_layer.yaml').read_text()
    figure, grid = plt.subplots(2, 3, figsize=(12, 4.8), layout='constrained')
    for row, (name, text) in zip(
        grid, {'one source': FORMER, 'two sources': content}.items(), strict=True
    ):
        robot = Robot(yaml.safe_load(text))
        robot.see(BEFORE, PAIRS)
        draw_map(row[0], robot, f'{name}: a person, and a box of 0.2 m')
        robot.see(AFTER, PAIRS)
        draw_side(row[1], robot, 'the person has left: rays that clear')
        draw_map(row[2], robot, 'what stays in the costmap')
    for axes in grid[-1]:
        axes.set_xlabel('x in m')
    figure.savefig(picture, dpi=90)


if __name__ == '__main__':
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / 'doc' / 'nav2.png')
