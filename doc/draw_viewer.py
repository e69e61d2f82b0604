"""Draw doc/live_cloud.webp: the page of `make demo VIEW=1` in a browser, turned with the mouse.

Usage: underlay/run env PYTHONPATH=test python doc/draw_viewer.py

Needs Chromium; see CONTRIBUTING.md. The pictures are taken as fast as this machine draws and
matches (four minutes on two cores without a graphics card), and shown faster.
"""

from __future__ import annotations

import io
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from s2m2_ros.demo.rooms import fetch_rooms
from support import browser
from support.processes import module_process

OUTPUT = Path(__file__).parent / 'live_cloud.webp'
WINDOW = {'width': 1120, 'height': 640}
SIZE = 896, 512
# Frames with the colors of the camera, then with those of the distance.
FRAMES = 22
STEP = 5  # pixels of the mouse between two frames
MIDDLE = 400, 400
MILLISECONDS = 130
SCENE = 'toy'
QUALITY = 55


def frames(page: Page) -> Iterator[Image.Image]:
    """Yield pictures of the page while the mouse drags the cloud from side to side."""
    x, y = MIDDLE
    for color in ('image', 'distance'):
        browser.choose(page, browser.COLOR, color)
        page.mouse.move(x, y)
        page.mouse.down()
        for number in range(FRAMES):
            # To one side, then to the other and back.
            side = min(number, FRAMES - number) - FRAMES // 4
            page.mouse.move(x + STEP * side, y)
            page.wait_for_timeout(100)
            yield Image.open(io.BytesIO(page.screenshot())).convert('RGB').resize(SIZE)
        page.mouse.up()


def draw() -> list[Image.Image]:
    """Run the demo and return the frames."""
    rooms = fetch_rooms()
    with tempfile.TemporaryDirectory() as name:
        scene = Path(name, 'scene')
        scene.mkdir()
        for image in rooms.folder.glob(f'{SCENE}_*'):
            shutil.copy(image, scene)
        command = ('demo', '--view', '--pairs', '1', '--preset', 'fast', '--source', str(scene),
                   '--calibration', str(rooms.calibration), '--output', f'{name}/out')  # fmt: skip
        with (
            module_process('s2m2_ros.cli.main', *command, merge_errors=True) as process,
            browser.opened_page(browser.printed_address(process)) as page,
        ):
            page.set_viewport_size(WINDOW)  # type: ignore[arg-type]
            browser.wait_until(
                page,
                lambda: re.search(r'points\s+[\d.]*[1-9]\d* Hz', browser.texts(page)),
                'clouds',
            )
            # The note that the browser draws without a graphics card.
            note = page.locator('.mantine-Notification-closeButton')
            if note.count():
                note.first.click()
            return list(frames(page))


if __name__ == '__main__':
    first, *rest = draw()
    first.save(OUTPUT, save_all=True, append_images=rest, duration=MILLISECONDS, loop=0,
               quality=QUALITY, method=4)  # fmt: skip
