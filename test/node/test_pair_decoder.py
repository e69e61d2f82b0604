"""Pairs of messages become pairs of arrays, or errors that name the topic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sensor_msgs.msg import Image

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import StereoCamera
from s2m2_ros.node.pair_decoder import decode_pair
from s2m2_ros.node.pair_processor import gray
from s2m2_ros.node.synchronizer import StereoMessages, StereoTopics
from support.stereo_scene import PlaneScene, camera_info, image_message, stamp

SCENE = PlaneScene()
NOW = stamp(1.0)
TOPICS = StereoTopics('/cam/l', '/cam/r', '/cam/l_info', '/cam/r_info')


def messages() -> StereoMessages:
    left, right = (image_message(i, NOW) for i in SCENE.images())
    left_info, right_info = (camera_info(SCENE, NOW, right=side) for side in (False, True))
    return StereoMessages(left, right, left_info, right_info, TOPICS, 0.0)


def test_a_pair_comes_through() -> None:
    pair = decode_pair(messages())
    left, right = SCENE.images()
    assert (pair.left == left).all()
    assert (pair.right == right).all()
    assert pair.calibration is not None
    camera = StereoCamera.from_projection(*pair.calibration)
    assert camera.width == 320
    assert camera.baseline == pytest.approx(0.1)


def test_topics_are_named() -> None:
    pair = decode_pair(messages())
    assert (pair.left_name, pair.right_name) == ('/cam/l', '/cam/r')
    assert pair.calibration is not None
    assert [model.source for model in pair.calibration] == ['/cam/l_info', '/cam/r_info']


def test_a_broken_image_names_its_topic() -> None:
    with pytest.raises(ImageError, match=r'^/cam/r: '):
        decode_pair(replace(messages(), right=Image(encoding='mono8')))


def test_gray_of_color_is_luma() -> None:
    red = np.zeros((4, 4, 3), np.float32)
    red[..., 0] = 255
    # 0.299 * 255 = 76.2.
    assert (gray(red) == 76).all()
