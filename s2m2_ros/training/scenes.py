"""Procedural stereo scenes with exact sub-pixel disparity and exact visibility, in batches."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from s2m2_ros.training.batch import StereoBatch
from s2m2_ros.training.dice import Dice
from s2m2_ros.training.options import TrainOptions
from s2m2_ros.training.paint import Paint, draw_paint, shade
from s2m2_ros.training.photometric import augment
from s2m2_ros.training.placement import SceneOptions, draw_world
from s2m2_ros.training.surfaces import World
from s2m2_ros.training.textures import make_bank


def scene_options(options: TrainOptions) -> SceneOptions:
    """Return the scenes that a training run asks for."""
    return SceneOptions(
        objects=options.objects,
        widest_range=options.widest_range,
        negative_share=0.05 if options.allow_negative else 0.0,
    )


VISIBLE_TOLERANCE = 1e-2
"""Disparities closer than this, in pixels, belong to one surface seen from both views."""

BANK_LIFE = 1000
"""Batches drawn from one bank of textures before the next bank is made."""


class SceneGenerator:
    """Make batches of scenes; batch ``index`` depends on the seed and the index alone."""

    def __init__(
        self,
        seed: int,
        *,
        options: SceneOptions | None = None,
        device: torch.device | str = 'cpu',
        bank_size: int = 96,
    ) -> None:
        self.seed = seed
        self.options = options or SceneOptions()
        self.device = torch.device(device)
        self.bank_size = bank_size
        self._bank: Tensor | None = None
        self._bank_number = -1

    @torch.no_grad()
    def batch(self, index: int, batch_size: int, height: int, width: int) -> StereoBatch:
        """Return batch ``index``; height and width are multiples of 8, in pixels."""
        dice = Dice(self.seed, index, device=self.device)
        bank = self._texture_bank(index)
        world = draw_world(dice, batch_size, height, width, options=self.options)
        paint = draw_paint(dice, world, bank.shape[0], options=self.options)
        scene = render(world, paint, bank, dice, height, width, options=self.options)
        if not self.options.photometric:
            return scene
        left, right = augment(scene.left / 255, scene.right / 255, dice)
        return replace(scene, left=left * 255, right=right * 255)

    def _texture_bank(self, index: int) -> Tensor:
        number = index // BANK_LIFE
        if self._bank is None or number != self._bank_number:
            dice = Dice(self.seed, (1 << 40) + number, device=self.device)
            self._bank = make_bank(dice, count=self.bank_size)
            self._bank_number = number
        return self._bank


def render(
    world: World,
    paint: Paint,
    bank: Tensor,
    dice: Dice,
    height: int,
    width: int,
    *,
    options: SceneOptions,
) -> StereoBatch:
    """Return both views of B scenes, before any camera's imperfections, and their truth.

    The rows of the right view are those of a camera with a small vertical error, where the
    options ask for one; the disparity along the row is not touched by it.
    """
    batch = world.surfaces.offset.shape[0]
    rows, columns = pixel_grid(batch, height, width, dice.device)
    chunk = 8 if dice.device.type == 'cuda' else 1
    hits = world.trace(columns, rows, right=False, chunk=chunk)
    left = shade(world, paint, bank, columns, rows, hits, right=False)
    right_rows = rows + vertical_error(dice, columns, rows, share=options.vertical_error_share)
    right_hits = world.trace(columns, right_rows, right=True, chunk=chunk)
    right = shade(world, paint, bank, columns, right_rows, right_hits, right=True)
    visible = visibility(world, columns, rows, hits.disparity, chunk=chunk)
    disparity = hits.disparity[:, None]
    lowest = -torch.inf if options.negative_share > 0 else 0.0
    return StereoBatch(
        left=left * 255,
        right=right * 255,
        disparity=disparity,
        visibility=visible[:, None].float(),
        valid=(disparity >= lowest).float(),
        labelled=torch.ones_like(disparity),
    )


def visibility(
    world: World, columns: Tensor, rows: Tensor, disparity: Tensor, *, chunk: int = 8
) -> Tensor:
    """Return which left pixels (B, H, W) the right view shows.

    A point is seen if it lies within the right image and the ray of the right camera through
    its exact, fractional position meets no nearer surface.
    """
    position = columns - disparity
    nearest = world.trace(position, rows, right=True, chunk=chunk).disparity
    within = (position >= 0) & (position <= columns.shape[2] - 1)
    return within & (nearest <= disparity + VISIBLE_TOLERANCE)


def vertical_error(dice: Dice, columns: Tensor, rows: Tensor, *, share: float) -> Tensor:
    """Return by how many pixels the right view's rows are off, (B, H, W).

    In ``share`` of the scenes: up to 1.5 px everywhere and a rotation of up to 0.15 degrees.
    """
    batch, _, width = columns.shape
    chosen = dice.chance((batch, 1, 1), share).float()
    shift = dice.uniform((batch, 1, 1), -1.0, 1.0) * dice.uniform((batch, 1, 1), 0.0, 1.5)
    turn = dice.uniform((batch, 1, 1), -0.0026, 0.0026)
    return chosen * (shift + turn * (columns - width / 2)) + 0.0 * rows


def pixel_grid(batch: int, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the row and the column of every pixel, both (B, H, W) float32."""
    rows = torch.arange(height, device=device, dtype=torch.float32)
    columns = torch.arange(width, device=device, dtype=torch.float32)
    shape = (batch, height, width)
    return rows[:, None].expand(shape), columns.expand(shape)
