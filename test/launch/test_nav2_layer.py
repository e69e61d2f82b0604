"""config/nav2_obstacle_layer.yaml in a MODEL of Nav2's rules, on rendered scenes.

The parameters are those of the file, the clouds come from the geometry of the node. The model
(support/nav2_model.py) was never compared with Nav2 itself.
"""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from support.nav2_model import LETHAL, Cloud, VoxelLayer, observe
from support.nav2_scene import BASE, FAR_WALL, FORMER, OPTICAL, Box, Robot, View, person

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / 'config' / 'nav2_obstacle_layer.yaml'
LOW_BOX = Box((1.8, -0.2, 0.0), (2.2, 0.2, 0.2))
NEAR_WALL = Box((4.3, -30.0, 0.0), (4.5, 30.0, 30.0))
BEHIND = {
    'a wall within the range': View((NEAR_WALL,)),
    'a wall beyond it': View((FAR_WALL,)),
    'floor only': View(height=1.0, pitch=40.0),
    'floor and sky': View(),
    'nothing': View(floor=False),
}
# Less than a second at 10 Hz.
SOON = 8


def parameters() -> Any:
    return yaml.safe_load(FILE.read_text())


def former() -> Any:
    return yaml.safe_load(FORMER)


def source(content: Any, name: str) -> Any:
    costmap = content['local_costmap']['local_costmap']['ros__parameters']
    return costmap['stereo_voxel_layer'][name]


def with_person(view: View, ahead: float) -> View:
    return replace(view, boxes=(*view.boxes, person(ahead)))


@pytest.mark.parametrize('behind', BEHIND)
@pytest.mark.parametrize('ahead', [1.0, 2.0, 3.6])
def test_a_person_who_leaves_is_cleared(behind: str, ahead: float) -> None:
    view = BEHIND[behind]
    robot = Robot(parameters())
    assert robot.see(with_person(view, ahead), pairs=3) >= 10
    cells = robot.layer.lethal()
    assert (np.abs(cells - (ahead, 0)) < (0.3, 0.35)).all()
    assert robot.see(view, pairs=SOON) == 0


def test_more_rays_clear_after_fewer_pairs() -> None:
    content = parameters()
    content['/**/stereo_node']['ros__parameters']['clearing_decimation'] = 4
    robot = Robot(content)
    robot.see(with_person(View(), 3.6), pairs=3)
    assert robot.see(View(), pairs=3) == 0


def test_what_still_stands_there_is_not_cleared() -> None:
    robot = Robot(parameters())
    seen = {robot.see(with_person(View(), 2.0)) for _ in range(SOON)}
    assert min(seen) >= 10
    assert robot.see(with_person(View(), 3.0), pairs=SOON) >= 10
    assert (robot.layer.lethal()[:, 0] > 2.8).all()


def test_a_box_of_20_cm_is_marked_and_the_floor_is_not() -> None:
    robot = Robot(parameters())
    assert robot.see(View(), pairs=3) == 0
    assert robot.see(View((LOW_BOX,))) >= 8  # 0.4 m are 8 cells
    cells = robot.layer.lethal()
    assert (np.abs(cells - (2.0, 0.0)) < (0.35, 0.3)).all()
    assert robot.see(View(), pairs=SOON) == 0


def test_unknown_is_not_free() -> None:
    robot = Robot(parameters())
    marked = robot.see(with_person(View(), 2.0))
    assert marked == robot.see(View(unknown=True), pairs=SOON)


@pytest.mark.parametrize('view', [View(), View(height=1.2, pitch=20.0), View(height=0.2)])
@pytest.mark.parametrize(('x', 'y'), [(0.7, 0.0), (1.0, 0.7), (2.0, -1.5), (3.0, 2.0)])
def test_at_the_edges_of_the_view_too(view: View, x: float, y: float) -> None:
    robot = Robot(parameters())
    someone = Box((x, y - 0.25, 0.0), (x + 0.3, y + 0.25, 1.7))
    assert robot.see(replace(view, boxes=(someone,)), pairs=3) >= 10
    assert robot.see(view, pairs=SOON) == 0


@pytest.mark.parametrize('behind', BEHIND)
def test_the_former_source_left_the_person_there(behind: str) -> None:
    """Why there are two sources: the model shows what was wrong with one."""
    robot, view = Robot(former()), BEHIND[behind]
    marked = robot.see(with_person(view, 2.0))
    assert marked >= 10
    assert robot.see(view, pairs=SOON) == marked


def test_the_former_source_cleared_before_a_wall_right_behind() -> None:
    robot, view = Robot(former()), View((Box((2.35, -9.0, 0.0), (2.5, 9.0, 9.0)),))
    assert robot.see(with_person(view, 2.0)) > 50  # the wall too
    robot.see(view, pairs=SOON)
    assert (robot.layer.lethal()[:, 0] > 2.2).all()


def test_the_former_threshold_overlooked_a_box_of_20_cm() -> None:
    assert Robot(former()).see(View((LOW_BOX,)), pairs=SOON) == 0
    content = parameters()
    layer = content['local_costmap']['local_costmap']['ros__parameters']['stereo_voxel_layer']
    layer['mark_threshold'] = 2
    assert Robot(content).see(View((LOW_BOX,)), pairs=SOON) == 0


def test_points_in_another_frame_need_the_sensor_frame() -> None:
    content = parameters()
    content['/**/stereo_node']['ros__parameters']['points_frame'] = BASE
    view = View((FAR_WALL,))
    wrong = Robot(deepcopy(content))
    marked = wrong.see(with_person(view, 2.0))
    # The rays begin on the floor, and pass below most of what was marked.
    assert wrong.see(view, pairs=SOON) > marked / 2
    for name in ('stereo_mark', 'stereo_clear'):
        source(content, name)['sensor_frame'] = OPTICAL
    right = Robot(content)
    assert right.see(with_person(view, 2.0)) == marked
    assert right.see(view, pairs=SOON) == 0


def test_without_a_border_marks_at_the_edge_of_the_view_stay() -> None:
    content = parameters()
    content['/**/stereo_node']['ros__parameters']['points_border'] = 0.0
    robot = Robot(content)
    robot.see(with_person(View(), 1.0))
    assert robot.see(View(), pairs=SOON) > 0


def test_a_camera_above_the_grid_clears_nothing() -> None:
    robot = Robot(parameters())
    view = View(height=1.7, pitch=30.0)
    marked = robot.see(with_person(view, 2.0))
    assert marked >= 10
    assert robot.see(view, pairs=SOON) == marked


def test_the_numbers_of_the_file_fit_together() -> None:
    content = parameters()
    stereo = content['/**/stereo_node']['ros__parameters']
    mark, clear = source(content, 'stereo_mark'), source(content, 'stereo_clear')
    layer = content['local_costmap']['local_costmap']['ros__parameters']['stereo_voxel_layer']
    assert layer['observation_sources'].split() == ['stereo_mark', 'stereo_clear']
    assert (mark['marking'], mark['clearing']) == (True, False)
    assert (clear['marking'], clear['clearing']) == (False, True)
    assert mark['obstacle_max_range'] < clear['raytrace_max_range'] < stereo['clearing_range']
    assert mark['obstacle_max_range'] < stereo['max_depth']
    assert stereo['min_depth'] <= mark['obstacle_min_range']
    # The ends of rays straight up and down.
    assert -clear['min_obstacle_height'] > stereo['clearing_range']
    assert clear['max_obstacle_height'] > stereo['clearing_range'] + layer['max_obstacle_height']
    assert layer['z_voxels'] <= 16
    top = layer['origin_z'] + layer['z_voxels'] * layer['z_resolution']
    assert layer['max_obstacle_height'] == mark['max_obstacle_height'] == pytest.approx(top)


class TestTheModel:
    """Worked out by hand: a grid of 4 x 4 cells of 1 m around the origin, and 4 voxels of 1 m."""

    def layer(self, **options: Any) -> VoxelLayer:
        grid = {'z_resolution': 1.0, 'z_voxels': 4, 'max_obstacle_height': 4.0}
        return VoxelLayer(grid | options, resolution=1.0, cells=4)

    def update(self, layer: VoxelLayer, points: list[list[float]], **options: Any) -> list[Any]:
        cloud = Cloud(np.array(points, float).reshape(-1, 3), BASE)
        given = {'max_obstacle_height': 9.0, 'obstacle_max_range': 9.0, 'raytrace_max_range': 9.0}
        frames = View().frames()
        layer.update([observe(given | options, cloud, frames)])
        found: list[Any] = layer.lethal().tolist()
        return found

    def test_one_voxel_more_than_the_threshold_marks(self) -> None:
        layer = self.layer(mark_threshold=1)
        assert self.update(layer, [[1.5, 0.5, 0.5], [1.4, 0.4, 0.6]]) == []
        assert self.update(layer, [[1.5, 0.5, 2.5]]) == [[1.5, 0.5]]
        assert layer.marked[3, 2].tolist() == [True, False, True, False]

    def test_the_height_band_of_a_source_holds_for_its_rays_too(self) -> None:
        for highest, left in ((1.0, [[0.5, 0.5]]), (9.0, [])):
            layer = self.layer()
            self.update(layer, [[0.5, 0.5, 1.5]])
            options = {'marking': False, 'clearing': True, 'sensor_frame': OPTICAL}
            # From (0, 0, 0.5) through (0.7, 0.7, 1.9) to (2, 2, 4.5).
            far = [[4.0, 4.0, 8.5]]
            assert self.update(layer, far, max_obstacle_height=highest, **options) == left

    def test_ranges_of_marking(self) -> None:
        points = [[0.5, 0.5, 0.5], [1.5, 0.5, 0.5]]
        assert self.update(self.layer(), points, obstacle_max_range=1.5) == [[0.5, 0.5]]
        assert self.update(self.layer(), points, obstacle_min_range=1.5) == [[1.5, 0.5]]

    def test_a_ray_ends_two_cells_before_the_surface_and_at_its_range(self) -> None:
        row = [[-1.5, 0.5, 0.5], [-0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [1.5, 0.5, 0.5]]
        clear = {'marking': False, 'clearing': True}
        layer = VoxelLayer({'z_resolution': 1.0}, resolution=1.0, cells=8)
        self.update(layer, [[0.5 + x, 0.5, 0.5] for x in range(3)])
        # To x = 3.5, less two cells: the rays empty the cells at 0.5 and 1.5 only.
        assert self.update(layer, [[3.5, 0.5, 0.5]], **clear) == [[2.5, 0.5]]
        layer = self.layer()
        self.update(layer, row)
        assert self.update(layer, [[9.0, 0.5, 0.5]], raytrace_max_range=0.0, **clear) == [
            [x, y] for x, y, _ in row if x != 0.5
        ]

    def test_a_column_that_is_not_empty_stays(self) -> None:
        layer = self.layer()
        self.update(layer, [[1.5, 0.5, 0.5], [1.5, 0.5, 2.5]])
        clear = {'marking': False, 'clearing': True}
        assert self.update(layer, [[6.0, 0.5, 0.5]], **clear) == [[1.5, 0.5]]
        assert layer.marked[3, 2].tolist() == [False, False, True, False]
        assert layer.costs[3, 2] == LETHAL


def test_the_picture_of_the_document_is_drawn(tmp_path: Path) -> None:
    picture = tmp_path / 'nav2.png'
    subprocess.run([sys.executable, ROOT / 'doc' / 'draw_nav2.py', picture], check=True)
    drawn, shown = (
        np.asarray(cv2.imread(str(path))) for path in (picture, ROOT / 'doc' / 'nav2.png')
    )
    assert drawn.shape == shown.shape
    assert drawn.std() > 10
