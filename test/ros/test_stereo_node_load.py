"""max_rate and ~/enable over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_srvs.srv import SetBool

from support.processes import hear, say
from support.stereo_rig import COMMAND, Rig, running_rig
from support.stereo_scene import PlaneScene, image_message, stamp

SCENE = PlaneScene()
OK = 0
PARTS = ('inputs', 'matching', 'outputs', 'calibration')
BLACK = image_message(np.zeros((240, 320), np.uint8), stamp(0))
# Stands for a network: says when it is loaded, and matches a black pair when it is told to.
DEVICE = f"""
import sys, types
import torch
from s2m2_ros.inference import Maps, registry

class Device:
    name, precision, device = 'device', 'float32', torch.device('cpu')
    def infer(self, left, right):
        if left.float().mean() < 5:
            print('begun', flush=True)
            sys.stdin.readline()
        flat = torch.full((left.shape[0], *left.shape[2:]), 24.0)
        return Maps(flat, torch.ones_like(flat), torch.ones_like(flat))
    def close(self):
        print('unloaded', flush=True)

def load(options):
    print('loaded', flush=True)
    return Device()

module = types.ModuleType('device_backend')
module.unavailable = lambda options: None
module.open_backend = load
sys.modules['device_backend'] = module
registry.BACKENDS['device'] = registry.BackendEntry(
    'device_backend', 'test', needs_checkpoint=False, prepares_sizes=False
)
{COMMAND}
"""
PARAMETERS = ('backend:=device', 'diagnostics_period:=0.1', 'calibration_check_period:=0.0')


@pytest.fixture
def rig() -> Iterator[Rig]:
    with running_rig(*PARAMETERS, command=DEVICE) as made:
        assert made.process is not None
        assert hear(made.process) == 'loaded'
        made.open_cameras()
        yield made


def enable(rig: Rig, wanted: bool) -> tuple[bool, str]:
    answer = rig.call(SetBool, 'enable', SetBool.Request(data=wanted))
    return answer.success, answer.message


def transition(rig: Rig, identifier: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=identifier))
    return bool(rig.call(ChangeState, 'change_state', request).success)


def number(rig: Rig, key: str) -> int:
    return int(rig.values('outputs').get(key, '0'))


def wait_all_accounted(rig: Rig) -> None:
    """Wait until no pair waits; every received one was processed or dropped."""

    def accounted() -> bool:
        values = rig.values('outputs')
        return values.get('pairs waiting') == '0'

    rig.until(accounted, 'no pair that waits')


def test_pairs_above_max_rate_are_dropped_and_counted(rig: Rig) -> None:
    heard, stats = rig.listen('disparity'), rig.listen('stats')
    at = rig.publish_until(lambda: heard and stats, 'outputs', start=1)
    assert rig.wait_for_status('outputs', OK).message == 'OK'
    assert rig.values('outputs')['max_rate [Hz]'] == 'no limit'
    # One pair in 1000 s: the next is admitted, and no other.
    assert rig.set_parameters(max_rate=0.001) == [(True, '')]
    rig.wait_for_status('outputs', OK, 'OK, at most 0.001 Hz by max_rate')
    dropped = 'dropped: above max_rate'
    at = rig.publish_until(lambda: number(rig, dropped) >= 5, 'drops', start=at)
    wait_all_accounted(rig)
    values = rig.values('outputs')
    assert values['max_rate [Hz]'] == '0.001'
    assert 'dropped: superseded' not in values
    last = heard[-1].header.stamp.sec + heard[-1].header.stamp.nanosec / 1e9
    assert last < at
    received = int(rig.values('inputs')['pairs received'])
    rest = {key: int(v) for key, v in values.items() if key.startswith('dropped: ')}
    assert received >= int(values['pairs processed']) + sum(rest.values()) >= received - 1
    # It changes while the node runs, and no subscription is made anew for it.
    assert rig.set_parameters(max_rate=0) == [(True, '')]
    heard.clear()
    rig.publish_until(lambda: len(heard) >= 3, 'outputs again', start=at)
    rig.wait_for_status('outputs', OK, 'OK')


@pytest.mark.parametrize(('value', 'why'), [(-1.0, 'between 0 and 1000'), (2000.0, 'between')])
def test_rates_that_are_none_are_rejected(rig: Rig, value: float, why: str) -> None:
    ((accepted, reason),) = rig.set_parameters(max_rate=value)
    assert not accepted
    assert 'max_rate' in reason
    assert why in reason or 'range' in reason


def test_a_pause_unsubscribes_and_keeps_the_network(rig: Rig) -> None:
    assert rig.process is not None
    heard = rig.listen('disparity')
    at = rig.publish_until(lambda: heard, 'outputs', start=1)
    assert enable(rig, True) == (True, 'enabled')
    assert enable(rig, False) == (True, 'paused')
    assert enable(rig, False) == (True, 'paused')
    rig.until(rig.disconnected, 'the end of the subscriptions')
    rig.statuses.clear()
    for part in PARTS:
        assert rig.wait_for_status(part, OK, 'paused').message == 'paused'
    assert rig.values('outputs')['paused'] == 'True'
    assert rig.values('outputs')['topics with subscribers'] == 'disparity'
    processed = number(rig, 'pairs processed')
    assert processed >= 1

    # A subscriber that comes meanwhile changes nothing.
    depth = rig.listen('depth')
    rig.until(lambda: 'depth' in rig.values('outputs')['topics with subscribers'], 'subscriber')
    assert rig.disconnected()
    assert enable(rig, True) == (True, 'enabled')
    heard.clear()
    rig.publish_until(lambda: heard and depth, 'outputs again', start=at)
    rig.wait_for_status('outputs', OK, 'OK')
    # The counters went on.
    rig.until(lambda: number(rig, 'pairs processed') > processed, 'more pairs')
    rig.mute()


def test_a_pair_that_is_being_matched_is_not_published(rig: Rig) -> None:
    assert rig.process is not None
    heard, at = rig.listen('disparity'), 1.0
    at = rig.publish_until(lambda: heard, 'outputs', start=at)
    wait_all_accounted(rig)
    heard.clear()
    rig.publish(SCENE, at + 1, left_image_rect=BLACK, right_image_rect=BLACK)
    assert hear(rig.process) == 'begun'
    assert enable(rig, False) == (True, 'paused')
    say(rig.process, 'go on')
    rig.until(lambda: number(rig, 'dropped: paused') == 1, 'the drop')
    assert not heard
    assert enable(rig, True) == (True, 'enabled')
    rig.publish_until(lambda: heard, 'outputs again', start=at + 2)
    # Neither unloaded nor loaded again: the next line is of the next black pair.
    rig.publish(SCENE, at + 1000, left_image_rect=BLACK, right_image_rect=BLACK)
    assert hear(rig.process) == 'begun'
    say(rig.process, 'go on')
    wait_all_accounted(rig)


def test_a_pause_survives_transitions(rig: Rig) -> None:
    heard = rig.listen('disparity')
    at = rig.publish_until(lambda: heard, 'outputs', start=1)
    assert transition(rig, Transition.TRANSITION_DEACTIVATE)
    assert enable(rig, False) == (True, 'paused once active (now inactive)')
    rig.wait_for_status('outputs', OK, 'inactive')
    assert transition(rig, Transition.TRANSITION_ACTIVATE)
    rig.wait_for_status('outputs', OK, 'paused')
    assert rig.disconnected()
    for step in ('DEACTIVATE', 'CLEANUP', 'CONFIGURE', 'ACTIVATE'):
        assert transition(rig, getattr(Transition, f'TRANSITION_{step}'))
    rig.wait_for_status('outputs', OK, 'paused')
    assert rig.disconnected()
    heard.clear()
    assert enable(rig, True) == (True, 'enabled')
    rig.publish_until(lambda: heard, 'outputs again', start=at)


def test_it_may_be_enabled_before_it_is_configured() -> None:
    parameters = ('backend:=sgbm', 'autostart:=false', 'diagnostics_period:=0.1')
    with running_rig(*parameters) as rig:
        rig.open_cameras()
        heard: list[Any] = rig.listen('points')
        assert enable(rig, False) == (True, 'paused once active (now unconfigured)')
        assert enable(rig, True) == (True, 'enabled once active (now unconfigured)')
        assert transition(rig, Transition.TRANSITION_CONFIGURE)
        assert transition(rig, Transition.TRANSITION_ACTIVATE)
        rig.publish_until(lambda: heard, 'points', start=1)
