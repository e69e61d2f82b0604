"""Timestamp and pose of a pair for the temporal filter, and which parameters it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from std_msgs.msg import Header

from s2m2_ros.geometry import RigidTransform
from s2m2_ros.geometry.target_camera import IDENTITY_ROTATION
from s2m2_ros.node.faults import Fault, FaultLog
from s2m2_ros.node.outputs.transforms import TransformError, TransformSource
from s2m2_ros.node.parameters import ParameterError, Settings
from s2m2_ros.node.temporal_moment import with_moment
from s2m2_ros.pipeline import PairInput, TemporalOptions
from support.stereo_scene import stamp

PAIR = PairInput(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8))


class Camera:
    """Stands for a camera of the node, and for tf2, which knows one frame."""

    def __init__(self, frame: str) -> None:
        self.settings: Settings = Settings(temporal_filter='tf', temporal_fixed_frame=frame)
        self.faults = FaultLog(lambda level, text: None)
        self.transforms: TransformSource | None = self
        self.asked = 0

    def find(self, header: Any, frame: str, *, use: str = '') -> RigidTransform:
        self.asked += 1
        if frame != 'odom':
            raise TransformError(use.format(source=header.frame_id, target=frame))
        return RigidTransform(frame, IDENTITY_ROTATION, (header.stamp.sec, 0.0, 0.0))


def header(seconds: float) -> Header:
    return Header(stamp=stamp(seconds), frame_id='left')


def test_the_pose_is_found_when_it_is_asked_for() -> None:
    camera = Camera('odom')
    moment = with_moment(camera, header(5.25), PAIR).moment
    assert moment.stamp_ns == 5_250_000_000
    assert camera.asked == 0
    pose = moment.pose()
    assert pose is not None
    assert pose.translation == (5, 0, 0)
    assert not camera.faults.current()


def test_without_a_transform_there_is_no_pose_and_a_fault() -> None:
    camera = Camera('nowhere')
    assert with_moment(camera, header(5), PAIR).moment.pose() is None
    level, text = camera.faults.current()[Fault.TEMPORAL_FILTER]
    assert level == 1
    assert text == (
        "temporal_filter: no transform from 'left' to temporal_fixed_frame 'nowhere', so pairs "
        'are not averaged'
    )
    camera.settings = Settings(temporal_filter='tf')
    assert with_moment(camera, header(5), PAIR).moment.pose() is not None
    assert not camera.faults.current()


def test_before_tf_is_subscribed_there_is_no_pose() -> None:
    camera = Camera('odom')
    camera.transforms = None
    assert with_moment(camera, header(5), PAIR).moment.pose() is None


def test_timestamp_zero_is_none() -> None:
    assert with_moment(Camera('odom'), header(0), PAIR).moment.stamp_ns is None


def test_parameters_become_options() -> None:
    assert Settings().pipeline_options().temporal == TemporalOptions('off', 20, 5.0)
    given = Settings(temporal_filter='static', temporal_frames=7, temporal_max_gap=0.5)
    assert given.pipeline_options().temporal == TemporalOptions('static', 7, 0.5)


@pytest.mark.parametrize(
    ('given', 'text'),
    [
        ({'temporal_filter': 'on'}, "must be one of 'off', 'static', 'tf'"),
        ({'temporal_filter': 'tf', 'temporal_fixed_frame': ''}, 'a frame that stands still'),
        ({'temporal_fixed_frame': '/odom'}, 'slash'),
        ({'temporal_frames': 1}, 'between 2 and 200'),
        ({'temporal_max_gap': 0.0}, 'between 0.01 and 3600'),
    ],
)
def test_impossible_parameters_are_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        Settings(**given)


def test_without_tf2_only_a_still_camera_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ParameterError, match='tf2_ros, which is not installed'):
        Settings(temporal_filter='tf')
    assert Settings(temporal_filter='static').temporal_filter == 'static'
