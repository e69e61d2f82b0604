"""Laziness, latest wins and quality of service over real DDS."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from rclpy.qos import ReliabilityPolicy

from support.stereo_rig import Rig, running_rig, unique_namespace
from support.stereo_scene import PlaneScene, camera_info, image_message

SCENE = PlaneScene()


def processor_seconds(rig: Rig) -> float:
    """Return the processor time that the node has taken so far."""
    assert rig.process is not None
    fields = Path(f'/proc/{rig.process.pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def counts(stats: Any) -> tuple[int, int, int]:
    return stats.pairs_received, stats.pairs_processed, stats.pairs_dropped


@pytest.fixture(scope='module')
def node() -> Iterator[Rig]:
    with running_rig('backend:=sgbm', 'diagnostics_period:=0.1') as made:
        made.open_cameras()
        yield made


@pytest.fixture
def rig(node: Rig) -> Iterator[Rig]:
    """Return the rig, with nobody listening yet."""
    yield node
    node.mute()


def test_without_a_listener_nothing_is_subscribed_or_computed(rig: Rig) -> None:
    stats = rig.listen('stats')
    rig.wait_for_status('outputs', 0, 'no subscribers, and stats alone start no matching')
    assert rig.disconnected()
    # Listening to stats alone is no reason to work.
    assert rig.values('outputs')['topics with subscribers'] == ''

    heard: list[Any] = []
    listener = rig.subscribe('depth', heard.append)
    last = rig.publish_until(lambda: heard and stats, 'outputs', start=1)
    # The newest status may be from before the subscriber came.
    rig.until(
        lambda: rig.values('outputs')['topics with subscribers'] == 'depth', 'the subscriber'
    )

    rig.node.destroy_subscription(listener)
    rig.listeners.remove(listener)
    rig.until(rig.disconnected, 'the end of the subscriptions')
    rig.wait_for_status('outputs', 0, 'no subscribers')
    stats.clear()
    before, started = processor_seconds(rig), time.monotonic()
    for count in range(10):
        rig.publish(SCENE, last + 1 + count)
        rig.statuses.clear()
        rig.wait_for_status('outputs', 0, 'no subscribers')
    share = (processor_seconds(rig) - before) / (time.monotonic() - started)
    assert not stats
    assert share < 0.25  # timers and diagnostics at 10 Hz; matching would take all of a core

    again = rig.listen('points')
    rig.publish_until(lambda: again, 'an output for the new listener', start=last + 100)


@pytest.mark.parametrize('topic', ['depth/camera_info', 'rectified/image'])
def test_what_needs_no_matching_starts_none(rig: Rig, topic: str) -> None:
    heard, stats = rig.listen(topic), rig.listen('stats')

    def ours() -> bool:
        return any(m.header.stamp.sec >= 1000 for m in stats)

    rig.publish_until(ours, 'stats', start=1000)
    rig.until(lambda: heard, topic)
    assert math.isnan(stats[-1].inference_ms)
    assert stats[-1].backend == ''


def test_overload_keeps_latency_and_counts(rig: Rig) -> None:
    """Far more pairs than it can match: the newest wins, every other one is counted."""
    scene = PlaneScene(width=640, height=480)
    stats, heard = rig.listen('stats'), rig.listen('disparity')
    rig.publish_until(lambda: heard and stats, 'outputs', scene, start=2000)
    rig.until(lambda: rig.values('outputs')['pairs waiting'] == '0', 'the warm-up')
    stats.clear()
    rig.publish(scene, 2500.0)
    rig.until(lambda: stats, 'an unhurried pair')
    before = counts(stats[-1])
    period = total_ms(stats[-1]) / 1e4
    stats.clear()
    heard.clear()

    sent = flood(rig, scene, period=period, pairs=60)
    rig.until(lambda: rig.values('outputs')['pairs waiting'] == '0', 'the end of the flood')
    processed_in_all = rig.values('outputs')['pairs processed']
    rig.until(lambda: stats and str(stats[-1].pairs_processed) == processed_in_all, 'last stats')
    rig.until(lambda: heard and heard[-1].header.stamp == stats[-1].header.stamp, 'last output')

    after = counts(stats[-1])
    received, processed, dropped = (b - a for a, b in zip(before, after, strict=True))
    # The newest pair is never superseded, so it is the last one processed and nothing is left.
    assert received == processed + dropped
    # A publisher that keeps one message may leave out what a slow listener has not taken yet.
    assert 0 < len(stats) <= processed
    assert received <= len(sent)
    assert dropped > received / 2
    longest = max(total_ms(s) for s in stats)
    assert statistics.median(s.latency_ms for s in stats) < 2 * longest
    stamps = [s.header.stamp.sec * 10**9 + s.header.stamp.nanosec for s in stats]
    assert stamps == sorted(set(stamps))
    assert set(stamps) <= sent


def total_ms(stats: Any) -> float:
    stages = ('decode', 'upload', 'inference', 'geometry', 'download', 'publish')
    return sum(float(getattr(stats, f'{stage}_ms')) for stage in stages)


def flood(rig: Rig, scene: PlaneScene, *, period: float, pairs: int) -> set[int]:
    """Publish pairs every `period` seconds, stamped now; return their stamps in nanoseconds."""
    left, right = scene.images()
    now = rig.node.get_clock().now
    sent: set[int] = set()
    for _ in range(pairs):
        at = now()
        sent.add(at.nanoseconds)
        stamp = at.to_msg()
        messages = {
            'left/image_rect': image_message(left, stamp),
            'right/image_rect': image_message(right, stamp),
            'left/camera_info': camera_info(scene, stamp),
            'right/camera_info': camera_info(scene, stamp, right=True),
        }
        for topic, message in messages.items():
            rig.cameras[topic].publish(message)
        limit = time.monotonic() + period
        while time.monotonic() < limit:
            rig.executor.spin_once(timeout_sec=period)
    return sent


@pytest.mark.parametrize('reliable', [True, False], ids=['reliable', 'best effort'])
def test_listeners_and_cameras_of_every_quality_are_served(rig: Rig, reliable: bool) -> None:
    usual = rig.cameras
    rig.open_cameras(reliable=reliable)
    try:
        both = [rig.listen('points', reliable=wanted) for wanted in (True, False)]
        start = 2e9 if reliable else 2.1e9  # after the flood, which is stamped with today
        rig.publish_until(lambda: all(both), 'points for both listeners', start=start)
    finally:
        for camera in rig.cameras.values():
            rig.node.destroy_publisher(camera)
        rig.cameras = usual


def _equal(current: Callable[[], Any], wanted: Any) -> bool:
    return bool(current() == wanted)


def test_quality_of_service_can_be_overridden(tmp_path: Path) -> None:
    namespace = unique_namespace()
    overrides = {
        f'{namespace}/left/image_rect': {'subscription': {'reliability': 'best_effort'}},
        f'{namespace}/right/image_rect': {'subscription': {'depth': 3}},
        f'{namespace}/points': {'publisher': {'reliability': 'best_effort'}},
    }
    file = tmp_path / 'parameters.yaml'
    file.write_text(yaml.safe_dump({'/**': {'ros__parameters': {'qos_overrides': overrides}}}))
    arguments = ['--params-file', str(file)]
    with running_rig('backend:=sgbm', namespace=namespace, arguments=arguments) as rig:
        rig.open_cameras()
        points = rig.listen('points', reliable=False)
        rig.publish_until(lambda: points, 'points', start=1)

        def reliability(topic: str) -> list[ReliabilityPolicy]:
            found = rig.node.get_subscriptions_info_by_topic(f'{namespace}/{topic}')
            return [reader.qos_profile.reliability for reader in found]

        # The cameras are reliable: left stays as overridden, the others ask for it.
        reliable, best_effort = [ReliabilityPolicy.RELIABLE], [ReliabilityPolicy.BEST_EFFORT]
        for topic in ('right/image_rect', 'left/camera_info', 'right/camera_info'):
            rig.until(partial(_equal, partial(reliability, topic), reliable), f'reliable {topic}')
        assert reliability('left/image_rect') == best_effort
        (writer,) = rig.node.get_publishers_info_by_topic(f'{namespace}/points')
        assert writer.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT

        # Parameters of what is overridden, and of nothing else, survive new subscriptions.
        names = [f'qos_overrides.{namespace}/{side}/image_rect.subscription.{policy}'
                 for side, policy in (('left', 'reliability'), ('right', 'depth'))]  # fmt: skip
        assert rig.get_parameters(*names) == ['best_effort', 3]


def test_an_override_that_shuts_the_camera_out_is_named(tmp_path: Path) -> None:
    namespace = unique_namespace()
    topic = f'{namespace}/left/image_rect'
    overrides = {topic: {'subscription': {'reliability': 'reliable'}}}
    file = tmp_path / 'parameters.yaml'
    file.write_text(yaml.safe_dump({'/**': {'ros__parameters': {'qos_overrides': overrides}}}))
    parameters = ('backend:=sgbm', 'diagnostics_period:=0.1', 'sync_timeout:=0.5')
    arguments = ['--params-file', str(file)]
    with running_rig(*parameters, namespace=namespace, arguments=arguments) as rig:
        rig.open_cameras(reliable=False)
        rig.listen('points')
        # The name of the publisher's node may be known later than the publisher.
        told = rig.wait_for_status('inputs', 1, f'{namespace}/rig (best effort)').message
        assert f'the QoS of {topic} does not match' in told
        assert 'asks for reliable, as set by qos_overrides' in told
        assert 'remove the override' in told
