"""Transitions, faults of the matcher, and the end of the process, over real DDS."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState

from s2m2_ros.network import S2M2, S2M2Config, save_network
from support.processes import hear
from support.stereo_rig import COMMAND, Rig, end, running_rig
from support.stereo_scene import PlaneScene, image_message, stamp

SCENE = PlaneScene()
WARN, ERROR = 1, 2

# Stands for a device: one that takes for ever, and one that fails on white images.
DEVICE = """
import sys, time, types
import torch
from s2m2_ros.inference import Maps, selection

class Device:
    name, precision, device = 'device', 'float32', torch.device('cpu')
    def infer(self, left, right):
        if left.shape[2:] == (240, 320) and '{mode}' == 'endless':
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
selection.BACKENDS['device'] = 'device_backend'
selection.NEEDS_NO_CHECKPOINT = (*selection.NEEDS_NO_CHECKPOINT, 'device')
from s2m2_ros.node import fallback
fallback.FIRST_RETRY_AFTER = 1.0
"""


def device(mode: str) -> str:
    return DEVICE.replace('{mode}', mode) + COMMAND


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


def test_a_missing_checkpoint_falls_back_if_allowed(tmp_path: Path) -> None:
    arguments = (f'checkpoint:={tmp_path}/none.pth', 'fallback_backend:=sgbm')
    with running_rig(*arguments, 'diagnostics_period:=0.1') as rig:
        rig.open_cameras()
        stats = rig.listen('stats')
        heard = rig.listen('depth')
        rig.publish_until(lambda: heard and stats, 'depth of the fallback', start=1)
        assert stats[-1].backend == 'sgbm'
        status = rig.wait_for_status('matching', ERROR, 'using fallback_backend sgbm')
        assert 'none.pth' in status.message


def test_a_failing_device_is_replaced_and_comes_back() -> None:
    white = image_message(np.full((240, 320), 255, np.uint8), stamp(0))
    arguments = ('backend:=device', 'fallback_backend:=sgbm', 'diagnostics_period:=0.1')
    with running_rig(*arguments, command=device('failing')) as rig:
        rig.open_cameras()
        heard: list[Any] = rig.listen('disparity')
        stats = rig.listen('stats')
        at = rig.publish_until(lambda: heard and stats, 'an output', start=1)
        assert stats[-1].backend == 'device'

        def failed() -> bool:
            return rig.values('matching').get('fallback in use') == 'True'

        at = rig.publish_until(failed, 'the fallback', start=at, left_image_rect=white)
        status = rig.wait_for_status('matching', ERROR, 'using fallback_backend sgbm')
        assert 'device-side assert' in status.message
        assert rig.values('outputs')['dropped: matching failed'] == '3'
        stats.clear()
        at = rig.publish_until(lambda: stats, 'an output of the fallback', start=at)
        assert stats[-1].backend == 'sgbm'

        def back() -> bool:
            return any(s.backend == 'device' for s in stats)

        rig.publish_until(back, 'the device again', start=at)
        rig.wait_for_status('matching', 0)


def test_without_a_fallback_a_failed_pair_is_only_dropped() -> None:
    white = image_message(np.full((240, 320), 255, np.uint8), stamp(0))
    arguments = ('backend:=device', 'diagnostics_period:=0.1')
    with running_rig(*arguments, command=device('failing')) as rig:
        rig.open_cameras()
        heard = rig.listen('disparity')

        def failed() -> bool:
            return int(rig.values('outputs').get('dropped: matching failed', '0')) > 4

        at = rig.publish_until(failed, 'failures', start=1, left_image_rect=white)
        rig.wait_for_status('matching', ERROR, 'device-side assert')
        assert not heard
        rig.publish_until(lambda: heard, 'an output', start=at)
        rig.wait_for_status('matching', 0)


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM])
def test_it_ends_quickly_and_cleanly_amid_an_inference(how: signal.Signals) -> None:
    with running_rig('backend:=device', command=device('endless')) as rig:
        rig.open_cameras()
        rig.listen('disparity')
        rig.until(rig.connected, 'subscriptions')
        assert rig.process is not None
        rig.publish(SCENE, 1.0)
        rig.publish(SCENE, 2.0)
        assert hear(rig.process) == 'begun'
        started = time.monotonic()
        assert end(rig.process, how) == 0
        # An hour, if it waited for the inference.
        assert time.monotonic() - started < 15
