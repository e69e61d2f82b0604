"""`s2m2 demo --view`, which `make demo VIEW=1` calls, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

from support.browser import (
    IMAGE_TOPIC,
    choose,
    opened_page,
    picture,
    printed_address,
    texts,
    wait_until,
)
from support.demo_room import HEIGHT, WIDTH
from support.processes import SOURCE, module_process

# The room is gray and light, the background dark.
LIGHT = 90
MANY = 2000


def test_the_demo_shows_its_live_cloud_and_images(room: Path, tmp_path: Path) -> None:
    options = {'source': room, 'calibration': room / 'calib.txt', 'output': tmp_path / 'out',
               'backend': 'sgbm', 'pairs': 1}  # fmt: skip
    command = ['demo', '--view', *(f'--{name}={value}' for name, value in options.items())]
    with module_process('s2m2_ros.cli.main', *command, merge_errors=True) as process:
        address = printed_address(process)
        with opened_page(address) as page:
            # Of the node that runs now, not of the file that the demo left.
            wait_until(page, lambda: f'sgbm float32, {WIDTH}x{HEIGHT}' in texts(page), 'the node')
            wait_until(
                page,
                lambda: re.search(r'/s2m2/points\s+[1-9][\d.]* Hz', texts(page)),
                'clouds at more than 1 Hz',
            )
            wait_until(page, lambda: (picture(page) > LIGHT).all(axis=2).sum() > MANY, 'a cloud')
            image = page.locator('img[src^="blob:"]')
            wait_until(page, lambda: image.count() == 1, 'the picture of the disparity')
            choose(page, IMAGE_TOPIC, '/camera/left/image_rect')
            wait_until(
                page, lambda: re.search(r'/camera/left/image_rect\s+[\d.]+ Hz', texts(page)),
                'the image of the camera',
            )  # fmt: skip
            page.goto(address.rsplit('/', 2)[0])
            assert 'Open the address that the viewer printed' in texts(page)
    assert process.returncode == 0


def test_make_demo_view_calls_it() -> None:
    makefile = (SOURCE / 'Makefile').read_text()
    assert 's2m2 demo $(if $(VIEW),--view)' in makefile
