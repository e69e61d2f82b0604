"""The page with the cloud in a real browser: what is drawn, and what its controls change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page

from s2m2_ros.io.images.image_files import write_ply
from s2m2_ros.viewer.cloud_viewer import CloudViewer
from s2m2_ros.viewer.topics_panel import Row, TopicsPanel
from support.browser import (
    COLOR,
    CONFIDENCE,
    choose,
    opened_page,
    picture,
    printed_address,
    set_slider,
    texts,
    wait_until,
)
from support.processes import module_process
from support.stereo_scene import BASELINE, CX_LEFT, CX_RIGHT, CY, FOCAL_LENGTH, PlaneScene

ROWS, COLUMNS = 80, 120
MANY = 200
COUNTS = re.compile(r'(\d+) of (\d+) points')


def two_halves() -> np.ndarray:
    """Return a wall at 2 m: its left half green and unsure, its right half red and sure."""
    y, x = np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLUMNS * 1j]
    records = np.zeros((ROWS * COLUMNS, 5), np.float32)
    records[:, 0], records[:, 1], records[:, 2] = x.ravel(), y.ravel(), 2
    color = np.zeros((ROWS * COLUMNS, 4), np.uint8)
    is_right = x.ravel() > 0
    color[~is_right, 1] = 255
    color[is_right, 2] = 255
    records[:, 3] = color.view(np.float32)[:, 0]
    records[:, 4] = np.where(is_right, 0.9, 0.2)
    return records


def count(page: Page, color: str) -> int:
    """Return the pixels of which this color channel stands out."""
    pixels = picture(page)
    channel = 'rgb'.index(color)
    others = np.delete(pixels, channel, axis=2).max(axis=2)
    return int((pixels[..., channel] > others + 60).sum())


def shown_points(page: Page) -> int:
    """Return how many points the page says that it shows."""
    match = COUNTS.search(texts(page))
    assert match
    return int(match[1])


@pytest.fixture
def viewer(tmp_path: Path) -> Iterator[CloudViewer]:
    write_ply(tmp_path / 'cloud.ply', two_halves(), with_confidence=True)
    with CloudViewer(tmp_path / 'cloud.ply', port=0) as opened:
        yield opened


def test_a_cloud_appears_turns_and_follows_its_controls(viewer: CloudViewer) -> None:
    with opened_page(viewer.address) as page:
        wait_until(page, lambda: min(count(page, 'r'), count(page, 'g')) > MANY, 'both halves')
        assert f'{ROWS * COLUMNS} of {ROWS * COLUMNS} points' in texts(page)
        # Green is left, red is right, as the camera sees them.
        pixels = picture(page)
        is_red = pixels[..., 0] > pixels[..., 1] + 60
        is_green = pixels[..., 1] > pixels[..., 0] + 60
        assert np.nonzero(is_green)[1].max() <= np.nonzero(is_red)[1].min() + 5

        # Confidence: 0.2 is removed, 0.9 stays.
        slider = page.get_by_role('slider').first
        set_slider(page, CONFIDENCE, 0.5)
        wait_until(page, lambda: count(page, 'g') == 0, 'the end of the unsure half')
        assert count(page, 'r') > MANY
        assert f'{ROWS * COLUMNS // 2} of {ROWS * COLUMNS} points' in texts(page)
        slider.press('Home')
        wait_until(page, lambda: count(page, 'g') > MANY, 'the unsure half')

        # Color: turbo is blue for 0.2, red for 0.9.
        choose(page, COLOR, 'confidence')
        wait_until(page, lambda: count(page, 'b') > MANY and not count(page, 'g'), 'blue')
        assert count(page, 'r') > MANY
        choose(page, COLOR, 'image')
        wait_until(page, lambda: count(page, 'g') > MANY, 'the colors of the image')

        # Turned by a drag, the camera keeps its distance to what it looks at.
        (client,) = viewer.page.viser.get_clients().values()
        before, first = np.array(client.camera.position), picture(page)
        target = np.array(client.camera.look_at)
        page.mouse.move(450, 450)
        page.mouse.down()
        page.mouse.move(250, 420, steps=5)
        page.mouse.up()
        wait_until(
            page,
            lambda: np.linalg.norm(np.array(client.camera.position) - before) > 0.5,
            'another position of the camera',
        )
        distances = [
            np.linalg.norm(p - target) for p in (before, np.array(client.camera.position))
        ]
        assert distances[1] == pytest.approx(distances[0], rel=0.05)
        assert np.abs(picture(page) - first).mean() > 2
        assert count(page, 'r') + count(page, 'g') > MANY


def test_without_the_token_the_browser_shows_what_to_do(viewer: CloudViewer) -> None:
    with opened_page(viewer.address[:-3] + 'xx/') as page:
        assert 'Open the address that the viewer printed' in texts(page)
        assert page.locator('canvas').count() == 0


def test_texts_of_peers_are_shown_and_never_executed(viewer: CloudViewer) -> None:
    evil = '<img src=x onerror="window.hacked = 1"><script>window.hacked = 2</script>{1+1}'
    panel = TopicsPanel(viewer.page)
    panel.show_node([Row(('WARN', evil, f'a message {evil}'), 'darkorange')])
    panel.show_topics([Row((evil, '1.0 Hz'))])
    panel.offer_images([f'/{evil}'], f'/{evil}')
    with opened_page(viewer.address) as page:
        wait_until(page, lambda: f'a message {evil}' in texts(page), 'the message')
        assert page.locator('img[src="x"]').count() == 0
        assert page.evaluate('window.hacked') is None


def test_match_with_view_opens_what_it_made(tmp_path: Path) -> None:
    for name, image in zip(('left', 'right'), PlaneScene().images(), strict=True):
        cv2.imwrite(str(tmp_path / f'{name}.png'), image)
    (tmp_path / 'calib.txt').write_text(
        f'cam0=[{FOCAL_LENGTH} 0 {CX_LEFT}; 0 {FOCAL_LENGTH} {CY}; 0 0 1]\n'
        f'cam1=[{FOCAL_LENGTH} 0 {CX_RIGHT}; 0 {FOCAL_LENGTH} {CY}; 0 0 1]\n'
        f'doffs={CX_RIGHT - CX_LEFT}\nbaseline={BASELINE * 1000}\n'
    )
    arguments = [str(tmp_path / name) for name in ('left.png', 'right.png')]
    arguments += ['--calibration', str(tmp_path / 'calib.txt'), '--output', str(tmp_path / 'out')]
    command = ('s2m2_ros.cli.main', 'match', *arguments, '--backend', 'sgbm', '--view')
    with module_process(*command) as process, opened_page(printed_address(process)) as page:
        counts = wait_until(page, lambda: COUNTS.search(texts(page)), 'a cloud')
        # The file holds the confidence of its points: above 0.5, the default of match.
        assert counts[1] == counts[2]
        slider = page.get_by_role('slider').first
        assert slider.get_attribute('aria-disabled') == 'false'
        slider.press('End')
        wait_until(page, lambda: shown_points(page) < int(counts[1]), 'fewer points')
