"""The temporal filter over real DDS: still cameras, jumps in time, transforms, parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from std_srvs.srv import SetBool
from tf2_ros import StaticTransformBroadcaster

from support.stereo_rig import Rig, running_rig
from support.stereo_scene import FRAME, PlaneScene, stamp

WARN = 1
PAIRS = 12


@dataclass(frozen=True)
class NoisyScene(PlaneScene):
    """The plane with noise in its images, other noise every time."""

    random = np.random.default_rng(5)

    def images(  # type: ignore[override]  # not kept, as those of the plane are
        self, seed: int = 7
    ) -> tuple[np.ndarray, np.ndarray]:
        clean = super().images(seed)
        left, right = (
            np.clip(i + self.random.normal(0, 8, i.shape), 0, 255).astype(np.uint8) for i in clean
        )
        return left, right


@dataclass(frozen=True)
class NearerScene(NoisyScene):
    """The same with another plane, 6 px before the first."""

    a: float = 18.0


SCENE, NEARER = NoisyScene(), NearerScene()


@pytest.fixture(scope='module')
def rig() -> Iterator[Rig]:
    arguments = (
        'backend:=sgbm',
        'diagnostics_period:=0.2',
        'calibration_check_period:=0.0',
        'temporal_max_gap:=3600.0',
    )
    with running_rig(*arguments) as made:
        made.open_cameras()
        yield made


def disparity(message: Any) -> np.ndarray:
    """Return the disparity, NaN where unknown."""
    image = message.image
    values = np.frombuffer(image.data, np.float32).reshape(image.height, image.width)
    return np.where(values < message.min_disparity, np.nan, values)


def seconds(message: Any) -> float:
    return float(message.header.stamp.sec + message.header.stamp.nanosec / 1e9)


def heard(rig: Rig, start: float, count: int, scene: PlaneScene = SCENE) -> list[np.ndarray]:
    """Publish pairs after a time until so many disparities of them came; return these."""
    messages: list[Any] = []
    listener = rig.subscribe('disparity', messages.append)

    def ours() -> list[Any]:
        return [m for m in messages if start < seconds(m) < start + 900]

    try:
        rig.publish_until(lambda: len(ours()) >= count, f'{count} disparities', scene, start=start)
    finally:
        rig.listeners.remove(listener)
        rig.node.destroy_subscription(listener)
    return [disparity(message) for message in ours()[:count]]


def flicker(maps: list[np.ndarray]) -> float:
    """Return the mean standard deviation over time, of the later half."""
    late = np.stack(maps[len(maps) // 2 :])
    known = np.isfinite(late).all(axis=0)
    assert known.mean() > 0.5
    return float(late[:, known].std(axis=0).mean())


def differs(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean difference where both are known."""
    return float(np.nanmean(np.abs(a - b)))


def test_a_still_camera_flickers_less_from_the_moment_it_is_set(rig: Rig) -> None:
    raw = heard(rig, 1000, PAIRS)
    assert rig.set_parameters(temporal_filter='static') == [(True, '')]
    averaged = heard(rig, 2000, PAIRS)
    assert flicker(raw) > 3 * flicker(averaged)
    assert rig.set_parameters(temporal_filter='off') == [(True, '')]
    assert flicker(heard(rig, 3000, PAIRS)) > 3 * flicker(averaged)


def test_another_scene_and_a_jump_back_in_time_leave_no_trail(rig: Rig) -> None:
    assert rig.set_parameters(temporal_filter='static') == [(True, '')]
    try:
        before = heard(rig, 6000, PAIRS)[-1]
        nearer = heard(rig, 7000, 2, NEARER)
        assert differs(nearer[0], before) == pytest.approx(6, abs=0.5)
        # A recording that loops.
        again = heard(rig, 5000, PAIRS)
        assert differs(again[0], before) < 0.5
        np.testing.assert_allclose(np.nanmean(again[-1] - before), 0, atol=0.05)
        assert flicker(again) < 0.05
    finally:
        rig.set_parameters(temporal_filter='off')


def test_a_pause_of_the_node_leaves_no_trail(rig: Rig) -> None:
    assert rig.set_parameters(temporal_filter='static') == [(True, '')]
    try:
        before = heard(rig, 10000, PAIRS)[-1]
        for enabled in (False, True):
            response = rig.call(SetBool, 'enable', SetBool.Request(data=enabled))
            assert response.success
        first = heard(rig, 11000, 1, NEARER)[0]
        assert differs(first, before) == pytest.approx(6, abs=0.5)
    finally:
        rig.set_parameters(temporal_filter='off')


def test_without_transforms_pairs_come_as_they_are_and_with_them_they_are_averaged(
    rig: Rig,
) -> None:
    results = rig.set_parameters(temporal_fixed_frame='garage', temporal_filter='tf')
    assert results == [(True, '')] * 2
    disparities = rig.listen('disparity')
    try:

        def reported(present: bool) -> Callable[[], bool]:
            def check() -> bool:
                status = rig.statuses.get('outputs')
                text = f"no transform from '{FRAME}' to temporal_fixed_frame 'garage'"
                found = bool(status and status.level == bytes([WARN]) and text in status.message)
                return found == present

            return check

        rig.publish_until(reported(True), 'a warning', SCENE, start=20000)
        rig.publish_until(lambda: len(disparities) > PAIRS, 'disparities', SCENE, start=21000)
        raw = flicker([disparity(message) for message in disparities])
        broadcaster = StaticTransformBroadcaster(rig.node)
        made = TransformStamped(child_frame_id=FRAME)
        made.header.frame_id, made.header.stamp = 'garage', stamp(1)
        made.transform.rotation.w = 1.0
        broadcaster.sendTransform(made)
        rig.publish_until(reported(False), 'the end of the warning', SCENE, start=22000)
        assert raw > 3 * flicker(heard(rig, 23000, PAIRS))
    finally:
        rig.set_parameters(temporal_filter='off')
        rig.mute()


def test_values_that_cannot_be_are_refused_at_run_time(rig: Rig) -> None:
    ((successful, reason),) = rig.set_parameters(temporal_filter='on')
    assert not successful
    assert 'static' in reason
    assert rig.get_parameters('temporal_filter') == ['off']
    assert rig.set_parameters(temporal_fixed_frame='')[0][0]
    ((successful, reason),) = rig.set_parameters(temporal_filter='tf')
    assert not successful
    assert 'temporal_fixed_frame' in reason
