"""Depth and colors of a camera beside the pair, over real DDS: three streams and tf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from sensor_msgs_py.point_cloud2 import read_points_numpy

from support.color_rig import (
    AHEAD,
    CENTER_Y,
    COLOR_FRAME,
    CX,
    FOCAL,
    HEIGHT,
    RIGHT,
    SCENE,
    WIDTH,
    ColorRig,
    color_info,
)
from support.stereo_rig import profile, running_rig
from support.stereo_scene import BASELINE, CX_LEFT, CY, FOCAL_LENGTH, FRAME


def true_depth() -> np.ndarray:
    """Return the depth of the plane as the color camera sees it.

    In the left frame the plane is k Z + b f X + c f Y = B f, with k as in `PlaneScene`; a point
    (X', Y', Z') of the color camera is (X' + RIGHT, Y', Z' + AHEAD) there.
    """
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    k = SCENE.a + SCENE.b * CX_LEFT + SCENE.c * CY
    slope_x, slope_y = SCENE.b * FOCAL_LENGTH, SCENE.c * FOCAL_LENGTH
    along = k + slope_x * (x - CX) / FOCAL + slope_y * (y - CENTER_Y) / FOCAL
    return np.asarray((BASELINE * FOCAL_LENGTH - k * AHEAD - slope_x * RIGHT) / along)


def seen_by_both(depth: np.ndarray) -> np.ndarray:
    """Return which pixels of the color image show what left and right camera see."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    z = depth + AHEAD
    left_x = ((x - CX) / FOCAL * depth + RIGHT) / z * FOCAL_LENGTH + CX_LEFT
    left_y = (y - CENTER_Y) / FOCAL * depth / z * FOCAL_LENGTH + CY
    # The left border has no match in the right image: up to 30 px.
    return np.asarray((left_x > 50) & (left_x < 315) & (left_y > 5) & (left_y < 235))


@pytest.fixture(scope='module')
def rig() -> Iterator[ColorRig]:
    with running_rig('backend:=sgbm', 'diagnostics_period:=0.2') as made:
        made.open_cameras()
        yield ColorRig(made)


def depth_of(message: Any) -> np.ndarray:
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def test_without_calibration_or_transform_the_other_outputs_go_on(rig: ColorRig) -> None:
    disparities, depths = rig.rig.listen('disparity'), rig.rig.listen('registered/depth')
    rig.rig.publish_until(
        lambda: rig.reported('no calibration of the color camera', 'color/camera_info'),
        'a word on the calibration',
        start=1,
    )
    rig.publish_until(
        lambda: rig.reported(f"no transform from '{FRAME}' to '{COLOR_FRAME}'", 'publish it'),
        'a word on the transform',
        start=200,
    )
    assert disparities
    assert not depths
    rig.rig.mute()


def test_registered_depth_with_default_settings(rig: ColorRig) -> None:
    rig.place()
    depths, infos = rig.rig.listen('registered/depth'), rig.rig.listen('registered/camera_info')
    rig.publish_until(lambda: depths and infos, 'registered depth', start=1000)
    depth = depths[-1]
    assert depth.header.frame_id == COLOR_FRAME
    assert depth.header.stamp.sec >= 1000
    assert (depth.width, depth.height, depth.encoding) == (WIDTH, HEIGHT, '32FC1')
    found, expected = depth_of(depth), true_depth()
    known = np.isfinite(found)
    assert known[seen_by_both(expected)].mean() > 0.97
    off = np.abs(found - expected)[known]
    # A sixteenth of a pixel is 4 mm at 1.2 m.
    assert np.median(off) < 0.004
    assert (off < 0.02).mean() > 0.95
    info = infos[-1]
    assert info.header.frame_id == COLOR_FRAME
    assert (info.width, info.height, list(info.p)) == (WIDTH, HEIGHT, list(color_info().p))
    # Depth needs no image of the color camera.
    assert rig.info.get_subscription_count() == 1
    assert rig.image.get_subscription_count() == 0
    rig.rig.mute()
    rig.rig.until(lambda: rig.info.get_subscription_count() == 0, 'the end of the subscription')


def colors_of(cloud: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the known points and their colors."""
    xyz = read_points_numpy(cloud, ('x', 'y', 'z')).reshape(-1, 3)
    packed = read_points_numpy(cloud, ('rgb',)).reshape(-1)
    known = np.isfinite(xyz[:, 2])
    packed = np.ascontiguousarray(packed, dtype=np.float32).view(np.uint32)[known]
    rgb = np.stack(((packed >> 16) & 255, (packed >> 8) & 255, packed & 255), axis=-1)
    return np.asarray(xyz[known]), rgb.astype(int)


def require_colored(cloud: Any) -> None:
    """Require the colors of the color camera, where it sees the points."""
    points, colors = colors_of(cloud)
    u = (points[:, 0] - RIGHT) / (points[:, 2] - AHEAD) * FOCAL + CX
    v = points[:, 1] / (points[:, 2] - AHEAD) * FOCAL + CENTER_Y
    inside = (u > 1) & (u < WIDTH - 2) & (v > 1) & (v < HEIGHT - 2)
    assert inside.sum() > 30_000
    expected = np.stack((u / 2, v / 2), axis=-1)[inside]
    off = np.abs(colors[inside][:, :2] - expected).max(axis=-1)
    assert (off < 1.3).mean() > 0.98
    outside = (u < -2) | (u > WIDTH + 1) | (v < -2) | (v > HEIGHT + 1)
    assert (np.ptp(colors[outside], axis=-1) == 0).all()


def test_the_cloud_in_its_colors(rig: ColorRig) -> None:
    clouds = rig.rig.listen('points')
    rig.publish_until(lambda: clouds, 'a cloud', start=2000)
    assert (np.ptp(colors_of(clouds[-1])[1], axis=-1) == 0).all()  # gray, of the left image
    assert rig.image.get_subscription_count() == rig.info.get_subscription_count() == 0
    assert rig.rig.set_parameters(points_color_source='color') == [(True, '')]

    def colored() -> bool:
        return bool(clouds and (np.ptp(colors_of(clouds[-1])[1], axis=-1) > 0).any())

    rig.publish_until(colored, 'a colored cloud', start=2200)
    require_colored(clouds[-1])

    # Images of another time are never mixed in.
    clouds.clear()
    rig.publish_until(
        lambda: rig.reported('nearest to the left one is', 'raise color_slop'),
        'a word on the time',
        start=2400,
        late=-2.0,
    )
    rig.publish_until(lambda: not colored(), 'a gray cloud', start=2600, late=-2.0)
    rig.publish_until(colored, 'a colored cloud again', start=2800)
    require_colored(clouds[-1])
    assert rig.rig.set_parameters(points_color_source='left') == [(True, '')]
    rig.rig.until(lambda: not rig.image.get_subscription_count(), 'the end of the subscription')
    rig.rig.mute()


def test_two_publishers_are_reported(rig: ColorRig) -> None:
    depths = rig.rig.listen('registered/depth')
    other = rig.rig.node.create_publisher(CameraInfo, 'color/camera_info', profile())

    def told() -> bool:
        status = rig.rig.statuses.get('inputs')
        return bool(status and 'color/camera_info has 2 publishers' in status.message)

    rig.publish_until(told, 'a word on the publishers', start=3000)
    rig.rig.node.destroy_publisher(other)
    rig.publish_until(lambda: not told(), 'silence', start=3200)
    assert depths
    rig.rig.mute()


def test_compressed_images(rig: ColorRig) -> None:
    import cv2

    rig.rig.node.destroy_publisher(rig.image)
    packed = rig.rig.node.create_publisher(
        CompressedImage, 'color/image_rect/compressed', profile()
    )

    class Encoder:
        """Publishes each image as PNG."""

        def publish(self, image: Image) -> None:
            pixels = np.asarray(image.data, np.uint8).reshape(HEIGHT, WIDTH, 3)
            data = cv2.imencode('.png', pixels[..., ::-1])[1].tobytes()
            packed.publish(CompressedImage(header=image.header, format='png', data=data))

    rig.image = Encoder()
    clouds = rig.rig.listen('points')
    assert rig.rig.set_parameters(points_color_source='color') == [(True, '')]

    def colored() -> bool:
        return bool(clouds and (np.ptp(colors_of(clouds[-1])[1], axis=-1) > 0).any())

    rig.publish_until(colored, 'a colored cloud', start=4000)
    require_colored(clouds[-1])
