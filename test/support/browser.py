"""The viewer's page in a real browser: Debian's Chromium, without a window, through Playwright."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import FloatRect, Page, sync_playwright

from support.transcript import PATIENCE

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
MISSING = (
    f'no browser ({", ".join(BROWSERS)}) is installed, so the page was not tested in one: '
    '`sudo apt-get install chromium`'
)
# WebGL on the processor; the sandbox needs privileges that containers lack.
OPTIONS = (
    '--use-angle=swiftshader',
    '--enable-unsafe-swiftshader',
    '--ignore-gpu-blocklist',
    '--no-sandbox',
)
WIDTH, HEIGHT = 900, 600
# The drop-down lists of the page, in their order.
COLOR, IMAGE_TOPIC = 0, 1
# Its sliders.
CONFIDENCE, POINT_SIZE = 0, 1
# Where neither controls nor notes cover the cloud.
CLOUD: FloatRect = {'x': 0, 'y': 300, 'width': 560, 'height': 300}
ADDRESS = re.compile(r'http://127\.0\.0\.1:\d+/[\w-]+/')


@contextmanager
def opened_page(address: str) -> Iterator[Page]:
    """Open an address; skips the test where no browser is installed."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        page = browser.new_page(viewport={'width': WIDTH, 'height': HEIGHT})
        page.set_default_timeout(PATIENCE * 1000)
        try:
            page.goto(address)
            yield page
        finally:
            browser.close()


def printed_address(process: subprocess.Popen[str]) -> str:
    """Return the address that a command prints, and let it write on."""
    assert process.stdout is not None
    for line in process.stdout:
        if match := ADDRESS.search(line):
            return match[0]
    raise AssertionError(f'the process ended ({process.wait()}) without an address')


def wait_until(page: Page, suits: Callable[[], Any], what: str) -> Any:
    """Return what `suits` returns once that is true; the page goes on meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while not (found := suits()):
        assert time.monotonic() < deadline, f'never came: {what}; the page says\n{texts(page)}'
        page.wait_for_timeout(100)
    return found


def texts(page: Page) -> str:
    """Return what can be read on the page."""
    return page.inner_text('body')


def picture(page: Page) -> np.ndarray:
    """Return the pixels of the cloud, RGB (H, W, 3), without controls."""
    content = np.frombuffer(page.screenshot(clip=CLOUD), np.uint8)
    pixels = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels[..., ::-1].astype(int)


def choose(page: Page, which: int, option: str) -> None:
    """Choose an option of one of the drop-down lists, by their order on the page."""
    page.locator('input[role=combobox]:visible').nth(which).click()
    page.get_by_role('option', name=option, exact=True).click()


def set_slider(page: Page, which: int, value: float) -> None:
    """Type a value into the field beside one of the sliders."""
    field = page.locator('input[inputmode=decimal]:visible').nth(which)
    field.fill(f'{value:g}')
    field.press('Enter')
