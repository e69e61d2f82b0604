"""What the node says about wrong input over real DDS, and that it recovers by itself."""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from support.stereo_rig import Rig, profile, running_rig
from support.stereo_scene import FRAME, PlaneScene, camera_info, image_message, stamp

SCENE = PlaneScene()
WARN, ERROR = 1, 2
# Every test begins later than all before it, so that stamps jump back only where that is meant.
STARTS = itertools.count(1000, 1000)


@pytest.fixture(scope='module')
def node() -> Iterator[Rig]:
    with running_rig('backend:=sgbm', 'diagnostics_period:=0.1', 'sync_timeout:=0.5') as made:
        made.open_cameras()
        made.disparities = made.listen('disparity')  # type: ignore[attr-defined]
        made.publish_until(lambda: made.disparities, 'a first output', start=1)  # type: ignore[attr-defined]
        yield made


class Inputs:
    """One test's view of the rig: it begins and must end with good pairs."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.heard: list[Any] = rig.disparities  # type: ignore[attr-defined]
        self.now = float(next(STARTS))
        self.works()

    def works(self, scene: PlaneScene = SCENE, **changes: Any) -> Any:
        """Publish pairs until one of them comes out; return its disparity."""
        start = self.now

        def ours() -> bool:
            return bool(self.heard) and start < seconds(self.heard[-1]) < start + 500

        self.now = self.rig.publish_until(ours, 'an output', scene, start=start, **changes)
        return self.heard[-1]

    def complains(self, level: int, *texts: str, **changes: Any) -> None:
        """Publish changed pairs until the diagnostics say all that."""
        said: list[str] = []

        def heard() -> bool:
            found = self.rig.statuses.get('inputs')
            if found is None or found.level != bytes([level]):
                return False
            said[:] = [found.message]
            return all(text in found.message for text in texts)

        try:
            self.now = self.rig.publish_until(heard, f'{texts}', start=self.now, **changes)
        except AssertionError as error:
            raise AssertionError(f'{texts} not in {said}') from error

    def settles(self, text: str) -> None:
        """Publish good pairs until one comes out and nobody says `text` any more."""
        self.works()
        self.now = self.rig.publish_until(
            lambda: text not in self.rig.statuses['inputs'].message, text, start=self.now
        )


def seconds(message: Any) -> float:
    return float(message.header.stamp.sec + message.header.stamp.nanosec / 1e9)


@pytest.fixture
def inputs(node: Rig) -> Inputs:
    return Inputs(node)


def bad_info(**fields: Any) -> Any:
    info = camera_info(SCENE, stamp(0), right=True)
    for name, value in fields.items():
        setattr(info, name, value)
    return info


def with_right_shift(value: float) -> dict[str, Any]:
    info = camera_info(SCENE, stamp(0), right=True)
    p = list(info.p)
    p[3] = value
    info.p = p
    return {'right_camera_info': info}


@pytest.mark.parametrize(
    ('changes', 'texts'),
    [
        pytest.param(
            with_right_shift(24.0), ('right/camera_info', 'only the sign'), id='positive P[3]'
        ),
        pytest.param(with_right_shift(0.0), ('right/camera_info', 'zero'), id='zero P[3]'),
        pytest.param(with_right_shift(-0.1), ('P[3] = -24',), id='meters for focal meters'),
        pytest.param(with_right_shift(math.nan), ('NaN',), id='NaN in P'),
        pytest.param(
            {'left_camera_info': bad_info(p=[0.0] * 12)}, ('not calibrated',), id='empty'
        ),
        pytest.param({'left_camera_info': bad_info(width=640)}, ('640x240',), id='other size'),
    ],
)
def test_bad_calibration_is_explained(
    inputs: Inputs, changes: dict[str, Any], texts: tuple[str, ...]
) -> None:
    inputs.complains(ERROR, *texts, **changes)
    inputs.settles(texts[0])


def image(**fields: Any) -> Image:
    message = image_message(SCENE.images()[1], stamp(0))
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ('message', 'texts'),
    [
        pytest.param(image(encoding='no_such'), ('right/image_rect', 'no_such'), id='encoding'),
        pytest.param(image(data=array('B', b'short')), ('5 bytes', '76800'), id='truncated'),
        pytest.param(image(step=10), ('step 10',), id='step too small'),
        pytest.param(image(width=0, height=0), ('empty',), id='zero-sized'),
        pytest.param(image(width=20000, height=10000, step=20000), ('20000x10000',), id='huge'),
        pytest.param(
            image_message(np.zeros((120, 160), np.uint8), stamp(0)),
            ('right/image_rect', '160x120', '320x240'),
            id='sizes differ',
        ),
    ],
)
def test_bad_images_are_explained(inputs: Inputs, message: Image, texts: tuple[str, ...]) -> None:
    inputs.complains(ERROR, *texts, right_image_rect=message)
    inputs.settles(texts[-1])


@pytest.mark.parametrize('missing', ['left_image_rect', 'right_image_rect'])
def test_a_silent_topic_is_named(inputs: Inputs, missing: str) -> None:
    topic = missing.replace('_', '/', 1)
    inputs.complains(
        WARN,
        'no messages received on',
        f'{topic} although 1 publisher exists',
        **dict.fromkeys([missing]),
    )
    inputs.settles('no messages')


def test_a_calibration_that_has_come_once_is_enough(inputs: Inputs) -> None:
    inputs.works(left_camera_info=None, right_camera_info=None)


def test_stamps_apart_are_measured_and_mended_by_approximate_sync(inputs: Inputs) -> None:
    inputs.complains(WARN, '5 ms apart', 'approximate_sync', skew=0.005)
    settings = {'approximate_sync': True, 'slop': 0.02}
    assert inputs.rig.set_parameters(**settings) == [(True, '')] * 2
    inputs.works(skew=0.005)
    inputs.rig.set_parameters(slop=0.002)
    inputs.complains(WARN, 'slop is 0.002', 'set slop to 0.009', skew=0.005)
    inputs.rig.set_parameters(approximate_sync=False)
    inputs.settles('apart')


def test_clocks_that_differ_are_told(inputs: Inputs) -> None:
    inputs.complains(WARN, 'clocks differ', skew=500.0)
    inputs.settles('clocks')


def test_a_slow_camera_is_told(inputs: Inputs) -> None:
    rig, right = inputs.rig, inputs.rig.cameras['right/image_rect']
    turn = itertools.count()

    class Halved:
        def publish(self, message: Any) -> None:
            if next(turn) % 2:
                right.publish(message)

    rig.cameras['right/image_rect'] = Halved()
    try:
        inputs.complains(WARN, 'right/image_rect comes at')
    finally:
        rig.cameras['right/image_rect'] = right
    inputs.settles('comes at')


def test_after_a_jump_back_in_time_outputs_go_on(inputs: Inputs) -> None:
    inputs.now = 0.0
    assert seconds(inputs.works()) < 60
    inputs.complains(WARN, 'jumped back')


def test_zero_stamps_are_told_but_processed(inputs: Inputs) -> None:
    inputs.complains(WARN, 'without a timestamp', zero=True)
    inputs.rig.until(lambda: seconds(inputs.heard[-1]) == 0, 'an output of a zero stamp')
    inputs.works()


def test_resolution_and_encoding_may_change(inputs: Inputs) -> None:
    assert inputs.works(PlaneScene(width=160, height=120)).image.width == 160
    gray = SCENE.images()[0]
    color = image_message(cv2.merge([gray] * 3), stamp(0), 'bgr8')
    assert inputs.works(left_image_rect=color).image.width == 320


def test_a_changed_calibration_counts_at_once(inputs: Inputs) -> None:
    assert inputs.works(**with_right_shift(-48.0)).t == pytest.approx(0.2)
    assert inputs.works().t == pytest.approx(0.1)


def test_compressed_images_are_understood(inputs: Inputs) -> None:
    rig = inputs.rig
    publishers = {
        side: rig.node.create_publisher(
            CompressedImage, f'{side}/image_rect/compressed', profile(reliable=True)
        )
        for side in ('left', 'right')
    }
    encoded = [cv2.imencode('.png', i)[1].tobytes() for i in SCENE.images()]
    raw = {side: rig.cameras[f'{side}/image_rect'] for side in publishers}

    class Compressing:
        def __init__(self, side: str, data: bytes) -> None:
            self.side, self.data = side, data

        def publish(self, message: Image) -> None:
            publishers[self.side].publish(
                CompressedImage(
                    header=message.header, format='mono8; png compressed mono8', data=self.data
                )
            )

    assert rig.set_parameters(image_transport='compressed') == [(True, '')]
    for (side, _), data in zip(publishers.items(), encoded, strict=True):
        rig.cameras[f'{side}/image_rect'] = Compressing(side, data)
    try:
        assert inputs.works().header.frame_id == FRAME
        broken = CompressedImage(format='jpeg', data=b'\xff\xd8broken')

        def publish_broken(message: Image) -> None:
            broken.header = message.header
            publishers['left'].publish(broken)

        rig.cameras['left/image_rect'].publish = publish_broken
        inputs.complains(ERROR, 'left/image_rect/compressed', 'neither a JPEG nor a PNG')
    finally:
        for side, camera in raw.items():
            rig.cameras[f'{side}/image_rect'] = camera
        assert rig.set_parameters(image_transport='raw') == [(True, '')]
    inputs.settles('neither a JPEG')
