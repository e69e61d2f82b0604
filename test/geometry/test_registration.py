"""Depth and color of another camera, against rays cast from there, loops and numbers by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2m2_ros.geometry import (
    CalibrationError,
    PrincipalPoint,
    StereoCamera,
    TargetCamera,
    registration_kernel,
)
from s2m2_ros.geometry.projection import project
from s2m2_ros.geometry.registration import ZBuffer, register, registered_colors
from s2m2_ros.geometry.registration_limits import DepthRange
from support.box_scene import ROOM, cast, pinhole_rays
from support.torch_defaults import torch_defaults

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
LEFT = StereoCamera(
    width=424,
    height=240,
    focal_length=212.0,
    focal_length_y=212.0,
    baseline=0.05,
    left=PrincipalPoint(211.5, 119.5),
    right=PrincipalPoint(211.5, 119.5),
)


def turned(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Any:
    """Return a rotation matrix of small turns in degrees."""
    matrix = cv2.Rodrigues(np.radians([x, y, z]))[0]
    return tuple(tuple(float(v) for v in row) for row in matrix)


def target(**changes: Any) -> TargetCamera:
    camera = TargetCamera(
        width=640,
        height=360,
        fx=460.0,
        fy=462.0,
        cx=322.3,
        cy=178.1,
        rotation=turned(1.0, -2.0, 0.5),
        translation=(-0.06, 0.004, 0.002),
    )
    return replace(camera, **changes)


def left_depth() -> torch.Tensor:
    rays = pinhole_rays((424, 240), (212.0, 212.0), (211.5, 119.5))
    return torch.from_numpy(cast(ROOM, rays).astype(np.float32))


def rays_of(camera: TargetCamera) -> np.ndarray:
    size, center = (camera.width, camera.height), (camera.cx, camera.cy)
    return pinhole_rays(size, (camera.fx, camera.fy), center)


def undistorted(pixels: np.ndarray, K: np.ndarray, D: np.ndarray) -> np.ndarray:
    """Return normalized coordinates, more exact than by the five iterations of the default."""
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-10)
    if hasattr(cv2, 'undistortPointsIter'):  # before OpenCV 5
        found: np.ndarray = cv2.undistortPointsIter(pixels, K, D, None, None, criteria)
        return found
    return np.asarray(cv2.undistortPoints(pixels, K, D, criteria=criteria))


def truth(camera: TargetCamera) -> np.ndarray:
    rays = rays_of(camera)
    if camera.distortion:
        y, x = np.mgrid[: camera.height, : camera.width].astype(np.float64)
        pixels = np.stack((x, y), axis=-1).reshape(-1, 1, 2)
        K = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
        if camera.fisheye:
            straight = cv2.fisheye.undistortPoints(pixels, K, np.array(camera.distortion))
        else:
            straight = undistorted(pixels, K, np.array(camera.distortion))
        rays[..., :2] = straight.reshape(camera.height, camera.width, 2)
    return cast(ROOM, rays, np.array(camera.rotation), np.array(camera.translation))


def hidden_from_left(camera: TargetCamera, depth: np.ndarray) -> np.ndarray:
    """Return which pixels of an image without distortion show what the left camera cannot see."""
    points = (rays_of(camera) * depth[..., None] - np.array(camera.translation)) @ np.array(
        camera.rotation
    )
    x = points[..., 0] / points[..., 2] * 212 + 211.5
    y = points[..., 1] / points[..., 2] * 212 + 119.5
    outside = (x < 1) | (x > 422) | (y < 1) | (y > 238)
    seen = cast(ROOM, np.stack(((x - 211.5) / 212, (y - 119.5) / 212, np.ones_like(x)), axis=-1))
    return np.asarray(outside | (seen < points[..., 2] * 0.999))


def errors_within_a_pixel(found: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return the least error in meters against the 3x3 true depths around each known pixel.

    Between true depths of one surface every value in between is right.
    """
    padded = np.pad(depth, 1, mode='edge')
    shifted = np.array(
        [
            padded[r : r + depth.shape[0], c : c + depth.shape[1]]
            for r in range(3)
            for c in range(3)
        ]
    )
    off = np.abs(found - shifted).min(axis=0)
    low, high = shifted.min(axis=0), shifted.max(axis=0)
    between = (high - low < 0.02 * low) & (low <= found) & (found <= high)
    return np.asarray(np.where(between, 0.0, off)[np.isfinite(found)])


BARREL = (-0.28, 0.09, 0.0008, -0.0011, -0.012) + (0.0,) * 7
RATIONAL = (0.55, -0.3, 0.0004, 0.0002, 0.02, 0.8, -0.25, 0.01, 0.001, 0.0, -0.0007, 0.0)
CAMERAS = {
    'finer': target(),
    'one pixel for one': target(width=424, height=240, fx=212.0, fy=212.0, cx=208.0, cy=121.0),
    'coarser': target(width=160, height=90, fx=115.0, fy=115.5, cx=80.6, cy=44.5),
    'rolled': target(rotation=turned(0, 0, 90), width=360, height=640, cx=179.0, cy=319.0),
    'rolled by half of that': target(rotation=turned(0, 0, 45)),
    'behind and above': target(translation=(0.03, 0.2, 0.4), rotation=turned(-8, 0, 0)),
    'ahead': target(translation=(0.05, 0.0, -0.3)),
    'barrel': target(distortion=BARREL, is_raw=True),
    'rational': target(distortion=RATIONAL, is_raw=True),
    'fisheye': target(distortion=(-0.02, 0.01, -0.004, 0.001), fisheye=True, is_raw=True),
}


@lru_cache(maxsize=1)
def room() -> torch.Tensor:
    return left_depth()


@pytest.mark.usefixtures('either_way')
@pytest.mark.parametrize('name', CAMERAS)
def test_depth_is_that_of_rays_cast_from_there(name: str) -> None:
    camera = CAMERAS[name]
    found, expected = register(room(), LEFT, camera).depth.numpy(), truth(camera)
    # Within one pixel, but for edges where a left pixel is larger than one of the image.
    off = errors_within_a_pixel(found, expected)
    assert (off < 0.001).mean() > 0.99, np.quantile(off, [0.9, 0.99, 0.999])
    # And on the surfaces without regard to neighbors.
    direct = np.abs(found - expected)[np.isfinite(found)]
    assert np.quantile(direct, 0.9) < 0.001
    if not camera.distortion:
        hidden = hidden_from_left(camera, expected)
        assert np.isfinite(found)[~hidden].mean() > 0.998
        if name != 'coarser':  # one row of pixels around the edges is much of its few
            assert np.isfinite(found)[hidden].mean() < 0.13


@pytest.mark.usefixtures('either_way')
def test_what_stands_in_front_hides_what_is_behind() -> None:
    # A square of 1 m before a wall of 4 m; f B = 10.6 px m, so 10.6 px and 2.65 px. The other
    # camera stands 0.1 m to the right: the square moves left by 21.2 px, the wall by 5.3 px.
    depth = torch.full((240, 424), 4.0)
    depth[100:140, 200:240] = 1.0
    camera = target(
        width=424, height=240, fx=212.0, fy=212.0, cx=211.5, cy=119.5,
        rotation=IDENTITY, translation=(-0.1, 0.0, 0.0),
    )  # fmt: skip
    found = register(depth, LEFT, camera).depth.numpy()
    row = found[120]
    assert row[179:218].tolist() == [1.0] * 39
    assert row[:178].tolist() == [4.0] * 178
    # Behind its right side nothing is known: 240 - 21.2 = 218.8 to 240 - 5.3 = 234.7.
    assert np.isnan(row[220:234]).all()
    assert row[235:418].tolist() == [4.0] * 183
    assert np.isnan(row[420:]).all()


@pytest.mark.usefixtures('either_way')
def test_what_is_too_near_to_be_kept_hides_all_the_same() -> None:
    depth = torch.full((240, 424), 4.0)
    depth[100:140, 200:240] = 1.0
    camera = target(
        width=424, height=240, fx=212.0, fy=212.0, cx=211.5, cy=119.5,
        rotation=IDENTITY, translation=(-0.1, 0.0, 0.0),
    )  # fmt: skip
    kept = DepthRange(nearest=1.5, farthest=10.0)
    row = register(depth, LEFT, camera, kept).depth.numpy()[120]
    assert np.isnan(row[179:234]).all()
    assert row[:178].tolist() == [4.0] * 178
    assert np.isnan(register(depth, LEFT, camera, DepthRange(0.0, 0.5)).depth.numpy()).all()


@pytest.mark.usefixtures('either_way')
def test_gaps_of_one_pixel_are_closed_within_a_surface_only() -> None:
    same = target(
        width=424, height=240, fx=212.0, fy=212.0, cx=211.5, cy=119.5,
        rotation=IDENTITY, translation=(0.0, 0.0, 0.0),
    )  # fmt: skip
    depth = torch.full((240, 424), 2.0)
    depth[:, 200:] = 3.0
    depth[50, 100] = math.nan  # one pixel
    depth[60, 150:152] = math.nan  # two, closed along the column
    depth[70:73, 160:163] = math.nan  # nine
    depth[80, 200] = math.nan  # at the edge: closed along the column, never across
    depth[90:93, 199:202] = math.nan
    found = register(depth, LEFT, same).depth.numpy()
    assert found[50, 100] == 2.0
    assert found[60, 150:152].tolist() == [2.0, 2.0]
    assert np.isnan(found[70:73, 160:163]).all()
    np.testing.assert_allclose(found[80, 199:202], [2.0, 3.0, 3.0], rtol=1e-6)
    assert np.isnan(found[90:93, 199:202]).all()
    known = ~depth.isnan().numpy()
    np.testing.assert_allclose(found[known], depth.numpy()[known], rtol=1e-6)


@pytest.mark.usefixtures('either_way')
def test_a_finer_image_is_covered_without_gaps_or_a_view_of_what_is_behind() -> None:
    # Four pixels of the other image for one: a slanted board before a wall.
    columns = torch.arange(424.0)
    board = 1.0 / (0.8 + 0.0005 * columns).expand(240, 424)
    depth = torch.full((240, 424), 5.0)
    depth[40:200, 60:360] = board[40:200, 60:360]
    camera = target(
        width=1600, height=900, fx=848.0, fy=848.0, cx=800.0, cy=450.0,
        rotation=turned(0, 3, 2), translation=(-0.05, 0.01, 0.0),
    )  # fmt: skip
    found = register(depth, LEFT, camera).depth.numpy()
    projection = project(depth, LEFT, camera)
    corners = [(45, 65), (45, 355), (195, 355), (195, 65)]
    outline = np.array(
        [[(float(projection.u[r, c]), float(projection.v[r, c])) for r, c in corners]]
    )
    inside = cv2.fillPoly(np.zeros(found.shape, np.uint8), [*outline.astype(np.int32)], 1) > 0
    assert inside.sum() > 500_000
    assert np.isfinite(found[inside]).all()
    assert found[inside].max() < 2.0


def test_both_ways_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = [camera for camera in CAMERAS.values() if not camera.fisheye]
    compiled = [register(room(), LEFT, camera, DepthRange(1.0, 2.5)).values for camera in cameras]
    monkeypatch.setattr(registration_kernel, 'library', lambda: None)
    for values, camera in zip(compiled, cameras, strict=True):
        assert torch.equal(values, register(room(), LEFT, camera, DepthRange(1.0, 2.5)).values)


def by_loops(depth: np.ndarray, left: StereoCamera, camera: TargetCamera) -> dict[Any, float]:
    """Return the nearest depth that hits each pixel of the other image with its center."""
    nearest: dict[Any, float] = {}
    rotation, translation = np.array(camera.rotation), np.array(camera.translation)
    K = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    for (row, column), z in np.ndenumerate(depth):
        ray = (
            (column - left.left.x) / left.focal_length,
            (row - left.left.y) / left.focal_length_y,
            1.0,
        )
        point = rotation @ (np.array(ray) * z) + translation
        if math.isnan(z) or point[2] < 0.01:
            continue
        u, v, _ = K @ (point / point[2])
        place = round(v), round(u)
        if 0 <= place[0] < camera.height and 0 <= place[1] < camera.width:
            nearest[place] = min(nearest.get(place, math.inf), point[2])
    return nearest


SMALL = replace(
    LEFT,
    width=24,
    height=18,
    focal_length=20.0,
    focal_length_y=21.0,
    baseline=2.0,
    left=PrincipalPoint(11.0, 9.0),
    right=PrincipalPoint(11.0, 9.0),
)
ANGLES = st.floats(-20, 20)
SHIFTS = st.floats(-0.4, 0.4)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    angles=st.tuples(ANGLES, ANGLES, st.floats(-180, 180)),
    shift=st.tuples(SHIFTS, SHIFTS, st.floats(-0.1, 0.1)),
    zoom=st.floats(0.3, 4.0),
)
def test_never_farther_than_a_point_that_hits_the_pixel(
    seed: int, angles: tuple[float, ...], shift: tuple[float, ...], zoom: float
) -> None:
    random = np.random.default_rng(seed)
    depth = random.uniform(0.3, 4.0, (6, 8)).repeat(3, axis=0).repeat(3, axis=1)
    depth = (depth * random.uniform(0.999, 1.001, depth.shape)).astype(np.float32)
    depth[random.uniform(size=depth.shape) < 0.1] = math.nan
    camera = target(
        width=30, height=22, fx=20 * zoom, fy=20 * zoom, cx=14.2, cy=10.7,
        rotation=turned(*angles), translation=shift,
    )  # fmt: skip
    buffer = register(torch.from_numpy(depth), SMALL, camera)
    found = buffer.depth.numpy()
    for (row, column), z in by_loops(depth, SMALL, camera).items():
        # Towards neighbors a surface recedes by 2 % a pixel, for a few pixels in a coarse image.
        assert found[row, column] <= 1.3 * z
    # Nothing is made up: every depth is near one of a point.
    points = 1.0 / project(torch.from_numpy(depth), SMALL, camera).inverse.numpy()
    low, high = np.nanmin(points, initial=np.inf), np.nanmax(points, initial=0)
    if np.isfinite(found).any():
        assert np.nanmin(found) > 0
        assert np.nanmin(found) > low * 0.5
        assert np.nanmax(found) < high * 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registration_kernel, 'library', lambda: None)
        assert torch.equal(register(torch.from_numpy(depth), SMALL, camera).values, buffer.values)


def test_colors_come_from_where_the_other_camera_sees_the_point() -> None:
    # Each pixel of the other image is colored by the place in the room that it sees, in steps of
    # 2 cm: the left view of the colors must be those of the places that the left camera sees.
    camera = CAMERAS['finer']
    rotation, translation = np.array(camera.rotation), np.array(camera.translation)
    other, left = truth(camera), room().numpy().astype(np.float64)
    places = (rays_of(camera) * other[..., None] - translation) @ rotation
    rays = pinhole_rays((424, 240), (212.0, 212.0), (211.5, 119.5))

    def colors(points: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip(np.rint(points / 0.02 + 100), 0, 254)).astype(np.uint8)

    image = torch.from_numpy(colors(places))
    gray = torch.full((240, 424), 255, dtype=torch.uint8)
    buffer = register(room(), LEFT, camera)
    found = registered_colors(room(), LEFT, camera, buffer, image=image, left_image=gray).numpy()
    expected = colors(rays * left[..., None]).astype(int)
    kept_gray = (found == 255).all(axis=-1)
    off = np.abs(found.astype(int) - expected).max(axis=-1)[~kept_gray]
    assert (off <= 1).mean() > 0.985  # edges are half a pixel off
    # What the other camera does not see, by rays from there: hidden, or outside of its image.
    points = (rays * left[..., None]) @ rotation.T + translation
    u = points[..., 0] / points[..., 2] * camera.fx + camera.cx
    v = points[..., 1] / points[..., 2] * camera.fy + camera.cy
    outside = (u < -0.5) | (u > camera.width - 0.5) | (v < -0.5) | (v > camera.height - 0.5)
    seen = cast(ROOM, points / points[..., 2:], rotation, translation)
    unseen = outside | (seen < points[..., 2] * 0.97)
    assert unseen.mean() > 0.01
    assert kept_gray[unseen].mean() > 0.97
    assert kept_gray[~unseen].mean() < 0.01


def test_colors_are_the_same_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(3)
    camera = CAMERAS['barrel']
    # Channels first, as a tensor whose memory is not that of an image; and a gray left image.
    image = torch.randint(0, 256, (3, 360, 640), dtype=torch.uint8, generator=random).permute(
        1, 2, 0
    )
    gray = torch.rand((240, 424), generator=random) * 300
    depth = room().clone()
    depth[::7, ::5] = math.nan
    buffer = register(depth, LEFT, camera)
    first = registered_colors(depth, LEFT, camera, buffer, image=image, left_image=gray)
    monkeypatch.setattr(registration_kernel, 'library', lambda: None)
    second = registered_colors(depth, LEFT, camera, buffer, image=image, left_image=gray)
    assert torch.equal(first, second)
    unknown = depth.isnan()
    assert torch.equal(
        first[unknown], gray.round().clamp(0, 255).byte()[unknown][:, None].expand(-1, 3)
    )


@pytest.mark.usefixtures('either_way')
@pytest.mark.parametrize(
    ('sizes', 'message'),
    [
        ({'image': (360, 641, 3)}, r'coloring needs .* 640x360 .*its shape is \(360, 641, 3\)'),
        ({'image': (360, 640, 4)}, r'of 3 channels; its shape is \(360, 640, 4\)'),
        ({'image': (360, 640, 1)}, r'gray or of 3 channels; its shape is \(360, 640, 1\)'),
        ({'left_image': (2, 2, 3)}, r'needs .* 424x240 .*its shape is \(2, 2, 3\)'),
        ({'buffer': (36, 64)}, r'view is \(36, 64\), the camera \(360, 640\)'),
        ({'depth': (240, 423)}, r'424x240 .*they are 423x240'),
        ({'depth': (1, 240, 424)}, r'its shape is \(1, 240, 424\)'),
    ],
)
def test_what_is_of_another_size_is_not_read(
    sizes: dict[str, tuple[int, ...]], message: str
) -> None:
    """The compiled loops would read what lies behind it in memory."""
    shapes = {
        'image': (360, 640, 3),
        'left_image': (240, 424, 3),
        'buffer': (360, 640),
        'depth': (240, 424),
        **sizes,
    }
    image, left_image = (
        torch.zeros(shapes[name], dtype=torch.uint8) for name in ('image', 'left_image')
    )
    buffer = ZBuffer(torch.zeros(shapes['buffer'], dtype=torch.int32))
    depth = torch.ones(shapes['depth'])
    with pytest.raises((ValueError, CalibrationError), match=message):
        registered_colors(depth, LEFT, target(), buffer, image=image, left_image=left_image)
    if 'depth' in sizes:
        with pytest.raises((ValueError, CalibrationError), match=message):
            register(depth, LEFT, target())


SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
import torch
from s2m2_ros.geometry import PrincipalPoint, StereoCamera, TargetCamera, registration_kernel
from s2m2_ros.geometry.registration_limits import DepthRange
wide, center = 1 << 22, PrincipalPoint(0.0, 0.0)
left = StereoCamera(wide, 1, 10.0, 10.0, 0.1, left=center, right=center)
turned = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
target = TargetCamera(4, 4, 10.0, 10.0, 2.0, 2.0, turned, (0.0, 0.0, 0.0))
depth = torch.ones((1, wide))
values = torch.zeros((4, 4), dtype=torch.int32)
picture = torch.zeros((4, 4, 3), dtype=torch.uint8)
board = torch.zeros((1, 1, 3), dtype=torch.uint8).expand(1, wide, 3)
registration_kernel.library()
# The rays and the colors take 2 * 4 and 3 bytes for each pixel, a row of the loops 18.
used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 20 * wide, resource.RLIM_INFINITY))
try:
    if sys.argv[1] == 'depth':
        registration_kernel.z_buffer(depth, left, target, DepthRange())
    else:
        registration_kernel.colors(
            depth, left, target, values, image=picture, left_image=board
        )
except MemoryError as error:
    print(error)
"""


@pytest.mark.parametrize('what', ['depth', 'colors'])
def test_lack_of_memory_is_an_error(what: str) -> None:
    command = [sys.executable, '-c', SHORT_OF_MEMORY, what]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.stdout == 'not enough memory to register depth to another camera\n', found.stderr


@pytest.mark.parametrize('dtype', [torch.float16, torch.float64])
def test_depth_and_defaults_of_other_types(dtype: torch.dtype) -> None:
    """Half a meter is the same number in all of them."""
    depth, camera = torch.full((240, 424), 0.5), target()
    expected = register(depth, LEFT, camera)
    known = expected.depth
    assert torch.equal(register(depth.to(dtype), LEFT, camera).values, expected.values)
    with torch_defaults(dtype, 'meta'):
        found = ZBuffer(expected.values.mT.contiguous().mT).depth
    assert found.dtype == torch.float32
    assert found.nan_to_num().equal(known.nan_to_num())


@pytest.mark.usefixtures('either_way')
@pytest.mark.parametrize('depth', [math.nan, math.inf, 1e-30, 3e38])
def test_depths_that_are_none_give_nothing(depth: float) -> None:
    found = register(torch.full((240, 424), depth), LEFT, CAMERAS['finer']).depth
    assert not (found.isfinite() & (found < 1e6)).any()


@pytest.mark.usefixtures('either_way')
def test_a_camera_that_looks_elsewhere_sees_nothing() -> None:
    behind = target(rotation=turned(0, 180, 0))
    assert register(room(), LEFT, behind).depth.isnan().all()


@pytest.mark.usefixtures('either_way')
def test_points_beyond_the_lens_do_not_fold_back_into_the_image() -> None:
    # r (1 - 0.3 r^2) turns back at r = 1.054 and is 0 at r = 1.83: a point 61 degrees off the axis
    # would come out in the middle of the image.
    rays = pinhole_rays((1000, 10), (200.0, 200.0), (499.5, 4.5))
    wide = replace(
        LEFT,
        width=1000,
        height=10,
        focal_length=200.0,
        focal_length_y=200.0,
        left=PrincipalPoint(499.5, 4.5),
        right=PrincipalPoint(499.5, 4.5),
    )
    camera = target(
        width=1000, height=100, fx=200.0, fy=200.0, cx=499.5, cy=49.5, rotation=IDENTITY,
        translation=(0.0, 0.0, 0.0), distortion=(-0.3,) + (0.0,) * 11, is_raw=True,
    )  # fmt: skip
    assert camera.largest_radius == pytest.approx(math.sqrt(1 / 0.9), abs=0.002)
    depth = torch.full((10, 1000), 2.0)
    shown = project(depth, wide, camera).u.numpy()
    np.testing.assert_array_equal(np.isnan(shown), np.hypot(rays[..., 0], rays[..., 1]) > 1.054)
