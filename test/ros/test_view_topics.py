"""`s2m2 view` beside a node, over real DDS: cloud, image, rates and diagnostics in a browser."""

from __future__ import annotations

import re

from support.browser import IMAGE_TOPIC, choose, opened_page, printed_address, texts, wait_until
from support.processes import module_process
from support.robot import robot


def rate_of(topic: str, text: str) -> float:
    """Return the rate that the page shows of a topic; 0 if it does not."""
    match = re.search(rf'{re.escape(topic)}\s+([\d.]+) Hz', text)
    return float(match[1]) if match else 0.0


def test_the_topics_of_a_node_appear_while_the_page_is_open() -> None:
    with robot(topics=('stats',)) as world:
        world.show()
        command = ('s2m2_ros.cli.main', 'view', '--namespace', world.namespace)
        with module_process(*command, merge_errors=True) as process:
            address = printed_address(process)
            # Nothing is subscribed to before, so the node idles.
            assert not world.outputs(topic='stats')
            with opened_page(address) as page:
                wait_until(page, lambda: ' of ' in texts(page), 'a cloud')
                wait_until(page, lambda: 'OK' in texts(page), 'diagnostics of the node')
                wait_until(page, lambda: 'sgbm float32, 160x120' in texts(page), 'the stats')
                # The organized cloud of the node gets its confidence from the image beside it.
                slider = page.get_by_role('slider').first
                wait_until(page, lambda: slider.get_attribute('aria-disabled') != 'true', 'sure')
                image = page.locator('img[src^="blob:"]')
                wait_until(page, lambda: image.count() == 1, 'the picture of the disparity')
                left = f'{world.namespace}/left/image_rect'
                choose(page, IMAGE_TOPIC, left)
                wait_until(page, lambda: rate_of(left, texts(page)), 'the image of the camera')
                wait_until(page, lambda: image.count() == 1, 'its picture')
                points = f'{world.namespace}/points'
                wait_until(page, lambda: rate_of(points, texts(page)), 'the rate of the clouds')
            # Closed: the subscriptions end, and with them the work of the node.
            world.wait_diagnostics(
                lambda e: any(
                    s['message'].startswith('idle: no subscribers') for s in e['statuses'].values()
                ),
                'an idle node',
                since=world.mark(),
            )
