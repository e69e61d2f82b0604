"""Inputs arrive whatever QoS the camera offers, with default middleware settings everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.camera_bench import IMAGES, INFOS, CameraBench, camera_bench, default_middleware

ALL = [*IMAGES, *INFOS]
SIZES = {'640x480': (640, 480), '1280x720': (1280, 720)}


@pytest.fixture(scope='module')
def bench() -> Iterator[CameraBench]:
    """Return a node that waits for cameras; its outputs are subscribed."""
    with default_middleware(), camera_bench() as made:
        made.listen()
        made.start_node()
        yield made


@pytest.mark.parametrize('size', SIZES)
def test_large_images_of_a_reliable_camera_that_starts_after_the_node(
    bench: CameraBench, size: str
) -> None:
    camera = bench.start_camera()
    camera.call('show', width=SIZES[size][0], height=SIZES[size][1], frame=size)
    camera.call('advertise', topics=ALL)
    since = bench.mark()
    camera.call('stream', topics=ALL, rate=5.0)
    bench.wait_output(since=since, frame=size, count=5)
    camera.call('stop')
    camera.call('withdraw')


@pytest.mark.parametrize('size', SIZES)
def test_large_images_of_a_reliable_camera_that_was_there_before(
    bench: CameraBench, size: str
) -> None:
    bench.unlisten()
    camera = bench.start_camera()
    camera.call('show', width=SIZES[size][0], height=SIZES[size][1], frame=f'early {size}')
    camera.call('advertise', topics=ALL)
    camera.call('stream', topics=ALL, rate=5.0)
    since = bench.mark()
    bench.listen()
    bench.wait_output(since=since, frame=f'early {size}', count=5)
    camera.call('stop')
    camera.call('withdraw')


def test_small_images_of_a_best_effort_camera(bench: CameraBench) -> None:
    camera = bench.start_camera()
    camera.call('show', width=320, height=240, frame='best effort')
    camera.call('advertise', topics=ALL, reliable=False)
    since = bench.mark()
    camera.call('stream', topics=ALL, rate=5.0)
    bench.wait_output(since=since, frame='best effort', count=3)
    camera.call('stop')
    camera.call('withdraw')


@pytest.mark.parametrize('size', SIZES)
def test_large_best_effort_images_are_named_with_the_remedy(bench: CameraBench, size: str) -> None:
    camera = bench.start_camera('lossy')
    camera.call('show', width=SIZES[size][0], height=SIZES[size][1])
    camera.call('advertise', topics=IMAGES, reliable=False)
    camera.call('advertise', topics=INFOS)
    since = bench.mark()
    camera.call('stream', topics=ALL, rate=5.0)
    words = ('best effort by', 'lossy', 'Fast DDS', 'set the publisher to reliable')
    text = bench.wait_reported(*words, since=since)
    assert 'FASTDDS_DEFAULT_PROFILES_FILE' in text
    assert 'config/fastdds_large_messages.xml' in text

    # The same camera, after its driver's parameter was changed.
    camera.call('withdraw', topics=IMAGES)
    camera.call('advertise', topics=IMAGES)
    since = bench.mark()
    bench.wait_output(since=since, count=3)
    bench.wait_healthy(since=bench.mark())
    camera.call('stop')
    camera.call('withdraw')


def test_a_second_best_effort_publisher_does_not_lock_the_node_out(bench: CameraBench) -> None:
    camera = bench.start_camera()
    camera.call('show', width=160, height=120, frame='two qualities')
    camera.call('advertise', topics=ALL)
    camera.call('stream', topics=ALL, rate=5.0)
    since = bench.mark()
    bench.wait_output(since=since, frame='two qualities')
    idle = bench.start_camera()
    idle.call('advertise', topics=ALL, reliable=False)
    since = bench.mark()
    bench.wait_output(since=since, frame='two qualities', count=10)
    camera.call('stop')
    camera.call('withdraw')
    # Only the best-effort one is left, and sends now.
    idle.call('show', width=160, height=120, frame='the other')
    idle.call('stream', topics=ALL, rate=5.0)
    bench.wait_output(since=since, frame='the other')
    idle.call('stop')
    idle.call('withdraw')


def test_the_node_has_room_for_large_outputs(bench: CameraBench) -> None:
    bench.node.log.wait(lambda line: line.endswith(': active'), 'an active node')
    # Of Fast DDS itself 512 KiB, from which subscribers lose what is larger.
    assert bench.node.largest_segment() >= 64 << 20
