"""What cameras do to a running node, over real DDS; each fault is named, outlived and undone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from support.remote import remote
from support.robot import Robot, robot


@pytest.fixture(scope='module')
def shared() -> Iterator[list[Robot]]:
    """One node for all faults, so that each meets what the others left behind."""
    with robot() as made:
        yield [made]


@pytest.fixture
def victim(shared: list[Robot]) -> Iterator[Robot]:
    """The node in good health before the fault, and held to account after it."""
    (made,) = shared
    since = made.mark()
    made.wait_output('disparity', made.show(), patience=60)
    made.wait_fine(since=since)
    yield made
    made.require_sound()


def require_recovery(victim: Robot) -> None:
    since = victim.mark()
    victim.wait_output('disparity', victim.show())
    victim.wait_fine(since=since)


@pytest.mark.parametrize(
    'topic', ['left/image_rect', 'right/image_rect', 'left/camera_info', 'right/camera_info']
)
def test_topic_stops_and_returns(victim: Robot, topic: str) -> None:
    since = victim.mark()
    frame = victim.show(silent=[topic])
    victim.wait_told(f'{topic} is silent', since=since)
    assert not victim.outputs(frame)
    require_recovery(victim)
