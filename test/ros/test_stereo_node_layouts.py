"""One image topic that holds both views, and raw cameras, over real DDS."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo

from support.stereo_rig import Rig, running_rig
from support.stereo_scene import FOCAL_LENGTH, PlaneScene, camera_info, image_message, stamp

SCENE = PlaneScene()


def depth_of(message: Any) -> np.ndarray:
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def check_depth(found: np.ndarray) -> None:
    inside = np.zeros(found.shape, bool)
    inside[40:-40, 80:-40] = True
    inside &= np.isfinite(found)
    assert inside.sum() > 10000
    assert np.median(np.abs(found / SCENE.depth() - 1)[inside]) < 0.02


@pytest.mark.parametrize(('layout', 'axis'), [('side_by_side', 1), ('top_bottom', 0)])
def test_both_views_in_one_image_are_split(layout: str, axis: int) -> None:
    both = np.concatenate(SCENE.images(), axis=axis)
    with running_rig('backend:=sgbm', f'input_layout:={layout}') as rig:
        rig.open_cameras()
        heard = rig.listen('depth')
        rig.publish_until(
            lambda: heard,
            'depth',
            SCENE,
            start=10.0,
            left_image_rect=image_message(both, stamp(0.0)),
            right_image_rect=None,
        )
        check_depth(depth_of(heard[-1]))
        assert (heard[-1].width, heard[-1].height) == (320, 240)


def raw_info(*, right: bool) -> CameraInfo:
    info = camera_info(SCENE, stamp(0.0), right=right)
    info.k = [FOCAL_LENGTH, 0.0, info.p[2], 0.0, FOCAL_LENGTH, info.p[6], 0.0, 0.0, 1.0]
    info.d = [-0.2, 0.05, 0.0, 0.0, 0.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.distortion_model = 'plumb_bob'
    return info


def distorted(image: np.ndarray, info: CameraInfo) -> np.ndarray:
    """Return what the raw camera sees, by OpenCV's inverse of the map that rectifies."""
    K, D = np.array(info.k).reshape(3, 3), np.array(info.d)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    pixels = np.stack((x, y), axis=-1).reshape(-1, 1, 2).astype(np.float64)
    found = cv2.undistortPoints(pixels, K, D, P=K).reshape(*image.shape, 2).astype(np.float32)
    return np.asarray(cv2.remap(image, found[..., 0], found[..., 1], cv2.INTER_CUBIC))


def publish_raw(rig: Rig, heard: list[Any]) -> None:
    infos = [raw_info(right=side) for side in (False, True)]
    images = [distorted(i, info) for i, info in zip(SCENE.images(), infos, strict=True)]
    rig.publish_until(
        lambda: heard,
        'depth',
        SCENE,
        start=10.0,
        left_image_rect=image_message(images[0], stamp(0.0)),
        right_image_rect=image_message(images[1], stamp(0.0)),
        left_camera_info=infos[0],
        right_camera_info=infos[1],
    )


def test_raw_images_are_rectified_in_the_node() -> None:
    with running_rig('backend:=sgbm', 'rectify:=true') as rig:
        rig.open_cameras()
        heard, infos = rig.listen('depth'), rig.listen('depth/camera_info')
        publish_raw(rig, heard)
        check_depth(depth_of(heard[-1]))
        rig.until(lambda: infos, 'the calibration of the depth image')
        assert list(infos[-1].d) == [0.0] * 5
        assert infos[-1].k[2] == infos[-1].p[2]


def test_the_image_that_depth_belongs_to_is_published() -> None:
    topics = ('depth', 'rectified/image', 'rectified/camera_info')
    with running_rig('backend:=sgbm', 'rectify:=true') as rig:
        rig.open_cameras()
        depth, images, infos = (rig.listen(topic) for topic in topics)
        publish_raw(rig, depth)
        rig.until(lambda: images and infos, 'the rectified image and its calibration')
        (image,) = (m for m in images if m.header == depth[-1].header)
        assert (image.encoding, image.width, image.height) == ('mono8', 320, 240)
        seen = np.frombuffer(image.data, np.uint8).reshape(240, 320).astype(int)
        error = np.abs(seen - SCENE.images()[0])[40:-40, 40:-40]
        # Interpolated twice; the raw image itself is 37 values off on average.
        assert error.mean() < 8
        assert list(infos[-1].d) == [0.0] * 5
