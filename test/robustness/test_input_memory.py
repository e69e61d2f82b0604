"""Images that wait for a silent eye take bounded memory, however long the queue may be."""

from __future__ import annotations

from typing import Any

from support.camera_bench import IMAGES, INFOS, CameraBench, camera_bench

RATE = 60.0
WIDTH, HEIGHT = 1280, 720
IMAGE_BYTES = 3 * WIDTH * HEIGHT
# What the node may keep of images that wait, by its documentation; and what else it may take:
# a few images on their way through the middleware, and what the allocator keeps of them.
LIMIT, SLACK = 256 * 2**20, 100 * 2**20


def own_memory(bench: CameraBench) -> int:
    """Return the node's bytes without segments that it shares with other processes."""
    return bench.node.memory() - bench.node.shared_memory()


def test_a_silent_eye_and_a_long_queue() -> None:
    with camera_bench() as bench:
        bench.listen()
        bench.start_node(sync_queue_size=1000)
        camera = bench.start_camera()
        camera.call('show', width=WIDTH, height=HEIGHT)
        camera.call('advertise', topics=[*IMAGES, *INFOS])
        since = bench.mark()
        camera.call('stream', topics=[*IMAGES, *INFOS], rate=5.0)
        bench.wait_output(since=since, count=3)
        camera.call('stop')
        before = own_memory(bench)

        def received(event: Any) -> int:
            name = f'{bench.namespace}/stereo_node'
            if event['topic'] != '/diagnostics' or event['node'] != name:
                return 0
            return int(event['statuses']['inputs']['values']['pairs received'])

        # Three times as many as the limit holds.
        enough = 3 * LIMIT // IMAGE_BYTES
        camera.call('stream', topics=IMAGES[:1], rate=RATE)
        bench.watcher.events.wait(lambda e: received(e) > enough, 'many left images')
        assert own_memory(bench) - before < LIMIT + SLACK
        camera.call('stop')

        # The right eye is back: pairs come at once, and the queue grows no more.
        since = bench.mark()
        camera.call('stream', topics=[*IMAGES, *INFOS], rate=5.0)
        bench.wait_output(since=since, count=10)
        assert own_memory(bench) - before < LIMIT + SLACK
