"""Render furnished interiors to a folder that `s2m2 train --data FOLDER` reads.

    apt-get download sweethome3d-furniture && dpkg-deb -x sweethome3d-furniture_*.deb furniture
    python -m benchmark.render_scenes FOLDER --size 2000x256x512 \
        --furniture furniture/usr/share/sweethome3d/furniture/*.sh3f --textures IMAGES

It needs moderngl (`pip install 's2m2_ros[rendering]'`) and OpenGL without a display (Debian:
libegl1, libgl1-mesa-dri). With --path-traced 12 the images are Blender's, which look real and
take some 10 s each on two cores (`pip install bpy`): for validation. CREDITS.txt in the folder
names the authors of the models: repeat them beside weights that were trained on the pairs.
See doc/fine_tuning.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmark.path_tracer import PathTracer
from s2m2_ros.cli.sizes import three_numbers
from s2m2_ros.training.procedural.photographs import read_photographs
from s2m2_ros.training.rendered.folder import PAIRS_PER_ROOM, render_pairs, write_folder
from s2m2_ros.training.rendered.furniture import find_pieces
from s2m2_ros.training.rendered.geometry import Texture
from s2m2_ros.training.rendered.renderer import Renderer
from s2m2_ros.training.rendered.truth import Camera


def read_textures(folder: Path | None) -> list[Texture]:
    """Return the images of a folder, (H, W, 3) RGB."""
    if folder is None:
        return []
    images = (image.permute(1, 2, 0).numpy() for image in read_photographs(folder))
    return [np.rint(255 * image).astype(np.uint8) for image in images]


def main(words: Sequence[str] | None = None) -> None:
    """Render; print how many pairs per second it makes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path, help='where the pairs are written')
    parser.add_argument('--furniture', type=Path, nargs='+', required=True, help='.sh3f files')
    parser.add_argument('--textures', type=Path, help='folder of images for walls and floors')
    parser.add_argument('--size', default='100x256x512', help='COUNTxHEIGHTxWIDTH')
    parser.add_argument('--seed', type=int, default=0, help='other seeds give other interiors')
    parser.add_argument('--pieces', type=int, default=100, help='models drawn from the libraries')
    parser.add_argument('--pairs-per-room', type=int, default=PAIRS_PER_ROOM)
    parser.add_argument(
        '--path-traced', type=int, metavar='PATHS', help="Blender's images: paths per pixel"
    )
    arguments = parser.parse_args(words)
    count, height, width = three_numbers(arguments.size)
    every = find_pieces(arguments.furniture)
    random = np.random.default_rng(arguments.seed)
    chosen = random.choice(len(every), min(arguments.pieces, len(every)), replace=False)
    textures = read_textures(arguments.textures)
    started = time.monotonic()
    camera = Camera(width, height, float(width))
    with ExitStack() as opened:
        paths = arguments.path_traced
        tracer = opened.enter_context(PathTracer(camera, samples=paths)) if paths else None
        pairs = render_pairs(
            opened.enter_context(Renderer(camera)),
            [every[i] for i in chosen],
            textures,
            count=count,
            seed=arguments.seed,
            painter=tracer,
            pairs_per_room=arguments.pairs_per_room,
        )
        for done in write_folder(arguments.folder, pairs):
            if done % 100 == 0 or done == count:
                rate = done / (time.monotonic() - started)
                print(f'{done} of {count} pairs, {rate:.1f} per second', flush=True)


if __name__ == '__main__':
    main()
