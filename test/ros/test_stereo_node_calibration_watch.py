"""The node notices over real DDS that the cameras moved, and that they are right again."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image

from support.stereo_rig import Rig, running_rig
from support.stereo_scene import PlaneScene, image_message, stamp

SCENE = PlaneScene(width=320, height=240)
OK, WARN = 0, 1


@pytest.fixture(scope='module')
def rig() -> Iterator[Rig]:
    parameters = (
        'backend:=sgbm',
        'diagnostics_period:=0.1',
        'calibration_check_period:=0.2',
        'max_vertical_misalignment:=2.0',
    )
    with running_rig(*parameters) as made:
        made.open_cameras()
        made.listen('disparity')
        yield made


def message(image: np.ndarray) -> Image:
    return image_message(image, stamp(0))


def judged(rig: Rig, level: int, text: str, *, start: float, **images: Image) -> float:
    """Publish these images until the calibration's status is so; return the last stamp."""

    def found() -> bool:
        status = rig.statuses.get('calibration')
        return bool(status and status.level == bytes([level]) and text in status.message)

    return rig.publish_until(found, f'calibration {level} {text}', SCENE, start=start, **images)


def test_misalignment_and_swapped_cameras_are_told_and_settle(rig: Rig) -> None:
    left, right = SCENE.images()
    shift = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 5.0]])
    lower = cv2.warpAffine(right, shift, (320, 240), borderMode=cv2.BORDER_REPLICATE)

    def measured() -> bool:
        return rig.values('calibration').get('vertical offset [px]', 'unknown') != 'unknown'

    at = rig.publish_until(measured, 'an examination', SCENE, start=1)
    assert abs(float(rig.values('calibration')['vertical offset [px]'])) < 0.3
    at = judged(
        rig, WARN, 'misaligned vertically by -5.', start=at, right_image_rect=message(lower)
    )
    assert float(rig.values('calibration')['vertical offset [px]']) == pytest.approx(-5, abs=0.3)
    at = judged(rig, OK, 'OK', start=at)
    swapped = {'left_image_rect': message(right), 'right_image_rect': message(left)}
    at = judged(rig, WARN, 'images are swapped', start=at, **swapped)
    assert rig.values('calibration')['swapped'] == 'True'
    judged(rig, OK, 'OK', start=at)
    assert rig.values('calibration')['swapped'] == 'False'
