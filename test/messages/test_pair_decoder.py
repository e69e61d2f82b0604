"""Pairs of messages become pairs of arrays, or errors that name the topic."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import StereoCamera
from s2m2_ros.io.images.pixel_range import PixelRange
from s2m2_ros.messages.pair_decoder import decode_pair
from s2m2_ros.node.inputs.synchronizer import StereoMessages, StereoTopics
from s2m2_ros.pipeline.preparation import gray
from support.stereo_scene import PlaneScene, camera_info, image_message, stamp

SCENE = PlaneScene()
NOW = stamp(1.0)
TOPICS = StereoTopics('/cam/l', '/cam/r', '/cam/l_info', '/cam/r_info')


def messages() -> StereoMessages:
    left, right = (image_message(i, NOW) for i in SCENE.images())
    left_info, right_info = (camera_info(SCENE, NOW, right=side) for side in (False, True))
    return StereoMessages(left, right, left_info, right_info, TOPICS, 0.0)


def test_a_pair_comes_through() -> None:
    pair = decode_pair(messages(), PixelRange())
    left, right = SCENE.images()
    assert (pair.left == left).all()
    assert (pair.right == right).all()
    assert pair.calibration is not None
    camera = StereoCamera.from_projection(*pair.calibration)
    assert camera.width == 320
    assert camera.baseline == pytest.approx(0.1)


def test_topics_are_named() -> None:
    pair = decode_pair(messages(), PixelRange())
    assert (pair.left_name, pair.right_name) == ('/cam/l', '/cam/r')
    assert pair.calibration is not None
    assert [model.source for model in pair.calibration] == ['/cam/l_info', '/cam/r_info']


def test_a_broken_image_names_its_topic() -> None:
    with pytest.raises(ImageError, match=r'^/cam/r: '):
        decode_pair(replace(messages(), right=Image(encoding='mono8')), PixelRange())


def test_gray_of_color_is_luma() -> None:
    red = np.zeros((4, 4, 3), np.float32)
    red[..., 0] = 255
    # 0.299 * 255 = 76.2.
    assert (gray(red) == 76).all()


def test_twelve_bits_in_sixteen_are_stretched_and_noted() -> None:
    left, right = SCENE.images()
    deep = [Image(height=240, width=320, encoding='mono16', step=640) for _ in range(2)]
    for message, pixels in zip(deep, (left, right), strict=True):
        message.data = (pixels.astype('<u2') * 16).tobytes()
    pair = decode_pair(replace(messages(), left=deep[0], right=deep[1]), PixelRange())
    # 12 bits: 4095 is white.
    np.testing.assert_allclose(pair.left, left * (16 * 255 / 4095), atol=0.01)
    (note,) = pair.notes
    assert '4095 as white' in note
    assert 'set the pixel range' in note


def test_a_compressed_image_of_another_size_is_refused_before_it_is_decoded() -> None:
    encoded = cv2.imencode('.png', np.zeros((120, 160), np.uint8))[1].tobytes()
    small = CompressedImage(format='png', data=encoded)
    with pytest.raises(ImageError, match=r'^/cam/l: .*160x120'):
        decode_pair(replace(messages(), left=small), PixelRange())
