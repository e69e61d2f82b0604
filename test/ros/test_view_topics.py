"""`s2m2 view` beside a node, over real DDS: cloud, image, rates and diagnostics in a browser."""

from __future__ import annotations

from support.browser import IMAGE_TOPIC, choose, opened_page, printed_address, texts, wait_until
from support.processes import module_process
from support.robot import robot


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
                assert 'sgbm, float32' in texts(page)
                # The organized cloud of the node gets its confidence from the image beside it.
                slider = page.get_by_role('slider').first
                wait_until(page, lambda: slider.get_attribute('aria-disabled') != 'true', 'sure')
                for _ in range(2):
                    image = page.locator('img[src^="blob:"]')
                    wait_until(page, lambda i=image: i.count() == 1, 'the image')
                    choose(page, IMAGE_TOPIC, f'{world.namespace}/left/image_rect')
                line = f'{world.namespace}/points'
                wait_until(
                    page, lambda: f'{line}\t0.0' not in texts(page) and line in texts(page), 'Hz'
                )
            # Closed: the subscriptions end, and with them the work of the node.
            world.wait_diagnostics(
                lambda e: any(
                    s['message'] == 'idle: no subscribers' for s in e['statuses'].values()
                ),
                'an idle node',
                since=world.mark(),
            )
