"""Images are found as they are published: raw, compressed, or as a type that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.camera_bench import IMAGES, INFOS, CameraBench, camera_bench
from support.remote import Remote

COMPRESSED = [f'{topic}/compressed' for topic in IMAGES]


@pytest.fixture(scope='module')
def bench() -> Iterator[CameraBench]:
    with camera_bench() as made:
        made.listen()
        made.start_node()
        yield made


@pytest.fixture
def camera(bench: CameraBench) -> Iterator[Remote]:
    made = bench.start_camera()
    made.call('show', width=160, height=120, encoding='mono8', frame=f'frame_{bench.mark()}')
    made.call('advertise', topics=INFOS)
    yield made
    made.call('stop')
    made.call('withdraw')


def set_transport(bench: CameraBench, value: str) -> None:
    name = f'{bench.namespace}/stereo_node'
    reason = bench.watcher.call('set_parameter', node=name, name='image_transport', value=value)
    assert not reason


def test_only_compressed_is_published(bench: CameraBench, camera: Remote) -> None:
    camera.call('advertise', topics=COMPRESSED, kind='CompressedImage')
    since = bench.mark()
    camera.call('stream', topics=[*COMPRESSED, *INFOS], rate=10.0)
    bench.wait_output(since=since, count=5)
    told = [line for line in bench.node.log.items if 'image_transport is auto' in line]
    assert len(told) == 2  # one for each eye, once
    assert 'left/image_rect/compressed is published' in told[0]

    # The raw images come later: they are preferred.
    camera.call('advertise', topics=IMAGES)
    camera.call('stop')
    camera.call('show', width=160, height=120, encoding='mono8', frame='raw')
    since = bench.mark()
    camera.call('stream', topics=[*IMAGES, *INFOS], rate=10.0)
    bench.wait_output(since=since, frame='raw')


def test_compressed_images_on_the_raw_topic(bench: CameraBench, camera: Remote) -> None:
    camera.call('advertise', topics=IMAGES, kind='CompressedImage')
    since = bench.mark()
    camera.call('stream', topics=[*IMAGES, *INFOS], rate=10.0)
    bench.wait_output(since=since, count=5)
    bench.node.log.wait(
        lambda line: 'is published as sensor_msgs/msg/CompressedImage' in line, 'the remark'
    )


def test_one_eye_raw_the_other_compressed(bench: CameraBench, camera: Remote) -> None:
    camera.call('advertise', topics=IMAGES[:1])
    camera.call('advertise', topics=COMPRESSED[1:], kind='CompressedImage')
    since = bench.mark()
    camera.call('stream', topics=[IMAGES[0], COMPRESSED[1], *INFOS], rate=10.0)
    bench.wait_output(since=since, count=5)


def test_an_unreadable_type_is_named(bench: CameraBench, camera: Remote) -> None:
    camera.call('advertise', topics=IMAGES, kind='CameraInfo')
    since = bench.mark()
    text = bench.wait_reported('left/image_rect is published as', since=since)
    assert 'sensor_msgs/msg/CameraInfo, which this node cannot read' in text


def test_raw_alone_names_the_compressed_topic(bench: CameraBench, camera: Remote) -> None:
    set_transport(bench, 'raw')
    try:
        camera.call('advertise', topics=COMPRESSED, kind='CompressedImage')
        since = bench.mark()
        text = bench.wait_reported('only the compressed topic', since=since)
        assert 'left/image_rect/compressed is published' in text
        assert 'set image_transport to compressed or auto' in text
        assert 'nobody' not in text
    finally:
        set_transport(bench, 'auto')


def test_compressed_alone_names_the_raw_topic(bench: CameraBench, camera: Remote) -> None:
    set_transport(bench, 'compressed')
    try:
        camera.call('advertise', topics=IMAGES)
        since = bench.mark()
        bench.wait_reported('only', 'set image_transport to auto or raw', since=since)
    finally:
        set_transport(bench, 'auto')
