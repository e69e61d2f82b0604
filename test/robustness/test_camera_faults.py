"""What cameras do to a running node, over real DDS; each fault is named, outlived and undone."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from support.robot import RATE, Robot, robot


@pytest.fixture(scope='module')
def shared() -> Iterator[list[Robot]]:
    """One node for all faults, so that each meets what the others left behind."""
    with robot() as made:
        yield [made]


@pytest.fixture
def victim(shared: list[Robot]) -> Iterator[Robot]:
    """The node in good health before the fault, and held to account after it."""
    (made,) = shared
    made.wait_output('disparity', made.show())
    yield made
    made.require_sound()


def require_refusal(victim: Robot, *words: str, **scene: Any) -> None:
    """The scene gives no output and is complained of in these words; all is well after it."""
    since = victim.mark()
    frame = victim.show(**scene)
    victim.wait_told(*words, since=since)
    require_recovery(victim, *words)
    assert not victim.outputs(frame)


def require_recovery(victim: Robot, *words: str) -> None:
    """The usual scene gives outputs again and nobody says these words any more."""
    victim.wait_output('disparity', victim.show())
    if words:
        victim.wait_untold(*words)


@pytest.mark.parametrize('topic', ['left/image_rect', 'right/image_rect'])
def test_topic_stops_and_returns(victim: Robot, topic: str) -> None:
    require_refusal(victim, topic, 'no messages received', silent=[topic])


@pytest.mark.parametrize('topic', ['left/camera_info', 'right/camera_info'])
def test_calibration_that_stops_stays_in_use(victim: Robot, topic: str) -> None:
    victim.wait_output('disparity', victim.show(silent=[topic]))


def test_whole_camera_stops_and_returns(victim: Robot) -> None:
    since = victim.mark()
    victim.camera.call('stop')
    words = ('left/image_rect', 'right/image_rect', 'no messages received')
    victim.wait_told(*words, since=since)
    victim.camera.call('stream', rate=RATE)
    require_recovery(victim, 'no messages received')


def test_stamps_jump_back(victim: Robot) -> None:
    since = victim.mark()
    victim.wait_output('disparity', victim.show(offset=-100.0))
    victim.wait_told('jumped back by', since=since)
    require_recovery(victim)


def test_stamps_jump_ahead(victim: Robot) -> None:
    victim.wait_output('disparity', victim.show(offset=1e6))
    require_recovery(victim)


def test_stamps_are_zero(victim: Robot) -> None:
    since = victim.mark()
    output = victim.wait_output('disparity', victim.show(unstamped=True))
    assert output['stamp'] == 0
    victim.wait_told('messages without a timestamp', since=since)
    require_recovery(victim)


def test_clocks_drift_apart(victim: Robot) -> None:
    require_refusal(victim, 'apart', 'approximate_sync', right_drift=0.003, right_offset=0.001)


def test_one_eye_at_half_rate(victim: Robot) -> None:
    since = victim.mark()
    frame = victim.show(right_every=2)
    victim.wait_told('comes at', 'set both cameras to one rate', since=since)
    require_recovery(victim, 'comes at')
    stamps = [output['stamp'] for output in victim.outputs(frame)]
    assert len(stamps) > 2
    assert stamps == sorted(stamps)


def test_calibration_changes(victim: Robot) -> None:
    before = victim.wait_output('disparity', victim.show())
    after = victim.wait_output('disparity', victim.show(focal_length=250.0, baseline=0.4))
    assert (before['f'], before['t']) == pytest.approx((100, 0.1))
    assert (after['f'], after['t']) == pytest.approx((250, 0.4))
    require_recovery(victim)


@pytest.mark.parametrize('encoding', ['rgb8', 'bgra8', 'mono16', 'bayer_rggb8'])
def test_encoding_changes(victim: Robot, encoding: str) -> None:
    output = victim.wait_output('disparity', victim.show(encoding=encoding))
    assert output['median'] == pytest.approx(8, abs=0.5)
    require_recovery(victim)


def test_resolution_changes(victim: Robot) -> None:
    for width, height in ((320, 200), (96, 64), (161, 97)):
        output = victim.wait_output('disparity', victim.show(width=width, height=height))
        assert output['size'] == [height, width]
    require_recovery(victim)


# What is wrong, the scene, and the words that must tell of it.
REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    'eyes of two sizes': ({'right_width': 128}, ('160x120', '128x120', 'same')),
    'data shorter than its rows': ({'data_bytes': 9000}, ('9000 bytes', '19200 bytes')),
    'no data': ({'data_bytes': 0}, ('0 bytes of data',)),
    'step shorter than a row': ({'image': {'step': 100}}, ('160 bytes', 'more than the step')),
    'step of zero': ({'image': {'step': 0}}, ('step 0', 'more than the step')),
    'no rows': ({'image': {'height': 0}}, ('160x0', 'empty')),
    'no columns': ({'image': {'width': 0}}, ('0x120', 'empty')),
    '200 megapixels declared': (
        {'image': {'width': 20000, 'height': 10000, 'step': 20000}},
        ('20000x10000', '200000000 bytes'),
    ),
    'the largest size there is': (
        {'image': {'width': 2**32 - 1, 'height': 2**32 - 1, 'step': 2**32 - 1}},
        ('4294967295x4294967295',),
    ),
    'too small to match': ({'width': 16, 'height': 16}, ('16',)),
    'unknown encoding': ({'image': {'encoding': 'nonsense'}}, ("'nonsense'",)),
    'empty encoding': ({'image': {'encoding': ''}}, ("encoding ''",)),
    'calibration of another size': ({'info': {'width': 640, 'height': 480}}, ('640x480',)),
    'NaN in P': ({'p': {0: math.nan}}, ('camera_info', 'nan')),
    'infinity in P': ({'p': {2: math.inf}}, ('camera_info', 'inf')),
    'P all zero': ({'p': {0: 0.0, 3: 0.0, 5: 0.0}}, ('camera_info',)),
    'no baseline': ({'baseline': 0.0}, ('camera_info',)),
    'left and right calibration exchanged': ({'baseline': -0.1}, ('camera_info', '10')),
}


@pytest.mark.parametrize('fault', REFUSED)
def test_impossible_input(victim: Robot, fault: str) -> None:
    scene, words = REFUSED[fault]
    require_refusal(victim, *words, **scene)


def test_listener_comes_and_goes(victim: Robot) -> None:
    for _ in range(5):
        victim.unlisten('disparity')
        victim.wait_diagnostics(
            lambda e: e['statuses']['outputs']['message'] == 'idle: no subscribers',
            'idle',
            since=victim.mark(),
        )
        victim.listen('disparity')
        victim.wait_output('disparity', victim.show())


def test_camera_is_killed_while_it_sends(victim: Robot) -> None:
    victim.camera.call('stop')
    doomed = victim.start_camera()
    doomed.call('show', frame='doomed', width=1280, height=1024)
    doomed.order('die_while_sending')
    assert doomed.process.wait(timeout=20) == -signal.SIGKILL
    victim.camera.call('stream', rate=RATE)
    require_recovery(victim)
    # Nobody can tell any more what it sent last; the frame at least is its own.
    victim.sent |= {(output['stamp'], 'doomed') for output in victim.outputs('doomed')}
