"""Write rendered pairs to a folder in the layout of Middlebury 2014, which training reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from s2m2_ros.io.images.image_files import write_pfm, write_png
from s2m2_ros.training.rendered.furniture import Piece
from s2m2_ros.training.rendered.geometry import FloatArray, Texture
from s2m2_ros.training.rendered.renderer import Pose, Renderer, look_at
from s2m2_ros.training.rendered.room import Room, draw_room
from s2m2_ros.training.rendered.truth import disparity_of, visibility_of

Image = npt.NDArray[np.uint8]

PAIRS_PER_ROOM = 12
POSES_TRIED = 20
VIEW_ANGLES = (45.0, 100.0)
"""Degrees that the width of the images spans."""

NEAREST = 0.3
"""Meters; a camera closer to something than that is placed elsewhere."""

NEAR_FRACTION = 0.02
"""Of the pixels that may be nearer."""

CREDITS = 'CREDITS.txt'
HIDDEN, SHOWN = 128, 255
"""Values of mask0nocc.png, as Middlebury has them."""


@dataclass(frozen=True, eq=False)
class RenderedPair:
    """One pair with its truth; images (H, W, 3) RGB, maps (H, W)."""

    left: Image
    right: Image
    disparity: FloatArray
    """Pixels."""
    visible: npt.NDArray[np.bool_]
    baseline: float
    """Meters."""


class Painter(Protocol):
    """What makes the images of a room, where it is not the renderer itself."""

    def set_focal_length(self, pixels: float) -> None:
        """Zoom to a focal length in pixels."""

    def load(self, room: Room, *, exposure: float) -> None:
        """Take a room in place of the one before."""

    def views(self, poses: Sequence[Pose]) -> list[Image]:
        """Return images (H, W, 3) RGB of one exposure, without noise."""


def render_pairs(
    renderer: Renderer,
    pieces: Sequence[Piece],
    textures: Sequence[Texture],
    *,
    count: int,
    seed: int,
    widest_range: float = 0.4,
    painter: Painter | None = None,
    pairs_per_room: int = PAIRS_PER_ROOM,
) -> Iterator[tuple[RenderedPair, Room]]:
    """Yield pairs of interiors drawn from a seed, with images by ``painter`` if there is one.

    The largest disparity of a pair is log-uniform from 12 px to ``widest_range`` of the width.
    """
    done = room_number = 0
    while done < count:
        random = np.random.default_rng((seed, room_number))
        room = draw_room(random, pieces, textures)
        angle = math.radians(random.uniform(*VIEW_ANGLES))
        exposure = float(random.uniform(0.6, 1.3))
        for taking in (renderer, painter) if painter else (renderer,):
            taking.set_focal_length(renderer.camera.width / 2 / math.tan(angle / 2))
            taking.load(room, exposure=exposure)
        for _ in range(min(pairs_per_room, count - done)):
            yield _pair(renderer, painter or renderer, random, room, widest_range), room
            done += 1
        room_number += 1


def _pair(
    renderer: Renderer,
    painter: Painter,
    random: np.random.Generator,
    room: Room,
    widest_range: float,
) -> RenderedPair:
    camera = renderer.camera
    pose, inverse = _free_pose(renderer, random, room)
    smallest = min(12.0, widest_range * camera.width)
    reach = math.exp(random.uniform(math.log(smallest), math.log(widest_range * camera.width)))
    nearest = float(np.quantile(inverse, 1 - NEAR_FRACTION))
    baseline = reach / (camera.focal_length * max(nearest, 0.05))
    other = pose.shifted(baseline)
    scale = {'focal_length': camera.focal_length, 'baseline': baseline}
    disparity = disparity_of(inverse, **scale)
    right = disparity_of(renderer.inverse_depth(other, wide=True), **scale)
    noise = random.uniform(0.0, 1.0, 2) ** 2 * (0.02, 0.01)
    left_image, right_image = (
        add_noise(view, random, shot=noise[0], read=noise[1])
        for view in painter.views((pose, other))
    )
    return RenderedPair(
        left_image, right_image, disparity, visibility_of(disparity, right), baseline
    )


def _free_pose(
    renderer: Renderer, random: np.random.Generator, room: Room
) -> tuple[Pose, FloatArray]:
    """Return a pose that is not within or right before something, and its inverse depth."""
    found: list[tuple[float, Pose, FloatArray]] = []
    while len(found) < POSES_TRIED:
        center = np.float32(random.uniform((0.1, 0.15, 0.1), (0.9, 0.75, 0.9)) * room.size)
        target = np.float32(random.uniform((0.1, 0.0, 0.1), (0.9, 0.6, 0.9)) * room.size)
        if np.linalg.norm((target - center)[[0, 2]]) < 1.0:
            continue
        pose = look_at(center, target, roll=float(random.normal(0, 0.03)))
        inverse = renderer.inverse_depth(pose)
        near = float((inverse > 1 / NEAREST).mean())
        found.append((near, pose, inverse))
        if near <= NEAR_FRACTION:
            break
    return min(found, key=lambda one: one[0])[1:]


def add_noise(image: Image, random: np.random.Generator, *, shot: float, read: float) -> Image:
    """Return the image with a sensor's noise.

    ``shot`` is the standard deviation at full scale, which falls with the square root of the
    signal; ``read`` that of black; both as fractions of full scale.
    """
    signal = image.astype(np.float32) / 255
    deviation = np.sqrt(shot**2 * signal + read**2)
    noisy = signal + random.standard_normal(image.shape, np.float32) * deviation
    return np.rint(255 * noisy).clip(0, 255).astype(np.uint8)


def write_folder(folder: Path, pairs: Iterator[tuple[RenderedPair, Room]]) -> Iterator[int]:
    """Write pairs, and whose models they show, to a folder; yields the number written so far.

    Each pair is a folder ``00000``, ... of ``im0.png``, ``im1.png``, ``disp0.pfm`` (pixels) and
    ``mask0nocc.png`` (255 visible in both views, 128 only in the left one).
    """
    creators: dict[str, set[str]] = {}
    for number, (pair, room) in enumerate(pairs):
        scene = folder / f'{number:05d}'
        scene.mkdir(parents=True, exist_ok=True)
        write_png(scene / 'im0.png', pair.left)
        write_png(scene / 'im1.png', pair.right)
        write_pfm(scene / 'disp0.pfm', pair.disparity)
        write_png(scene / 'mask0nocc.png', np.where(pair.visible, SHOWN, HIDDEN).astype(np.uint8))
        for piece in room.pieces:
            creators.setdefault(piece.library.stem, set()).add(piece.creator)
        yield number + 1
    lines = [f'{name}: {", ".join(sorted(names))}' for name, names in sorted(creators.items())]
    (folder / CREDITS).write_text('\n'.join(['Models of furniture by', *lines, '']), 'utf-8')
