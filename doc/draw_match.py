"""Draw doc/match_result.jpg: what `s2m2 match` writes of one pair of the demo.

Usage: underlay/run python doc/draw_match.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import trimesh

from s2m2_ros.cli.main import main
from s2m2_ros.demo.render import View, render
from s2m2_ros.demo.rooms import fetch_rooms

OUTPUT = Path(__file__).parent / 'match_result.jpg'
SCENE = 'cycles'
QUALITY = 85


def read(path: Path) -> np.ndarray:
    """Return an image file as bgr8."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR))


def picture() -> np.ndarray:
    """Return the left image, disparity, confidence and cloud of the scene, bgr, in two rows."""
    rooms = fetch_rooms()
    left, right = (rooms.folder / f'{SCENE}_{side}.png' for side in ('left', 'right'))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        main(['match', str(left), str(right), '--calibration', str(rooms.calibration),
              '--output', name])  # fmt: skip
        image = read(left)
        disparity = read(next(folder.rglob('disparity_color.png')))
        confidence = read(next(folder.rglob('confidence.png')))
        cloud = trimesh.load(next(folder.rglob('cloud.ply')))
    seen = render(np.asarray(cloud.vertices, np.float32), np.asarray(cloud.colors)[:, :3], View())
    seen = cv2.resize(seen, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
    return np.vstack([np.hstack([image, disparity]), np.hstack([confidence, seen])])


if __name__ == '__main__':
    whole = picture()
    half = cv2.resize(whole, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(OUTPUT), half, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
