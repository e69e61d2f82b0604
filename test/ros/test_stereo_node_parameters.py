"""Each parameter over real DDS: what it changes, what it refuses and why."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from sensor_msgs_py.point_cloud2 import read_points

from s2m2_ros.node.parameters import CONSTRAINTS, Settings
from support.stereo_rig import Rig, running_rig
from support.stereo_scene import PlaneScene

SCENE = PlaneScene()
STARTS = itertools.count(1000, 100)


@pytest.fixture(scope='module')
def rig() -> Iterator[Rig]:
    arguments = ('backend:=sgbm', 'diagnostics_period:=0.2', 'points_flying_pixel_filter:=false')
    with running_rig(*arguments) as made:
        made.open_cameras()
        yield made


class Change:
    """Sets parameters, hears one message of one topic made with them, and sets them back."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def __call__(self, topic: str, **values: Any) -> Any:
        before = dict(zip(values, self.rig.get_parameters(*values), strict=True))
        assert self.rig.set_parameters(**values) == [(True, '')] * len(values)
        start = next(STARTS)
        heard: list[Any] = []
        listener = self.rig.subscribe(topic, heard.append)
        try:
            self.rig.publish_until(
                lambda: heard and heard[-1].header.stamp.sec >= start, topic, start=start
            )
        finally:
            self.rig.node.destroy_subscription(listener)
            self.rig.set_parameters(**before)
        return heard[-1]


@pytest.fixture
def change(rig: Rig) -> Change:
    return Change(rig)


def pixels(image: Any) -> np.ndarray:
    dtype = np.float32 if image.encoding == '32FC1' else np.uint8
    return np.frombuffer(image.data, dtype).reshape(image.height, image.width)


def known_depths(cloud: Any) -> np.ndarray:
    z = read_points(cloud, ('z',))['z']
    return np.asarray(z[~np.isnan(z)])


def test_every_parameter_is_declared_and_described(rig: Rig) -> None:
    names = list(CONSTRAINTS)
    for name, described in zip(names, rig.describe_parameters(*names), strict=True):
        constraint = CONSTRAINTS[name]
        assert described.description == constraint.description, name
        assert described.read_only == constraint.read_only, name
        ranges = [*described.integer_range, *described.floating_point_range]
        assert [(r.from_value, r.to_value) for r in ranges] == (
            [constraint.range] if constraint.range else []
        ), name
    values = dict(zip(names, rig.get_parameters(*names), strict=True))
    usual = {option.name: option.default for option in fields(Settings)}
    usual |= {
        'backend': 'sgbm',
        'diagnostics_period': 0.2,
        'points_flying_pixel_filter': False,
    }
    values |= {name: tuple(values[name]) for name in ('roi', 'mask_polygon')}
    assert values == usual


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        ({'confidence_threshold': 1.5}, 'confidence_threshold out of range'),
        ({'occlusion_threshold': -0.1}, 'occlusion_threshold out of range'),
        ({'min_depth': -1.0}, 'min_depth out of range'),
        ({'max_depth': -1.0}, 'max_depth out of range'),
        ({'points_decimation': 0}, 'points_decimation out of range'),
        ({'slop': 0.0}, 'slop out of range'),
        ({'sync_queue_size': 0}, 'sync_queue_size out of range'),
        ({'sync_timeout': 0.0}, 'sync_timeout out of range'),
        ({'max_width': 9000}, 'max_width out of range'),
        ({'max_width': 16}, 'max_width = 16 must be 0 or at least 32'),
        ({'diagnostics_period': 0.01}, 'diagnostics_period out of range'),
        ({'calibration_check_period': -1.0}, 'calibration_check_period out of range'),
        ({'max_vertical_misalignment': 0.0}, 'max_vertical_misalignment out of range'),
        ({'points_layout': 'loose'}, "'loose' must be one of 'packed', 'padded'"),
        ({'points_color': 'red'}, "'red' must be one of 'rgb', 'intensity', 'none'"),
        ({'image_transport': 'theora'}, "'theora' must be one of 'auto', 'raw', 'compressed'"),
        ({'fallback_backend': 'magic'}, "fallback_backend = 'magic' must be one of"),
        ({'points_filter': 'yes'}, 'Wrong parameter type'),
        ({'slop': True}, 'must be of type double'),
        ({'checkpoint': 'L'}, 'read-only'),
        ({'backend': 'torch'}, 'read-only'),
        ({'device': 'cpu'}, 'read-only'),
        ({'precision': 'float16'}, 'read-only'),
        ({'refine_iterations': 1}, 'read-only'),
        ({'allow_negative': True}, 'read-only'),
        ({'autostart': False}, 'read-only'),
    ],
)
def test_a_refused_value_says_why_and_changes_nothing(
    rig: Rig, values: dict[str, Any], reason: str
) -> None:
    before = rig.get_parameters(*values)
    ((successful, found),) = rig.set_parameters(**values)
    assert not successful
    assert reason in found
    assert rig.get_parameters(*values) == before


def test_min_depth_must_stay_below_max_depth(rig: Rig) -> None:
    assert rig.set_parameters(max_depth=2.0) == [(True, '')]
    ((successful, reason),) = rig.set_parameters(min_depth=3.0)
    assert not successful
    assert 'max_depth = 2 m must be 0 (no limit) or more than min_depth = 3 m' in reason
    assert rig.set_parameters(max_depth=0.0) == [(True, '')]


def test_depth_range_cuts_depth_and_points(change: Change) -> None:
    # The plane reaches from 240*0.1/(12 + 0.02*319 + 0.04*239) = 0.86 m to 240*0.1/12 = 2 m.
    limits = {'min_depth': 1.0, 'max_depth': 1.5}
    depth = pixels(change('depth', **limits))
    for known in (depth[~np.isnan(depth)], known_depths(change('points', **limits))):
        assert 1.0 <= known.min() < 1.05
        assert 1.45 < known.max() <= 1.5


def test_points_can_be_dense_decimated_and_plain(change: Change) -> None:
    cloud = change('points', points_organized=False, points_color='none', points_decimation=4)
    assert (cloud.height, cloud.is_dense, cloud.point_step) == (1, True, 12)
    assert 0.5 * 60 * 80 < cloud.width <= 60 * 80
    assert not np.isnan(read_points(cloud, ('z',))['z']).any()


def test_points_can_be_padded_with_intensity_and_confidence(change: Change) -> None:
    cloud = change(
        'points', points_layout='padded', points_color='intensity', points_confidence=True
    )
    assert cloud.point_step == 32
    assert [f.name for f in cloud.fields] == ['x', 'y', 'z', 'intensity', 'confidence']
    read = read_points(cloud, ('intensity', 'confidence'), reshape_organized_cloud=True)
    left = SCENE.images()[0]
    assert (read['intensity'].reshape(240, 320) == left).all()
    assert read['confidence'].max() <= 1


def test_confidence_threshold_moves_the_mask_and_the_filters(change: Change) -> None:
    low = (pixels(change('confidence_mask', confidence_threshold=0.0)) == 255).mean()
    high = (pixels(change('confidence_mask', confidence_threshold=0.98)) == 255).mean()
    assert high < low
    everything = known_depths(change('points', points_filter=False)).size
    trusted = known_depths(change('points', confidence_threshold=0.98)).size
    assert trusted < everything
    depth = pixels(change('depth', confidence_threshold=0.98, depth_filter=True))
    assert (~np.isnan(depth)).sum() == trusted


def test_occlusion_threshold_zero_calls_nothing_occluded(change: Change) -> None:
    assert (pixels(change('occlusion_mask')) == 255).any()
    assert not pixels(change('occlusion_mask', occlusion_threshold=0.0)).any()


def test_max_width_shrinks_the_work_not_the_outputs(change: Change) -> None:
    message = change('disparity', max_width=160)
    disparity = pixels(message.image)
    assert disparity.shape == (240, 320)
    assert message.delta_d == pytest.approx(2 / 16)
    known = disparity >= 0
    known[:, :60] = False
    assert np.median(np.abs(disparity - SCENE.disparity())[known]) < 0.5


def test_the_diagnostics_period_can_change(rig: Rig) -> None:
    assert rig.set_parameters(diagnostics_period=0.1) == [(True, '')]
    rig.statuses.clear()
    rig.until(lambda: len(rig.statuses) == 4, 'diagnostics at another rate')
    assert rig.set_parameters(diagnostics_period=0.2) == [(True, '')]


def test_an_impossible_start_value_ends_the_node_with_a_reason(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with running_rig('points_decimation:=99') as rig:
        assert rig.process is not None
        assert rig.process.wait(timeout=60) == 2
    assert 'points_decimation' in capfd.readouterr().err
