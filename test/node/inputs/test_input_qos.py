"""The QoS of a subscription follows from that of the publishers."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from s2m2_ros.node.inputs import input_qos
from s2m2_ros.node.inputs.delivery import explain_loss, explain_mismatch, image_size
from s2m2_ros.node.inputs.endpoints import Endpoint, Topic
from s2m2_ros.node.inputs.input_qos import (
    DEPTH_IN_ORDER,
    InputSubscription,
    Quality,
    matching_quality,
)

FAST_DDS = 'rmw_fastrtps_cpp'
LARGE = image_size(921_600, None)


def publisher(reliable: bool = True, latched: bool = False, node: str = '/driver') -> Endpoint:
    return Endpoint(node, 'sensor_msgs/msg/Image', b'', reliable, latched)


def subscription(quality: Quality, *, fixed: bool = False) -> InputSubscription:
    found = SimpleNamespace(quality=quality, topic=Topic('left', '/left'), fixed=fixed)
    return cast('InputSubscription', found)


@pytest.mark.parametrize('latched', [False, True])
@pytest.mark.parametrize('count', [0, 1, 2, 3])
def test_every_publisher_is_received_with_the_best_that_all_offer(
    latched: bool, count: int
) -> None:
    kinds = [publisher(r, kept) for r, kept in itertools.product([True, False], repeat=2)]
    for publishers in itertools.product(kinds, repeat=count):
        found = matching_quality(publishers, latched=latched)
        assert all(found.receives(p) for p in publishers)
        assert found.reliable == (count > 0 and all(p.reliable for p in publishers))
        kept = count > 0 and all(p.transient_local for p in publishers)
        assert found.transient_local == (latched and kept)


def test_room_for_a_message_of_each_publisher() -> None:
    depths = [matching_quality([publisher()] * n, latched=False).depth for n in (0, 1, 2, 100)]
    assert depths == [5, 5, 5, 8]


def test_packets_of_video_wait_in_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(input_qos, 'overridden_policies', lambda *_: frozenset())
    monkeypatch.setattr(
        InputSubscription, '_subscribe', lambda self, quality: made.append(quality.depth)
    )
    followed = InputSubscription(None, lambda *_: None, lambda: None, latched=False)
    followed.follow(Image, Topic('left', '/left'), [publisher()])
    followed.in_order = True
    followed.follow(Image, Topic('left', '/left'), [publisher()])
    assert made == [input_qos.DEPTH, DEPTH_IN_ORDER]


class Filters:
    """Stands in for the subscriptions: notes which exist and lets a test send to each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.alive: list[Any] = []
        self.now = 100.0
        self.got: list[str] = []
        node = SimpleNamespace(destroy_subscription=self.alive.remove)
        monkeypatch.setattr(input_qos, 'overridden_policies', lambda *_: frozenset())
        monkeypatch.setattr(input_qos, '_InputFilter', self._make)
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(input_qos, 'time', clock)
        self.input = InputSubscription(node, self._receive, lambda: None, latched=True)

    def _make(self, *_: Any, **options: Any) -> Any:
        made = SimpleNamespace(reliability=options['qos_profile'].reliability)
        made.sub = made
        made.registerCallback = lambda callback: setattr(made, 'send', callback)
        self.alive.append(made)
        return made

    def _receive(self, message: Any, info: Any) -> None:
        self.got.append(f'{message} from {info}')

    def follow(self, *publishers: Endpoint) -> None:
        self.input.follow(CameraInfo, Topic('info', '/info'), publishers)


def test_the_former_subscription_stays_until_the_new_one_receives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filters = Filters(monkeypatch)
    filters.follow()
    filters.follow(publisher())
    for _ in range(3):  # the publisher has not heard of the new subscription yet
        filters.follow(publisher())
    former, new = filters.alive
    assert new.reliability == ReliabilityPolicy.RELIABLE != former.reliability
    former.send('first', 'a')
    new.send('second', 'b')
    former.send('second', 'a')
    assert filters.got == ['first from a', 'second from b']
    filters.follow(publisher())
    assert filters.alive == [new]


def test_the_former_subscription_of_a_camera_that_sends_nothing_goes_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filters = Filters(monkeypatch)
    filters.follow()
    filters.follow(publisher())
    former, new = filters.alive
    filters.now += input_qos.LATEST_MATCH - 0.1
    filters.follow(publisher())
    assert filters.alive == [former, new]
    filters.now += 0.2
    filters.follow(publisher())
    assert filters.alive == [new]
    filters.input.close()
    assert filters.alive == []


def test_two_changes_soon_after_each_other_keep_the_last_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filters = Filters(monkeypatch)
    filters.follow()
    filters.follow(publisher())
    filters.follow(publisher(latched=True))
    assert len(filters.alive) == 2
    filters.input.close()
    assert filters.alive == []


def test_a_mismatch_names_both_sides() -> None:
    asked = subscription(Quality(reliable=True))
    text = explain_mismatch(asked, [publisher(), publisher(reliable=False, node='/cam/usb')])
    assert text is not None
    assert 'asks for reliable' in text
    assert '/cam/usb (best effort)' in text
    assert '/driver' not in text
    text = explain_mismatch(subscription(Quality(True, True)), [publisher()])
    assert text is not None
    assert 'asks for reliable, transient local' in text
    assert '/driver (reliable)' in text
    assert explain_mismatch(asked, [publisher()]) is None


def test_large_best_effort_images_are_explained() -> None:
    lossy = subscription(Quality())
    text = explain_loss(lossy, [publisher(reliable=False)], LARGE, FAST_DDS)
    assert text is not None
    assert '/left is offered as best effort by /driver' in text
    assert 'images of 900 KiB or more' in text


@pytest.mark.parametrize(
    ('reliable', 'publishers', 'size', 'middleware'),
    [
        (True, [publisher()], LARGE, FAST_DDS),
        (False, [], LARGE, FAST_DDS),
        (False, [publisher()], LARGE, FAST_DDS),
        (False, [publisher(reliable=False)], image_size(307_200, None), FAST_DDS),
        (False, [publisher(reliable=False)], LARGE, 'rmw_zenoh_cpp'),
    ],
    ids=[
        'reliable',
        'no publishers',
        'about to become reliable',
        'small',
        'another middleware',
    ],
)
def test_what_is_not_lost_is_not_explained(
    reliable: bool, publishers: list[Endpoint], size: range, middleware: str
) -> None:
    assert explain_loss(subscription(Quality(reliable)), publishers, size, middleware) is None


def test_the_size_is_that_of_an_image_or_lies_within_what_camera_info_allows() -> None:
    info: Any = SimpleNamespace(width=640, height=480)
    assert image_size(1000, info) == range(1000, 1001)
    # 640 * 480 = 307200 pixels of one to four bytes.
    assert image_size(None, info) == range(307_200, 1_228_801)
    text = explain_loss(
        subscription(Quality()), [publisher(reliable=False)], image_size(None, info), FAST_DDS
    )
    assert text is not None
    assert 'images, if larger than 512 KiB,' in text
    small: Any = SimpleNamespace(width=320, height=240)
    assert (
        explain_loss(
            subscription(Quality()), [publisher(reliable=False)], image_size(None, small), FAST_DDS
        )
        is None
    )


def test_buffers_of_cyclone_are_named() -> None:
    lossy = subscription(Quality())
    text = explain_loss(lossy, [publisher(reliable=False)], LARGE, 'rmw_cyclonedds_cpp')
    assert text is not None
    assert 'net.core.rmem_max' in text
    assert 'SocketReceiveBufferSize' in text


def test_a_best_effort_override_of_a_reliable_camera_is_named() -> None:
    text = explain_loss(subscription(Quality(), fixed=True), [publisher()], LARGE, FAST_DDS)
    assert text is not None
    assert 'as set by qos_overrides' in text
    assert 'remove the override' in text
