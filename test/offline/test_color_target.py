"""The color camera of a recording: which images are its, and what they say of its calibration."""

from __future__ import annotations

import numpy as np
import pytest

from s2m2_ros.errors import S2M2Error
from s2m2_ros.io.recordings.recording_topics import IMAGE_TYPE
from s2m2_ros.io.recordings.storage.stored_messages import StoredTopic
from s2m2_ros.offline.processing import ProcessOptions
from s2m2_ros.offline.processing.color_target import color_image_topic, color_target
from s2m2_ros.offline.processing.frames import FrameTree
from support.stereo_recordings import START, scene_info
from support.stereo_scene import CX_LEFT, FOCAL_LENGTH, FRAME

INFO = '/color/camera_info'
RAW_FOCAL = 250.0


def recorded(*names: str) -> list[StoredTopic]:
    return [StoredTopic(name, IMAGE_TYPE, 'cdr', 5) for name in names]


@pytest.mark.parametrize(
    ('names', 'named', 'chosen'),
    [
        (['/color/image_raw', '/color/image_rect', '/left/image_rect'], '', '/color/image_rect'),
        (['/color/image_rect/compressed', '/color/image_raw'], '', '/color/image_raw'),
        (['/color/image_raw', '/color/image_rect'], '/color/image_raw', '/color/image_raw'),
        (['/left/image_rect'], '', ''),
    ],
)
def test_the_images_of_a_calibration(names: list[str], named: str, chosen: str) -> None:
    options = ProcessOptions(color_info=INFO, color_image=named)
    assert color_image_topic(recorded(*names), options) == chosen


def test_images_that_are_missing_are_an_error_where_they_are_needed() -> None:
    colored = ProcessOptions(color_info=INFO, points_color_source='color')
    with pytest.raises(S2M2Error, match=f"'{INFO}' belongs to: name them by color_image; .* none"):
        color_image_topic([], colored)
    named = ProcessOptions(color_info=INFO, color_image='/other')
    with pytest.raises(S2M2Error, match="no images on '/other'"):
        color_image_topic(recorded('/color/image_raw'), named)


@pytest.mark.parametrize(
    ('images', 'setting', 'is_raw'),
    [
        ('/color/image_rect', 'auto', False),
        ('/color/image_raw', 'auto', True),
        ('/color/image_rect', 'raw', True),
        ('/color/image_raw', 'rectified', False),
        ('', 'auto', True),
    ],
)
def test_the_name_of_the_images_says_what_the_calibration_describes(
    images: str, setting: str, is_raw: bool
) -> None:
    info = scene_info(START)
    info.k = np.array([RAW_FOCAL, 0, CX_LEFT, 0, RAW_FOCAL, 120.0, 0, 0, 1])  # type: ignore[attr-defined]
    info.distortion_model, info.d = 'plumb_bob', np.array([0.1, 0, 0, 0, 0])  # type: ignore[attr-defined]
    options = ProcessOptions(color_info=INFO, color_calibration=setting)
    target = color_target(info, options, images, FrameTree([]), FRAME)
    assert target.camera.fx == (RAW_FOCAL if is_raw else FOCAL_LENGTH)
    assert bool(target.doubt) == (not images)
