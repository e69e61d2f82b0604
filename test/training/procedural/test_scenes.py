"""The truth of procedural scenes, checked by means that share no code with it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from s2m2_ros.training.procedural.appearance import draw_appearance
from s2m2_ros.training.procedural.placement import SceneOptions, draw_world
from s2m2_ros.training.procedural.scenes import (
    SceneGenerator,
    ViewOptions,
    pixel_grid,
    render,
    visibility,
)
from s2m2_ros.training.procedural.seeded_random import SeededRandom
from s2m2_ros.training.procedural.surfaces import NOTHING, Rays, World, from_left, from_right
from s2m2_ros.training.procedural.textures import look_up, make_bank

HEIGHT, WIDTH = 64, 128
# Without what the two views may legitimately see differently.
PLAIN = SceneOptions(
    objects=(6, 10),
    specular_fraction=0.0,
    mirror_fraction=0.0,
    translucent_fraction=0.0,
    vertical_error_fraction=0.0,
    negative_fraction=0.0,
    photometric=False,
)


def make_world(seed: int, options: SceneOptions = PLAIN, batch: int = 4) -> World:
    return draw_world(SeededRandom(seed), batch, HEIGHT, WIDTH, options=options)


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_both_views_of_a_surface_meet_in_one_point(seed: int) -> None:
    world = make_world(seed)
    rows, columns = pixel_grid(4, HEIGHT, WIDTH, torch.device('cpu'))
    hits = world.trace(Rays(columns, rows, right=False))
    surface = world.surfaces.pick(hits.index)
    s, _, disparity = from_left(surface, columns, rows)
    back, _, same = from_right(surface, columns - disparity, rows)
    assert (hits.disparity - disparity).abs().max() < 1e-4
    assert (back - s).abs().max() < 2e-3
    assert (same - disparity).abs().max() < 2e-3


def test_curved_surface_by_hand() -> None:
    # d = 10 + 0.1 s + 0.01 s^2 around x = 50. At x = 60: s = 10, d = 10 + 1 + 1 = 12, so the
    # right view shows it at 48.
    surfaces = make_world(0).surfaces.part(0, 1)
    zero = torch.zeros(1, 1, 1, 1)
    surface = type(surfaces)(
        center_x=zero + 50, center_y=zero, offset=zero + 10, slope_x=zero + 0.1, slope_y=zero,
        bend_x=zero + 0.01, bend_y=zero, active=zero > -1,
    )  # fmt: skip
    _, _, disparity = from_left(surface, zero + 60, zero)
    s, _, again = from_right(surface, zero + 48, zero)
    assert float(disparity) == pytest.approx(12.0)
    assert float(s) == pytest.approx(10.0, abs=1e-4)
    assert float(again) == pytest.approx(12.0, abs=1e-4)


def test_warped_right_view_equals_left_view_where_visible() -> None:
    # Smooth textures: then linear interpolation of the right pixels is exact to a gray level.
    options = SceneOptions(**{**vars(PLAIN), 'texture_scale': (0.02, 0.05)})
    random = SeededRandom(5)
    bank = make_bank(random, count=6, size=64)
    smooth = torch.nn.functional.avg_pool2d(bank.permute(0, 3, 1, 2), 9, 1, 4)
    world = draw_world(random, 6, HEIGHT, WIDTH, options=options)
    appearance = draw_appearance(random, world, 6, options=options)
    bank = smooth.permute(0, 2, 3, 1).contiguous()
    pairs = render(world, appearance, bank, random, ViewOptions(HEIGHT, WIDTH))
    position = (torch.arange(WIDTH) - pairs.disparity).numpy()
    warped = np.empty_like(pairs.left.numpy())
    right = pairs.right.numpy()
    for b, channel, row in np.ndindex(6, 3, HEIGHT):
        warped[b, channel, row] = np.interp(
            position[b, 0, row], np.arange(WIDTH), right[b, channel, row]
        )
    error = np.abs(warped - pairs.left.numpy()).max(1)
    visible = pairs.visibility[:, 0].numpy() > 0
    # Within a pixel of an edge in the right view, interpolation mixes two surfaces.
    assert np.quantile(error[visible], 0.95) < 2.5
    assert (error[visible] > 8).mean() < 0.03
    assert (error[~visible] > 8).mean() > 0.3


def outline_points(
    world: World, scene: int, step: float
) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Return, per surface, its left columns (rows, samples) and disparities, NaN outside.

    Sampled far beyond the image, as what lies there may still occlude in the right view.
    """
    columns = torch.arange(-0.5 * WIDTH, 2.5 * WIDTH, step)
    rows = torch.arange(HEIGHT, dtype=torch.float32)
    grid_y, grid_x = torch.meshgrid(rows, columns, indexing='ij')
    solids, thins = world.outlines.width.shape[1], world.strokes.thickness.shape[1]
    total = world.surfaces.offset.shape[1]
    planes = total - solids - thins
    points = []
    for k in range(total):
        surface = world.surfaces.part(k, k + 1)
        s, t, disparity = from_left(surface, grid_x[None, None], grid_y[None, None])
        inside = surface.active.expand_as(disparity)
        if k >= planes + solids:
            i = k - planes - solids
            inside = inside & world.strokes.inside(i, i + 1, s, t)
        elif k >= planes:
            inside = inside & world.outlines.inside(k - planes, k - planes + 1, s, t)
        kept = torch.where(inside, disparity, torch.nan)[scene, 0]
        points.append((grid_x.numpy(), kept.numpy()))
    return points


def forward_z_buffer(world: World, scene: int, *, step: float = 0.2) -> npt.NDArray[np.float32]:
    """Return the right view's disparity in bins of ``step`` pixels by throwing points forward."""
    bins = round(WIDTH / step)
    buffer = np.full((HEIGHT, bins), NOTHING, np.float32)
    for columns, disparity in outline_points(world, scene, step / 2):
        row, sample = np.nonzero(np.isfinite(disparity))
        depth = disparity[row, sample]
        target = np.floor((columns[row, sample] - depth) / step).astype(int)
        inside = (target >= 0) & (target < bins)
        np.maximum.at(buffer, (row[inside], target[inside]), depth[inside])
    return buffer


@pytest.mark.parametrize('seed', [3, 4])
def test_visibility_equals_a_forward_warped_z_buffer(seed: int) -> None:
    world = make_world(seed, batch=2)
    rows, columns = pixel_grid(2, HEIGHT, WIDTH, torch.device('cpu'))
    rays = Rays(columns, rows, right=False)
    hits = world.trace(rays)
    disparity, seen = hits.disparity, visibility(world, rays, hits).numpy()
    for scene in range(2):
        buffer = forward_z_buffer(world, scene)
        position = np.arange(WIDTH) - disparity[scene].numpy()
        within = (position >= 0) & (position <= WIDTH - 1)
        slot = np.clip(np.floor(position / 0.2).astype(int), 0, buffer.shape[1] - 1)
        nearest = np.take_along_axis(buffer, slot, axis=1)
        expected = within & (nearest <= disparity[scene].numpy() + 0.3)
        # A bin is 0.2 px wide, so only pixels at the very edge of an occluder may differ.
        assert (expected != seen[scene]).mean() < 0.01
        assert 0.02 < (~seen[scene]).mean() < 0.9


def test_nothing_matches_left_of_the_right_image() -> None:
    pairs = SceneGenerator(1, options=PLAIN, bank_size=6).batch(0, 4, HEIGHT, WIDTH)
    columns = torch.arange(WIDTH).expand_as(pairs.disparity)
    assert (pairs.visibility[columns < pairs.disparity] == 0).all()
    assert (pairs.disparity >= 0).all()
    assert (pairs.valid == 1).all()


def test_batches_depend_on_seed_and_index_alone() -> None:
    first = SceneGenerator(7, bank_size=6)
    first.batch(0, 2, HEIGHT, WIDTH)
    again = SceneGenerator(7, bank_size=6)
    a, b = (g.batch(3, 2, HEIGHT, WIDTH) for g in (first, again))
    other = again.batch(4, 2, HEIGHT, WIDTH)
    assert torch.equal(a.left, b.left)
    assert torch.equal(a.disparity, b.disparity)
    assert torch.equal(a.visibility, b.visibility)
    assert not torch.equal(a.disparity, other.disparity)
    assert not torch.equal(SceneGenerator(8, bank_size=6).batch(3, 2, HEIGHT, WIDTH).left, a.left)


def test_images_are_whole_gray_levels_within_range() -> None:
    pairs = SceneGenerator(2, bank_size=6).batch(0, 4, HEIGHT, WIDTH)
    for image in (pairs.left, pairs.right):
        assert image.shape == (4, 3, HEIGHT, WIDTH)
        assert image.min() >= 0
        assert image.max() <= 255
        assert (image - image.round()).abs().max() < 1e-3


def test_translucent_fronts_show_what_is_behind() -> None:
    options = SceneOptions(**{**vars(PLAIN), 'translucent_fraction': 1.0})
    world = make_world(1, options)
    assert world.translucent == 4
    behind = world.behind_translucent()
    rows, columns = pixel_grid(4, HEIGHT, WIDTH, torch.device('cpu'))
    front = world.trace(Rays(columns, rows, right=False))
    far = behind.trace(Rays(columns, rows, right=False))
    hidden = front.index == world.planes
    assert hidden.any()
    assert (far.index != world.planes).all()
    assert (far.disparity[hidden] < front.disparity[hidden]).all()
    assert world.surfaces.active[:, world.planes].all()


def test_disparities_spread_widely() -> None:
    scenes = SceneGenerator(3, options=PLAIN, bank_size=6)
    largest = [
        float(d.max()) for i in range(6) for d in scenes.batch(i, 4, HEIGHT, WIDTH).disparity
    ]
    assert min(largest) < 16
    assert max(largest) > 0.25 * WIDTH


def test_texture_look_up_is_linear_and_wraps_around() -> None:
    bank = torch.zeros(1, 4, 4, 3)
    bank[0, :, :, 0] = torch.tensor([0.0, 1.0, 2.0, 3.0])
    bank[0, :, :, 1] = torch.tensor([0.0, 10.0, 20.0, 30.0])[:, None]
    index = torch.zeros(3, dtype=torch.int64)
    color = look_up(bank, index, torch.tensor([1.25, 3.5, -0.5]), torch.tensor([2.5, 0.0, 3.75]))
    # Column 3.5 lies between 3 and 0 (wrapped); row 3.75 between 30 and 0: 30 * 0.25 = 7.5.
    assert torch.allclose(color[:, 0], torch.tensor([1.25, 1.5, 1.5]))
    assert torch.allclose(color[:, 1], torch.tensor([25.0, 0.0, 7.5]))
