"""Pairs of messages become pairs of arrays, or errors that name the topic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sensor_msgs.msg import Image

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError
from s2m2_ros.node.pipeline import PairError, decode_pair, grey
from s2m2_ros.node.synchronizer import StereoMessages, StereoTopics
from support.stereo_scene import PlaneScene, camera_info, image_message, stamp

SCENE = PlaneScene()
NOW = stamp(1.0)
TOPICS = StereoTopics('/cam/l', '/cam/r', '/cam/l_info', '/cam/r_info')


def messages() -> StereoMessages:
    left, right = (image_message(i, NOW) for i in SCENE.images())
    left_info, right_info = (camera_info(SCENE, NOW, right=side) for side in (False, True))
    return StereoMessages(left, right, left_info, right_info, TOPICS, 0.0)


def colour(value: int) -> Image:
    return image_message(np.full((240, 320, 3), value, np.uint8), NOW, 'rgb8')


def test_a_pair_comes_through() -> None:
    pair = decode_pair(messages())
    left, right = SCENE.images()
    assert (pair.left == left).all()
    assert (pair.right == right).all()
    assert pair.camera.width == 320
    assert pair.camera.baseline == pytest.approx(0.1)


def test_a_grey_and_a_coloured_view_both_become_coloured() -> None:
    pair = decode_pair(replace(messages(), right=colour(7)))
    assert pair.left.shape == pair.right.shape == (240, 320, 3)
    assert (pair.left == SCENE.images()[0][..., None]).all()
    assert (pair.right == 7).all()


def test_eight_and_sixteen_bits_both_become_float() -> None:
    wide = Image(height=240, width=320, encoding='mono16', step=640)
    wide.data = np.full((240, 320), 257 * 9, '<u2').tobytes()
    pair = decode_pair(replace(messages(), left=wide))
    assert pair.left.dtype == pair.right.dtype == np.float32
    assert (pair.left == 9).all()


def test_sizes_that_differ_name_both_topics() -> None:
    small = image_message(np.zeros((120, 160), np.uint8), NOW)
    with pytest.raises(PairError, match='/cam/l is 320x240 and /cam/r 160x120'):
        decode_pair(replace(messages(), right=small))


def test_a_broken_image_names_its_topic() -> None:
    with pytest.raises(ImageError, match=r'^/cam/r: '):
        decode_pair(replace(messages(), right=Image(encoding='mono8')))


def test_a_calibration_of_another_size_names_its_topic() -> None:
    small = [image_message(np.zeros((120, 160), np.uint8), NOW) for _ in range(2)]
    with pytest.raises(CalibrationError, match=r'/cam/l_info: .*320x240.*160x120'):
        decode_pair(replace(messages(), left=small[0], right=small[1]))


def test_grey_of_colour_is_luma() -> None:
    red = np.zeros((4, 4, 3), np.float32)
    red[..., 0] = 255
    # 0.299 * 255 = 76.2.
    assert (grey(red) == 76).all()
