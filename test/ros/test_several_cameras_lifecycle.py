"""Lifecycle and start of a node with several cameras, one of which cannot be configured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_srvs.srv import SetBool

from support.several_cameras import Fleet, running_fleet
from support.stereo_rig import running_rig

OK, ERROR = 0, 2


def transition(fleet: Fleet, name: str) -> bool:
    identifier = getattr(Transition, f'TRANSITION_{name}')
    request = ChangeState.Request(transition=Transition(id=identifier))
    return bool(fleet.node.call(ChangeState, 'change_state', request).success)


def test_a_mask_that_is_missing_stops_its_camera_alone_until_it_is_there(tmp_path: Path) -> None:
    mask = tmp_path / 'mask.png'
    parameters = ('backend:=device', f'front.mask_file:={mask}')
    with running_fleet('front', 'rear', parameters=parameters) as fleet:
        front, rear = fleet['front'], fleet['rear']
        rear.open_cameras()
        rear.listen_disparity()
        front.wait_for_status('matching', ERROR, 'camera front: mask_file')
        at = 1.0
        while not rear.disparities:
            at = round(at + 0.1, 3)
            rear.send_code(20, at)
            fleet.spin(0.1)
        assert rear.statuses['matching'].level == b'\0'
        beside = tmp_path / 'new.png'
        assert cv2.imwrite(str(beside), np.full((240, 320), 255, np.uint8))
        beside.rename(mask)
        front.wait_for_status('matching', OK)
        at = fleet.connect(100.0)

        # A pause of one is remembered through all states of the lifecycle.
        answer: Any = fleet.node.call(SetBool, 'rear/enable', SetBool.Request(data=False))
        assert answer.success
        for step in ('DEACTIVATE', 'CLEANUP', 'CONFIGURE'):
            assert transition(fleet, step)
        front.wait_for_status('outputs', OK, 'inactive')
        rear.wait_for_status('outputs', OK, 'inactive')
        assert transition(fleet, 'ACTIVATE')
        rear.wait_for_status('outputs', OK, 'paused')
        while not front.disparities:
            at = round(at + 0.1, 3)
            for rig in (front, rear):
                rig.send_code(20, at)
            fleet.spin(0.1)
        assert not rear.disparities
        fleet.node.call(SetBool, 'rear/enable', SetBool.Request(data=True))
        fleet.connect(at + 100)


@pytest.mark.parametrize(
    ('given', 'reason'),
    [
        (('cameras:=[front, front]',), "'front' is given 2 times"),
        (('cameras:=["front left"]',), "'front left' is not a name"),
        (('cameras:=[front]', 'front.backend:=sgbm'), 'backend is one for all cameras'),
    ],
)
def test_cameras_that_cannot_be_end_the_node_with_a_reason(
    given: tuple[str, ...], reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with running_rig(*given) as rig:
        assert rig.process is not None
        assert rig.process.wait(timeout=120) == 2
    written = capfd.readouterr().err
    assert reason in written
    assert 'Traceback' not in written
