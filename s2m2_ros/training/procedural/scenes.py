"""Procedural stereo scenes with exact sub-pixel disparity and exact visibility, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from s2m2_ros.training.batch import StereoBatch
from s2m2_ros.training.options import TrainOptions
from s2m2_ros.training.procedural.appearance import Appearance, draw_appearance, shade
from s2m2_ros.training.procedural.photometric import augment
from s2m2_ros.training.procedural.placement import SceneOptions, draw_world
from s2m2_ros.training.procedural.seeded_random import SeededRandom
from s2m2_ros.training.procedural.surfaces import Hits, Rays, World
from s2m2_ros.training.procedural.textures import make_bank, photograph_patches

VISIBLE_TOLERANCE = 1e-2
"""Disparities closer than this, in pixels, belong to one surface seen from both views."""

BANK_LIFE = 1000
"""Batches drawn from one bank of textures before the next bank is made."""

PHOTOGRAPH_SHARE = 0.4
"""Textures of a bank that are patches of photographs, where there are photographs."""


def scene_options(options: TrainOptions) -> SceneOptions:
    """Return the scenes that a training run asks for."""
    return SceneOptions(
        objects=options.objects,
        widest_range=options.widest_range,
        texture_scale=options.texture_scale,
        negative_fraction=0.05 if options.allow_negative else 0.0,
    )


class SceneGenerator:
    """Make batches of scenes; batch ``index`` depends on the seed and the index alone."""

    def __init__(
        self,
        seed: int,
        *,
        options: SceneOptions | None = None,
        device: torch.device | str = 'cpu',
        bank_size: int = 96,
        photographs: Sequence[Tensor] = (),
    ) -> None:
        """Take ``photographs`` (3, H, W), 0..1, for a part of the textures, if there are any."""
        self.seed = seed
        self.options = options or SceneOptions()
        self.device = torch.device(device)
        self.bank_size = bank_size
        self.photographs = [photograph.to(self.device) for photograph in photographs]
        self._bank: Tensor | None = None
        self._bank_number = -1

    @torch.no_grad()
    def batch(self, index: int, batch_size: int, height: int, width: int) -> StereoBatch:
        """Return batch ``index``; height and width are multiples of 8, in pixels."""
        random = SeededRandom(self.seed, index, device=self.device)
        bank = self._texture_bank(index)
        world = draw_world(random, batch_size, height, width, options=self.options)
        appearance = draw_appearance(random, world, bank.shape[0], options=self.options)
        lowest = -torch.inf if self.options.negative_fraction > 0 else 0.0
        frame = ViewOptions(height, width, self.options.vertical_error_fraction, lowest)
        scene = render(world, appearance, bank, random, frame)
        if not self.options.photometric:
            return scene
        left, right = augment(scene.left / 255, scene.right / 255, random)
        return replace(scene, left=left * 255, right=right * 255)

    def _texture_bank(self, index: int) -> Tensor:
        number = index // BANK_LIFE
        if self._bank is None or number != self._bank_number:
            random = SeededRandom(self.seed, (1 << 40) + number, device=self.device)
            taken = round(PHOTOGRAPH_SHARE * self.bank_size) if self.photographs else 0
            drawn = make_bank(random, count=self.bank_size - taken)
            if taken:
                patches = photograph_patches(random, self.photographs, count=taken)
                drawn = torch.cat([drawn, patches])
            self._bank = drawn
            self._bank_number = number
        return self._bank


@dataclass(frozen=True)
class ViewOptions:
    """What the two cameras record."""

    height: int
    width: int
    vertical_error_fraction: float = 0.0
    lowest: float = 0.0
    """Smallest disparity that counts as valid, pixels."""


def render(
    world: World, appearance: Appearance, bank: Tensor, random: SeededRandom, frame: ViewOptions
) -> StereoBatch:
    """Return both views of B scenes, before any camera's imperfections, and their truth.

    The rows of the right view are those of a camera with a small vertical error, where the
    frame asks for one; the disparity along the row is not touched by it.
    """
    batch = world.surfaces.offset.shape[0]
    rows, columns = pixel_grid(batch, frame.height, frame.width, random.device)
    left = Rays(columns, rows, right=False)
    hits = world.trace(left)
    error = vertical_error(random, columns, fraction=frame.vertical_error_fraction)
    right = Rays(columns, rows + error, right=True)
    disparity = hits.disparity[:, None]
    return StereoBatch(
        left=255 * shade(world, appearance, bank, left, hits),
        right=255 * shade(world, appearance, bank, right, world.trace(right)),
        disparity=disparity,
        visibility=visibility(world, left, hits)[:, None].float(),
        valid=(disparity >= frame.lowest).float(),
        labeled=torch.ones_like(disparity),
    )


def visibility(world: World, left: Rays, hits: Hits) -> Tensor:
    """Return which left pixels (B, H, W) the right view shows.

    A point is seen if it lies within the right image and the ray of the right camera through
    its exact, fractional position meets no nearer surface.
    """
    position = left.columns - hits.disparity
    nearest = world.trace(Rays(position, left.rows, right=True)).disparity
    within = (position >= 0) & (position <= left.columns.shape[2] - 1)
    return within & (nearest <= hits.disparity + VISIBLE_TOLERANCE)


def vertical_error(random: SeededRandom, columns: Tensor, *, fraction: float) -> Tensor:
    """Return by how many pixels the right view's rows are off, (B, H, W).

    In ``fraction`` of the scenes: up to 1.5 px everywhere and a rotation of up to 0.15 degrees.
    """
    batch, _, width = columns.shape
    chosen = random.chance((batch, 1, 1), fraction).float()
    shift = random.uniform((batch, 1, 1), -1.0, 1.0) * random.uniform((batch, 1, 1), 0.0, 1.5)
    turn = random.uniform((batch, 1, 1), -0.0026, 0.0026)
    return chosen * (shift + turn * (columns - width / 2))


def pixel_grid(batch: int, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the row and the column of every pixel, both (B, H, W) float32."""
    rows = torch.arange(height, device=device, dtype=torch.float32)
    columns = torch.arange(width, device=device, dtype=torch.float32)
    shape = (batch, height, width)
    return rows[:, None].expand(shape), columns.expand(shape)
