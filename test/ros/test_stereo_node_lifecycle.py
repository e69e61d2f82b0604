"""Transitions, faults of the matcher, and the end of the process, over real DDS."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState

from s2m2_ros.network import S2M2, S2M2Config, save_network
from support.processes import hear
from support.stereo_rig import COMMAND, Rig, end, running_rig
from support.stereo_scene import PlaneScene, image_message, stamp

SCENE = PlaneScene()
ERROR = 2

WHITE, BLACK = (
    image_message(np.full((240, 320), value, np.uint8), stamp(0)) for value in (255, 0)
)

# Stands for a GPU: it fails on white images and takes an hour for black ones.
DEVICE = (
    """
import sys, time, types
import torch
from s2m2_ros.inference import Maps, registry

class Device:
    name, precision, device = 'device', 'float32', torch.device('cpu')
    def infer(self, left, right):
        if left.float().mean() < 5:
            print('begun', flush=True)
            time.sleep(3600)
        if left.float().mean() > 250:
            raise RuntimeError('CUDA error: device-side assert')
        flat = torch.full((left.shape[0], *left.shape[2:]), 24.0)
        return Maps(flat, torch.ones_like(flat), torch.ones_like(flat))
    def close(self):
        pass

module = types.ModuleType('device_backend')
module.unavailable = lambda options: None
module.open_backend = lambda options: Device()
sys.modules['device_backend'] = module
registry.BACKENDS['device'] = registry.BackendEntry(
    'device_backend', 'test', needs_checkpoint=False, prepares_sizes=False
)
from s2m2_ros.node import matcher_supervisor as fallback
fallback.FIRST_RETRY_AFTER = 1.0
"""
    + COMMAND
)
SLOW_TO_OPEN = DEVICE.replace(
    'lambda options: Device()', "lambda options: (print('begun', flush=True), time.sleep(3600))"
)


STARTING = f"""
import rclpy
init = rclpy.init
rclpy.init = lambda **options: (init(**options), print('begun', flush=True))
{COMMAND}
"""


def transition(rig: Rig, identifier: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=identifier))
    return bool(rig.call(ChangeState, 'change_state', request).success)


def state(rig: Rig) -> str:
    return str(rig.call(GetState, 'get_state', GetState.Request()).current_state.label)


def resident_bytes(rig: Rig) -> int:
    assert rig.process is not None
    return int(Path(f'/proc/{rig.process.pid}/statm').read_text().split()[1]) * 4096


def threads_and_descriptors(rig: Rig) -> tuple[int, int]:
    assert rig.process is not None
    folder = Path(f'/proc/{rig.process.pid}')
    return len(list((folder / 'task').iterdir())), len(list((folder / 'fd').iterdir()))


def test_a_manager_can_drive_it_round_and_round() -> None:
    with running_rig('backend:=sgbm', 'autostart:=false', 'diagnostics_period:=0.1') as rig:
        rig.open_cameras()
        heard = rig.listen('points')
        stats = rig.listen('stats')
        rig.wait_for_status('outputs', 0, 'unconfigured')
        assert state(rig) == 'unconfigured'
        at, sizes, resources = 0.0, [], []
        for _ in range(12):
            assert transition(rig, Transition.TRANSITION_CONFIGURE)
            assert state(rig) == 'inactive'
            assert rig.disconnected()
            assert transition(rig, Transition.TRANSITION_ACTIVATE)
            heard.clear()
            stats.clear()
            at = rig.publish_until(lambda: heard and stats, 'an output', start=at + 1)
            # Counters begin anew with each activation.
            assert stats[0].pairs_processed == 1
            assert transition(rig, Transition.TRANSITION_DEACTIVATE)
            rig.until(rig.disconnected, 'the end of the subscriptions')
            assert transition(rig, Transition.TRANSITION_CLEANUP)
            sizes.append(resident_bytes(rig))
            resources.append(threads_and_descriptors(rig))
        assert state(rig) == 'unconfigured'
    # The first rounds fill caches; one leaked image each round would be 10 MB of growth at least
    # in clouds alone.
    assert sizes[-1] - sizes[3] < 8 * 1.2e6
    assert resources[-1] == resources[3]


def test_a_missing_checkpoint_fails_configure_and_autostart_waits_for_it(tmp_path: Path) -> None:
    checkpoint = tmp_path / 'weights.safetensors'
    arguments = (f'checkpoint:={checkpoint}', 'backend:=torch', 'diagnostics_period:=0.1')
    with running_rig(*arguments) as rig:
        rig.open_cameras()
        heard, stats = rig.listen('depth'), rig.listen('stats')
        status = rig.wait_for_status('matching', ERROR, 'cannot configure')
        assert str(checkpoint) in status.message
        assert state(rig) == 'unconfigured'
        save_network(S2M2(S2M2Config(channels=16, transformers=1)), checkpoint, licence='none')
        rig.publish_until(lambda: heard and stats, 'depth of the network', start=1)
        assert state(rig) == 'active'
        assert (stats[-1].backend, stats[-1].checkpoint) == ('torch', str(checkpoint))
        rig.wait_for_status('matching', 0)

        # Deleted while it runs: it runs on, and reconfiguring says what is missing.
        checkpoint.unlink()
        assert transition(rig, Transition.TRANSITION_DEACTIVATE)
        assert transition(rig, Transition.TRANSITION_CLEANUP)
        assert not transition(rig, Transition.TRANSITION_CONFIGURE)
        rig.wait_for_status('matching', ERROR, str(checkpoint))
        assert state(rig) == 'unconfigured'


def test_a_failing_device_is_replaced_and_comes_back() -> None:
    """One process tells the whole story: a start takes seconds."""
    with running_rig('backend:=device', 'diagnostics_period:=0.1', command=DEVICE) as rig:
        rig.open_cameras()
        heard, stats = rig.listen('disparity'), rig.listen('stats')
        at = rig.publish_until(lambda: heard and stats, 'an output', start=1)
        assert stats[-1].backend == 'device'

        # Without a fallback, failed pairs are dropped and it goes on.
        def dropped() -> int:
            return int(rig.values('outputs').get('dropped: matching failed', '0'))

        at = rig.publish_until(lambda: dropped() > 4, 'drops', start=at, left_image_rect=WHITE)
        rig.wait_for_status('matching', ERROR, 'device-side assert')
        heard.clear()
        at = rig.publish_until(lambda: heard, 'an output', start=at)
        rig.wait_for_status('matching', 0)

        # With one, it takes over and says why, until the device is back.
        assert rig.set_parameters(fallback_backend='sgbm') == [(True, '')]
        before = dropped()

        def fallen_back() -> bool:
            return rig.values('matching')['fallback in use'] == 'True'

        at = rig.publish_until(fallen_back, 'the fallback', start=at, left_image_rect=WHITE)
        status = rig.wait_for_status('matching', ERROR, 'using fallback_backend sgbm')
        assert 'device-side assert' in status.message
        assert dropped() == before + 3
        at = rig.publish_until(
            lambda: stats[-1].backend == 'sgbm', 'an output of the fallback', start=at
        )
        at = rig.publish_until(
            lambda: stats[-1].backend == 'device', 'an output of the device', start=at
        )
        rig.wait_for_status('matching', 0)

        ends_amid_an_inference(rig, signal.SIGTERM, at + 1)


def test_an_interrupt_ends_it_amid_an_inference() -> None:
    with running_rig('backend:=device', command=DEVICE) as rig:
        rig.open_cameras()
        heard = rig.listen('disparity')
        at = rig.publish_until(lambda: heard, 'an output', start=1)
        ends_amid_an_inference(rig, signal.SIGINT, at + 1)


@pytest.mark.parametrize('command', [STARTING, SLOW_TO_OPEN], ids=['starts', 'loads'])
def test_a_signal_ends_it_while_it(command: str) -> None:
    with running_rig('backend:=device', command=command) as rig:
        assert rig.process is not None
        assert hear(rig.process) == 'begun'
        ends_quickly(rig, signal.SIGTERM)


def ends_amid_an_inference(rig: Rig, how: signal.Signals, at: float) -> None:
    assert rig.process is not None
    rig.publish(SCENE, at, left_image_rect=BLACK)
    assert hear(rig.process) == 'begun'
    ends_quickly(rig, how)


def ends_quickly(rig: Rig, how: signal.Signals) -> None:
    assert rig.process is not None
    started = time.monotonic()
    assert end(rig.process, how) == 0
    # An hour, if it waited for the device.
    assert time.monotonic() - started < 15
