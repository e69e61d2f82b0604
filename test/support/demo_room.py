"""One real room of the demo at half its size, so that the network takes a second on a CPU."""

from __future__ import annotations

from pathlib import Path

import cv2

from s2m2_ros.demo.rooms import fetch_rooms

WIDTH, HEIGHT = 320, 240


def write_room(folder: Path) -> None:
    """Write the pair and its calibration into a folder."""
    rooms = fetch_rooms()
    for side in ('left', 'right'):
        image = cv2.imread(str(rooms.folder / f'living_room_{side}.png'), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        half = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f'room_{side}.png'), half)
    # f = 451.034 / 2; pixel centers move as x' = (x + 0.5) / 2 - 0.5.
    camera = '[225.517 0 149.269; 0 225.517 127.333; 0 0 1]'
    (folder / 'calib.txt').write_text(f'cam0={camera}\ncam1={camera}\nbaseline=75\n')
