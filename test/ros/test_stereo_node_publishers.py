"""Two cameras on the same topics are never mixed; frames that tf2 refuses are corrected."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.camera_bench import IMAGES, INFOS, CameraBench, camera_bench
from support.remote import Remote

ALL = [*IMAGES, *INFOS]
RATE = 10.0


@pytest.fixture(scope='module')
def bench() -> Iterator[CameraBench]:
    with camera_bench() as made:
        made.listen()
        made.start_node()
        yield made


@pytest.fixture
def cameras(bench: CameraBench) -> Iterator[list[Remote]]:
    """Return two camera processes whose nodes have one name, as two instances of a driver."""
    made = [bench.start_camera('driver') for _ in range(2)]
    for camera, frame in zip(made, ('first', 'second'), strict=True):
        camera.call('show', width=160, height=120, encoding='mono8', frame=frame)
    yield made
    for camera in made:
        camera.call('stop')
        camera.call('withdraw')


def frames_of(bench: CameraBench, since: int) -> set[str]:
    topic = f'{bench.namespace}/points'
    return {e['frame'] for e in bench.watcher.events.items[since:] if e['topic'] == topic}


def test_a_second_camera_is_reported_and_ignored(
    bench: CameraBench, cameras: list[Remote]
) -> None:
    first, second = cameras
    first.call('advertise', topics=ALL)
    since = bench.mark()
    first.call('stream', topics=ALL, rate=RATE)
    bench.wait_output(since=since, frame='first')
    # Timestamps are multiples of 10 ms in both, so that they often are equal.
    second.call('advertise', topics=ALL)
    since = bench.mark()
    second.call('stream', topics=ALL, rate=RATE)
    text = bench.wait_reported('left/image_rect has 2 publishers', since=since)
    assert f'{bench.namespace}/driver' in text
    bench.wait_output(since=bench.mark(), frame='first', count=20)
    assert frames_of(bench, since) == {'first'}

    # The one in use ends: the other takes over, and nobody is warned any more.
    first.call('stop')
    first.call('withdraw')
    since = bench.mark()
    bench.wait_output(since=since, frame='second', count=10)
    bench.wait_healthy(since=bench.mark())


def test_two_cameras_that_start_together_are_not_mixed(
    bench: CameraBench, cameras: list[Remote]
) -> None:
    for camera in cameras:
        camera.call('advertise', topics=ALL)
    since = bench.mark()
    for camera in cameras:
        camera.call('stream', topics=ALL, rate=RATE)
    bench.wait_reported('2 publishers', since=since)
    bench.wait_output(since=since, count=20)
    assert len(frames_of(bench, since)) == 1


def test_eyes_that_nothing_assigns_give_no_pairs(
    bench: CameraBench, cameras: list[Remote]
) -> None:
    """Four nodes, one for each eye of two cameras, all sending at once."""
    for camera in cameras:
        camera.call('advertise', topics=[IMAGES[0], INFOS[0]], node='left_driver')
        camera.call('advertise', topics=[IMAGES[1], INFOS[1]], node='right_driver')
    since = bench.mark()
    for camera in cameras:
        camera.call('stream', topics=[IMAGES[0], INFOS[0]], rate=RATE, node='left_driver')
        camera.call('stream', topics=[IMAGES[1], INFOS[1]], rate=RATE, node='right_driver')
    # Names of nodes may become known after their topics.
    words = 'no pairs are made', 'left_driver', 'right_driver', 'namespace'
    bench.wait_reported(*words, since=since)
    since = bench.mark()
    for _ in range(5):
        bench.wait_reported('no pairs are made', since=bench.mark())
    assert not frames_of(bench, since)


def test_a_leading_slash_is_removed_and_reported(
    bench: CameraBench, cameras: list[Remote]
) -> None:
    camera, _ = cameras
    camera.call('show', width=160, height=120, encoding='mono8', frame='/cam/left')
    camera.call('advertise', topics=ALL)
    since = bench.mark()
    camera.call('stream', topics=ALL, rate=RATE)
    bench.wait_output(since=since, frame='cam/left')
    text = bench.wait_reported("frame_id '/cam/left'", since=since)
    assert 'left/image_rect' in text
    assert "'cam/left'" in text
    bench.wait_output(since=bench.mark(), frame='cam/left', count=10)
    logged = [line for line in bench.node.log.items if "frame_id '/cam/left'" in line]
    assert len(logged) == 1


def test_frames_that_are_empty_or_differ_are_named(
    bench: CameraBench, cameras: list[Remote]
) -> None:
    camera, _ = cameras
    camera.call('show', width=160, height=120, encoding='mono8', frame='', info='camera')
    camera.call('advertise', topics=ALL)
    since = bench.mark()
    camera.call('stream', topics=ALL, rate=RATE)
    text = bench.wait_reported('left/image_rect has no frame_id', since=since)
    assert "left/camera_info 'camera'" in text
    camera.call('show', width=160, height=120, encoding='mono8', frame='camera')
    bench.wait_healthy(since=bench.mark())
