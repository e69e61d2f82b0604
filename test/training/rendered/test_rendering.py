"""Rendered interiors: the renderer against a ray caster, models, folders for training."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from s2m2_ros.evaluation.datasets import find_labeled_pairs
from s2m2_ros.evaluation.truth import load_pair
from s2m2_ros.training.folders import FolderSource
from s2m2_ros.training.rendered.folder import add_noise, render_pairs, write_folder
from s2m2_ros.training.rendered.furniture import CATALOG, FurnitureError, find_pieces, load
from s2m2_ros.training.rendered.geometry import (
    COLOR,
    LAYER,
    NORMAL,
    OPACITY,
    POSITION,
    UV,
    FloatArray,
    Geometry,
    Surface,
    box,
    merged,
    quad,
)
from s2m2_ros.training.rendered.renderer import Pose, Renderer, RenderingError, look_at
from s2m2_ros.training.rendered.room import Light, Room
from s2m2_ros.training.rendered.truth import (
    OVERSAMPLING,
    Camera,
    disparity_of,
    visibility_of,
)

Array = npt.NDArray[np.float64]
CAMERA = Camera(64, 48, 60.0)
BASELINE = 0.2
ROUNDING = 12**-0.5


def vector(*values: float) -> FloatArray:
    return np.array(values, np.float32)


def ray_cast(triangles: Array, origin: Array, rays: Array) -> Array:
    """Return the distance, in lengths of the rays (N, 3), to the nearest triangle (T, 3, 3).

    Moeller and Trumbore 1997, in double precision.
    """
    nearest = np.full(len(rays), np.inf)
    for a, b, c in triangles:
        first, second = b - a, c - a
        p = np.cross(rays, second)
        determinant = p @ first
        with np.errstate(divide='ignore', invalid='ignore'):
            u = p @ (origin - a) / determinant
            q = np.cross(origin - a, first)
            v = rays @ q / determinant
            t = np.full(len(rays), second @ q) / determinant
        hit = (np.abs(determinant) > 1e-12) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-6)
        nearest = np.where(hit & (t < nearest), t, nearest)
    return nearest


def scene() -> Geometry:
    """Return a slanted wall, a box and a thin bar before it."""
    wall = quad([(-4, -3, 4), (4, -3, 5), (4, 3, 5), (-4, 3, 4)], Surface((0.8, 0.2, 0.2)))
    cube = box((-0.5, -0.5, 1.8), (0.3, 0.4, 2.4), Surface((0.2, 0.8, 0.2)))
    bar = box((0.6, -2.0, 1.4), (0.64, 2.0, 1.44), Surface((0.1, 0.1, 0.9)))
    return merged([Geometry(part) for part in (wall, cube, bar)])


def room(geometry: Geometry, *lights: Light) -> Room:
    return Room(np.ones(3, np.float32), geometry, lights, 0.3, ())


@pytest.fixture(scope='module')
def renderer() -> Iterator[Renderer]:
    """Open OpenGL without a display; some systems have none."""
    pytest.importorskip('moderngl', reason='the optional package of rendering is not installed')
    try:
        opened = Renderer(CAMERA)
    except RenderingError as error:
        pytest.skip(str(error))
    with opened:
        yield opened


AHEAD = Pose(np.zeros(3, np.float32), np.eye(3, dtype=np.float32))


def test_depth_and_visibility_are_those_of_a_ray_caster(renderer: Renderer) -> None:
    geometry = scene()
    corners = geometry.triangles[..., POSITION].astype(float)
    pose = look_at(vector(0.1, 0.05, -0.2), vector(0.0, 0.0, 3.0), roll=0.05)
    renderer.load(room(geometry))
    inverse = renderer.inverse_depth(pose)
    cx, cy = CAMERA.center
    columns, rows = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    forward = np.stack([columns - cx, rows - cy, 0 * rows + CAMERA.focal_length], -1)
    rays = (forward / CAMERA.focal_length).reshape(-1, 3) @ pose.axes.astype(float)
    depth = ray_cast(corners, pose.center.astype(float), rays)
    off = np.abs(1 / inverse.reshape(-1) - depth) > 1e-3
    assert np.isfinite(depth).all()
    # Single pixels on an edge may fall to either side.
    assert off.mean() < 2e-3
    scale = {'focal_length': CAMERA.focal_length, 'baseline': BASELINE}
    left = disparity_of(inverse, **scale)
    right = disparity_of(renderer.inverse_depth(pose.shifted(BASELINE), wide=True), **scale)
    assert right.shape == (CAMERA.height, CAMERA.width * OVERSAMPLING)
    visible = visibility_of(left, right)
    center = pose.shifted(BASELINE).center.astype(float)
    points = pose.center + rays * depth[:, None]
    free = ray_cast(corners, center, points - center) > 1 - 1e-4
    position = columns.ravel() - CAMERA.focal_length * BASELINE / depth
    expected = free & (position >= 0) & (position <= CAMERA.width - 1)
    assert 0.05 < (~expected).mean() < 0.5
    assert (visible.ravel() != expected).mean() < 0.01


def test_shadows_lights_and_glass(renderer: Renderer) -> None:
    wall = quad([(-6, -6, 4), (6, -6, 4), (6, 6, 4), (-6, 6, 4)], Surface((1.0, 1.0, 1.0)))
    block = box((-0.4, -3.0, 1.9), (0.4, -1.2, 2.1), Surface((1.0, 1.0, 1.0)))
    lamp = Light(vector(0, -2.2, 0), vector(0, -2.2, 4), vector(1, 1, 1))
    renderer.load(room(Geometry(wall), lamp))
    free = renderer.image(AHEAD).astype(float)
    renderer.load(room(Geometry(np.concatenate([wall, block])), lamp))
    shadowed = renderer.image(AHEAD).astype(float)
    renderer.load(room(Geometry(wall)))
    dark = renderer.image(AHEAD).astype(float)
    # The block throws a shadow on the wall.
    assert (free >= dark - 1).all()
    darker = free - shadowed > 10
    assert 0 < darker.mean() < 0.5
    # In the shadow, only the light from everywhere is left: 0.3 of white, gamma 2.2.
    assert np.median(dark) == pytest.approx(255 * 0.3 ** (1 / 2.2), abs=1)
    pane = quad([(-2, -2, 2), (2, -2, 2), (2, 2, 2), (-2, 2, 2)], Surface((0, 0, 0), opacity=0.5))
    renderer.load(room(Geometry(np.concatenate([wall, pane]))))
    assert renderer.image(AHEAD)[24, 32, 0] == pytest.approx(np.median(dark) / 2, abs=2)
    # The truth is that of the front.
    assert renderer.inverse_depth(AHEAD)[24, 32] == pytest.approx(0.5, rel=1e-5)


def test_a_flat_wall_has_no_stripes_of_its_own_shadow(renderer: Renderer) -> None:
    # The lamp hangs close to the wall, so its rays graze most of it.
    wall = quad([(-6, -6, 4), (6, -6, 4), (6, 6, 4), (-6, 6, 4)], Surface((1.0, 1.0, 1.0)))
    lamp = Light(vector(-1, 0, 3.4), vector(6, 0, 4), vector(0.6, 0.6, 0.6))
    renderer.load(room(Geometry(wall), lamp))
    row = renderer.image(AHEAD)[24, 36:, 0].astype(int)
    # Right of the lamp the light only fades.
    assert row[0] > row[-1] + 20
    assert (np.diff(row) <= 0).all()


class Stripes:
    """A painter whose images are 10 and 20, to be told from those of OpenGL."""

    def __init__(self) -> None:
        self.focal_lengths: list[float] = []
        self.rooms: list[Room] = []
        self.poses: list[Pose] = []

    def set_focal_length(self, pixels: float) -> None:
        self.focal_lengths.append(pixels)

    def load(self, room: Room, *, exposure: float) -> None:
        self.rooms.append(room)

    def views(self, poses: Sequence[Pose]) -> list[npt.NDArray[np.uint8]]:
        self.poses.extend(poses)
        size = (CAMERA.height, CAMERA.width, 3)
        return [np.full(size, 10 * (number + 1), np.uint8) for number in range(len(poses))]


def test_another_painter_makes_the_images_and_the_truth_stays_exact(renderer: Renderer) -> None:
    painter = Stripes()
    made = render_pairs(renderer, [], [], count=3, seed=5, painter=painter, pairs_per_room=2)
    painted = [pair for pair, _ in made]
    assert [round(float(pair.left.mean())) for pair in painted] == [10, 10, 10]
    assert [round(float(pair.right.mean())) for pair in painted] == [20, 20, 20]
    assert len(painter.rooms) == len(painter.focal_lengths) == 2
    assert painter.focal_lengths[-1] == renderer.camera.focal_length
    for pair, left, right in zip(painted, painter.poses[::2], painter.poses[1::2], strict=True):
        assert right.center == pytest.approx(left.shifted(pair.baseline).center)
    own = next(render_pairs(renderer, [], [], count=1, seed=5))[0]
    assert np.array_equal(own.disparity, painted[0].disparity)
    assert np.array_equal(own.visible, painted[0].visible)


def test_textures_keep_their_place(renderer: Renderer) -> None:
    halves = np.zeros((256, 256, 3), np.uint8)
    halves[:, 128:] = 255
    corners = [(-2, -1.5, 2), (2, -1.5, 2), (2, 1.5, 2), (-2, 1.5, 2)]
    panel = Geometry(quad(corners, Surface(texture=0)), (halves,))
    blank = Geometry(box((5, 5, 5), (6, 6, 6), Surface(texture=0)), (halves[:, ::-1].copy(),))
    both = merged([blank, panel])
    assert set(both.triangles[-2:, 0, LAYER]) == {1.0}
    renderer.load(Room(np.ones(3, np.float32), both, (), 1.0, ()))
    image = renderer.image(AHEAD)
    assert image[24, 8].max() == 0
    assert image[24, 56].min() == 255


def test_visibility_by_hand() -> None:
    # One row, background of 2 px, an object of 6 px at columns 10 to 13: it hides 6 to 9.
    left = np.full((1, 20), 2.0, np.float32)
    left[0, 10:14] = 6.0
    column = (np.arange(20 * OVERSAMPLING) + 0.5) / OVERSAMPLING - 0.5
    right = np.where((column >= 3.5) & (column < 7.5), 6.0, 2.0)[None].astype(np.float32)
    hidden = np.flatnonzero(~visibility_of(left, right)[0])
    assert hidden.tolist() == [0, 1, 6, 7, 8, 9]


def test_a_camera_that_looks_level_has_its_axes_right_down_forward() -> None:
    pose = look_at(vector(0, 1, 0), vector(0, 1, 5))
    # y is up, so down is -y, and forward z makes right -x.
    assert pose.axes.tolist() == [[-1, 0, 0], [0, -1, 0], [0, 0, 1]]
    assert np.linalg.det(pose.axes) == pytest.approx(1.0)
    assert pose.shifted(0.5).center.tolist() == [-0.5, 1, 0]


OBJ = """mtllib chair.mtl
v 0 0 0
v 2 0 0
v 2 4 0
v 0 4 0
v 0 0 8
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl wood
f 1/1 2/2 3/3 4/4
usemtl glass
f -5 -4 -1
"""
MTL = (
    'newmtl wood\nKd 0.5 0.4 0.3\nmap_Kd wood.png\nnewmtl glass\nKd 1 1 1\nd 0.1\nKs 0.9 0.9 0.9\n'
)
PROPERTIES = """# a catalog
name#1=Chair
model#1=/a/chair/chair.obj
width#1=100
height#1=200
depth#1=50
creator#1=Somebody
name#2=Without a size
model#2=/a/chair/chair.obj
name#3=Broken
model#3=/a/broken.obj
width#3=40
height#3=40
depth#3=40
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    import cv2

    file = tmp_path / 'Small.sh3f'
    image = cv2.imencode('.png', np.full((4, 4, 3), (10, 20, 30), np.uint8))[1].tobytes()
    with zipfile.ZipFile(file, 'w') as archive:
        archive.writestr(CATALOG, PROPERTIES)
        archive.writestr('a/chair/chair.obj', OBJ)
        archive.writestr('a/chair/chair.mtl', MTL)
        archive.writestr('a/chair/wood.png', image)
        archive.writestr('a/broken.obj', 'v 0 0 0\nf 1 2 3\n')
    return file


def test_a_model_has_its_size_materials_and_texture(library: Path) -> None:
    chair, broken = find_pieces([library])
    assert (chair.name, chair.creator, chair.size) == ('Chair', 'Somebody', (1.0, 2.0, 0.5))
    model = load(chair)
    points = model.triangles[..., POSITION]
    assert points.min((0, 1)).tolist() == pytest.approx([-0.5, 0.0, -0.25])
    assert points.max((0, 1)).tolist() == pytest.approx([0.5, 2.0, 0.25])
    assert len(model.triangles) == 3
    assert model.triangles[:2, 0, LAYER].tolist() == [0, 0]
    assert model.textures[0][0, 0].tolist() == [30, 20, 10]
    assert model.triangles[1, 2, UV].tolist() == [0, 1]
    assert model.triangles[0, 0, COLOR].tolist() == pytest.approx([0.5, 0.4, 0.3])
    assert model.triangles[2, 0, LAYER] == -1
    assert 0.3 < model.triangles[2, 0, OPACITY] < 1
    assert np.abs(model.triangles[0, 0, NORMAL]).tolist() == [0, 0, 1]
    with pytest.raises(FurnitureError, match=r"broken\.obj: .*'2' names a vertex"):
        load(broken)


def test_what_is_no_library_is_said(tmp_path: Path) -> None:
    file = tmp_path / 'chair.sh3f'
    with pytest.raises(FurnitureError, match='not a furniture library'):
        find_pieces([file])
    file.write_bytes(b'no zip')
    with pytest.raises(FurnitureError, match=r'chair\.sh3f'):
        find_pieces([file])
    with pytest.raises(FurnitureError, match='no furniture'):
        find_pieces([])


def test_noise_grows_with_the_signal() -> None:
    random = np.random.default_rng(0)
    bright, dim = np.full((200, 200, 3), 200, np.uint8), np.full((200, 200, 3), 50, np.uint8)
    deviations = [float(add_noise(i, random, shot=0.02, read=0).std()) for i in (bright, dim)]
    # sqrt(0.02^2 * 200 / 255) * 255 = 4.5, and half of that; rounding adds 1/12.
    assert deviations == pytest.approx(
        [math.hypot(4.517, ROUNDING), math.hypot(2.258, ROUNDING)], rel=0.02
    )


def test_a_folder_is_written_and_read_by_training(
    renderer: Renderer, library: Path, tmp_path: Path
) -> None:
    folder = tmp_path / 'interiors'
    pairs = list(render_pairs(renderer, find_pieces([library]), [], count=3, seed=5))
    assert list(write_folder(folder, iter(pairs))) == [1, 2, 3]
    files = find_labeled_pairs(folder)
    assert len(files) == 3
    for (pair, _), found in zip(pairs, map(load_pair, files), strict=True):
        assert np.array_equal(found.left, pair.left)
        assert np.array_equal(found.disparity, pair.disparity)
        assert found.visible is not None
        assert np.array_equal(found.visible, pair.visible)
        assert pair.disparity.min() > 0
        assert pair.disparity.max() < 2 * CAMERA.width
        assert pair.baseline > 0
    again = next(iter(render_pairs(renderer, find_pieces([library]), [], count=1, seed=5)))[0]
    assert np.array_equal(again.disparity, pairs[0][0].disparity)
    if any(room.pieces for _, room in pairs):
        assert 'Small: Somebody' in (folder / 'CREDITS.txt').read_text('utf-8')
    batch = FolderSource([folder], seed=0).batch(0, 2, 32, 64)
    assert batch.valid.mean() > 0.9
