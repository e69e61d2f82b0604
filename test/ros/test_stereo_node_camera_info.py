"""Calibration comes at its own pace: once, slowly, without timestamps, or a bit off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.camera_bench import IMAGES, INFOS, CameraBench, camera_bench
from support.remote import Remote


@pytest.fixture(scope='module')
def shared() -> Iterator[CameraBench]:
    with camera_bench() as made:
        made.start_node()
        yield made


@pytest.fixture
def bench(shared: CameraBench) -> Iterator[CameraBench]:
    """Return the bench; the node subscribes anew, so that it knows no calibration."""
    shared.listen()
    yield shared
    shared.unlisten()
    name = f'{shared.namespace}/stereo_node'
    shared.watcher.events.wait(
        lambda e: (
            e['topic'] == '/diagnostics'
            and e['node'] == name
            and e['statuses']['outputs']['message'] == 'idle: no subscribers'
        ),
        'idle',
        since=shared.mark(),
    )


@pytest.fixture
def camera(bench: CameraBench) -> Iterator[Remote]:
    made = bench.start_camera()
    made.call('show', width=160, height=120, encoding='mono8')
    made.call('advertise', topics=IMAGES)
    yield made
    made.call('stop')
    made.call('withdraw')


def test_latched_once_before_the_node_subscribes(bench: CameraBench, camera: Remote) -> None:
    camera.call('advertise', topics=INFOS, latched=True)
    camera.call('send', topics=INFOS)
    since = bench.mark()
    camera.call('stream', topics=IMAGES, rate=10.0)
    bench.wait_output(since=since, count=10)


def test_sent_once_to_a_node_that_listens(bench: CameraBench, camera: Remote) -> None:
    camera.call('advertise', topics=INFOS)
    camera.call('stream', topics=IMAGES, rate=10.0)
    since = bench.mark()
    # With both in the words the node is subscribed, and this is all that is missing.
    bench.wait_reported('no messages received on', *INFOS, since=since)
    # The node may know of the publisher before the publisher knows of the node.
    camera.call('find_listeners', topics=INFOS)
    camera.call('send', topics=INFOS)
    bench.wait_output(since=since, count=10)
    bench.wait_healthy(since=bench.mark())


@pytest.mark.parametrize(
    'infos',
    [
        pytest.param({'rate': 1.0}, id='1 Hz'),
        pytest.param({'rate': 10.0, 'unstamped': True}, id='timestamp 0'),
        pytest.param({'rate': 10.0, 'offset': 0.002}, id='2 ms late'),
        pytest.param({'rate': 10.0, 'offset': -0.005}, id='5 ms early'),
        pytest.param({'rate': 10.0, 'offset': 1e6}, id='another clock'),
    ],
)
def test_every_pair_gets_the_newest(
    bench: CameraBench, camera: Remote, infos: dict[str, float]
) -> None:
    camera.call('advertise', topics=INFOS)
    camera.call('stream', topics=INFOS, **infos)
    since = bench.mark()
    camera.call('stream', topics=IMAGES, rate=10.0)
    first = bench.wait_output(since=since, count=5)
    last = bench.wait_output(since=since, count=25)
    # Twenty periods later, with room for a pair or two that a busy computer loses.
    assert last['stamp'] - first['stamp'] < 25 * 100_000_000
    bench.wait_healthy(since=bench.mark())


def test_without_calibration_the_missing_topics_are_named(
    bench: CameraBench, camera: Remote
) -> None:
    camera.call('stream', topics=IMAGES, rate=10.0)
    left, right = (f'{bench.namespace}/{topic}' for topic in INFOS)
    # Until the first images have arrived, they are missed too.
    missing = f'no publishers on {left}, {right} ('
    bench.wait_reported(missing, without='image_rect', since=bench.mark())


def test_uncached_calibration_that_is_off_is_named(bench: CameraBench, camera: Remote) -> None:
    name = f'{bench.namespace}/stereo_node'

    def cache(value: bool) -> None:
        reason = bench.watcher.call(
            'set_parameter', node=name, name='cache_camera_info', value=value
        )
        assert not reason

    camera.call('advertise', topics=INFOS)
    camera.call('stream', topics=INFOS, rate=10.0, offset=0.002)
    since = bench.mark()
    camera.call('stream', topics=IMAGES, rate=10.0)
    bench.wait_output(since=since)
    cache(False)
    try:
        text = bench.wait_reported('camera_info', since=bench.mark())
        assert 'left/camera_info are at least 2 ms off those of' in text
        assert 'set cache_camera_info to true' in text
        assert 'hardware' not in text
        since = bench.mark()
        camera.call('stop')
        camera.call('stream', topics=[*IMAGES, *INFOS], rate=10.0)
        bench.wait_output(since=since, count=5)
    finally:
        cache(True)
