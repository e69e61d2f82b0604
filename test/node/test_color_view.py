"""What the color camera adds to a pair, without DDS: a color camera that only holds messages."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo

from s2m2_ros.geometry import CameraModel, RigidTransform
from s2m2_ros.geometry.target_camera import IDENTITY_ROTATION
from s2m2_ros.node.color_view import ColorView, find_view, shows_raw, wants_camera, wants_image
from s2m2_ros.node.faults import Fault, FaultLog
from s2m2_ros.node.inputs.color_camera import ImageTimeline
from s2m2_ros.node.inputs.pairing import TimedImage
from s2m2_ros.node.outputs.topics import CLOUDS
from s2m2_ros.node.outputs.transforms import TransformError
from s2m2_ros.node.parameters import Settings
from support.stereo_scene import FRAME, image_message, stamp

COLORED = Settings(points_color_source='color')
DEPTH = frozenset({'registered/depth', 'disparity'})
POINTS = frozenset({'points'})
HEADER = SimpleNamespace(frame_id=FRAME, stamp=stamp(5.0))


def info(**changes: Any) -> CameraInfo:
    made = CameraInfo(width=8, height=6, distortion_model='plumb_bob')
    made.p = [10.0, 0, 4, 0, 0, 10, 3, 0, 0, 0, 1, 0]
    made.k = [9.0, 0, 4, 0, 9, 3, 0, 0, 1]
    made.header.frame_id = 'color'
    for name, value in changes.items():
        setattr(made, name, value)
    return made


class Camera:
    """Stands for a ColorCamera."""

    info_topic, image_topic = '/cam/color/camera_info', '/cam/color/image_raw'
    topics = (SimpleNamespace(name='/cam/color/camera_info'), SimpleNamespace(name='/cam/image'))

    def __init__(self, calibration: CameraInfo | None = None, *, named: bool = True) -> None:
        self.info = calibration
        self.image_is_named = named
        self.timeline = ImageTimeline()
        self.is_new = False

    def add(self, seconds: float, size: tuple[int, int] = (6, 8)) -> None:
        pixels = np.full((*size, 3), round(seconds * 10), np.uint8)
        message = image_message(pixels, stamp(seconds), 'rgb8')
        message.header.frame_id = 'color'
        self.timeline.add(TimedImage(round(seconds * 1e9), message, 144))

    def explain_missing_info(self) -> str:
        return 'no publishers'

    def explain_missing_image(self) -> str:
        return 'no images'


class Transforms:
    """Stands for tf2: the color camera is 6 cm to the right."""

    def __init__(self, *, known: bool = True) -> None:
        self.known = known

    def find(self, header: Any, frame: str, *, use: str = '') -> RigidTransform:
        if not self.known:
            raise TransformError(use.format(source=header.frame_id, target=frame))
        return RigidTransform(frame, IDENTITY_ROTATION, (-0.06, 0.0, 0.0))


def look(
    camera: Camera | None,
    topics: frozenset[str] = DEPTH,
    *,
    settings: Settings = COLORED,
    transforms: Transforms | None = Transforms(),  # noqa: B008  # it holds nothing that changes
    header: Any = HEADER,
) -> tuple[frozenset[str], ColorView, str]:
    faults = FaultLog(lambda level, text: None)
    port = SimpleNamespace(color=camera, transforms=transforms, settings=settings, faults=faults)
    left, view = find_view(port, header, topics)
    return left, view, faults.current().get(Fault.COLOR_CAMERA, (None, ''))[1]


def test_what_is_wanted_of_it() -> None:
    usual = Settings()
    assert not wants_camera({'points', 'depth'}, usual)
    assert wants_camera({'registered/depth'}, usual)
    assert wants_camera({'registered/camera_info'}, usual)
    assert wants_camera({'points'}, COLORED)
    assert all(wants_image({topic}, COLORED) for topic in CLOUDS)
    assert not wants_camera({'depth'}, COLORED)
    assert not wants_image({'registered/depth'}, COLORED)
    assert not wants_image({'points'}, replace(COLORED, points_color='none'))
    assert wants_image({'points'}, replace(COLORED, points_color='intensity'))


def test_the_camera_is_found() -> None:
    topics, view, fault = look(Camera(info()))
    assert (topics, fault) == (DEPTH, '')
    assert view.target is not None
    assert (view.target.fx, view.target.is_raw) == (9.0, True)  # by the name, image_raw
    assert view.target.translation == (-0.06, 0.0, 0.0)
    assert view.image is None


def test_in_the_frame_of_the_left_camera_no_transform_is_needed() -> None:
    calibration = info()
    calibration.header.frame_id = FRAME
    _, view, fault = look(Camera(calibration), transforms=None)
    assert fault == ''
    assert view.target is not None
    assert view.target.translation == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ('camera', 'transforms', 'words'),
    [
        (Camera(), Transforms(), 'no calibration of the color camera: no publishers'),
        (Camera(info()), Transforms(known=False), f"from '{FRAME}' to 'color'.*publish it"),
        (Camera(info()), None, "to 'color'.*tf2_ros is not installed"),
        (Camera(info(k=[0.0] * 9, p=[0.0] * 12)), Transforms(), 'camera_info: K is empty'),
        (Camera(info(width=0)), Transforms(), 'the image size is 0x6'),
    ],
)
def test_without_it_the_others_go_on(
    camera: Camera, transforms: Transforms | None, words: str
) -> None:
    topics, view, fault = look(camera, transforms=transforms)
    assert topics == {'disparity'}
    assert view.target is None
    assert re.search(words, fault), fault
    # The cloud is made all the same, in the colors of the left image.
    assert look(camera, POINTS, transforms=transforms)[0] == POINTS


def test_what_is_missing_at_first_is_not_told_yet() -> None:
    for camera, transforms in (
        (Camera(), Transforms()),
        (Camera(info()), Transforms(known=False)),
    ):
        camera.is_new = True
        topics, _, fault = look(camera, POINTS | DEPTH, transforms=transforms)
        assert (topics, fault) == (POINTS | {'disparity'}, '')
    camera = Camera(info())
    camera.is_new = True
    assert look(camera, POINTS)[2] == ''
    camera.add(1.0)  # what is wrong is told at once
    assert 'nearest to the left one' in look(camera, POINTS)[2]


def test_a_camera_without_a_frame_is_told() -> None:
    calibration = info()
    calibration.header.frame_id = ''
    _, _, fault = look(Camera(calibration))
    assert 'has no frame_id' in fault


def test_the_image_of_the_moment_colors_the_cloud() -> None:
    camera = Camera(info())
    for seconds in (4.9, 4.98, 5.02, 5.06):
        camera.add(seconds)
    camera.add(5.01)  # clears: time jumped back
    camera.add(5.04)
    topics, view, fault = look(camera, POINTS)
    assert (topics, fault) == (POINTS, '')
    assert view.image is not None
    assert view.image.shape == (6, 8, 3)
    assert view.image[0, 0].tolist() == [50, 50, 50]


def test_an_image_of_another_frame_is_told() -> None:
    camera = Camera(info())
    camera.add(5.0)
    nearest = camera.timeline.nearest(0)
    assert nearest is not None
    nearest.message.header.frame_id = 'infra'
    _, view, fault = look(camera, POINTS)
    assert view.image is not None
    assert "/cam/image has the frame_id 'infra' and /cam/color/camera_info 'color'" in fault


def test_an_image_of_another_moment_is_told_and_not_used() -> None:
    camera = Camera(info())
    camera.add(3.0)
    camera.add(7.0)
    topics, view, fault = look(camera, POINTS)
    assert topics == POINTS
    assert view.image is None
    assert 'the image of /cam/image nearest to the left one is 2 s away' in fault
    assert 'raise color_slop; the cloud keeps the left colors' in fault
    assert look(camera, POINTS, settings=replace(COLORED, color_slop=2.0))[1].image is not None


def test_images_that_cannot_be_used_are_told() -> None:
    _, view, fault = look(Camera(info()), POINTS)
    assert view.image is None
    assert 'no color images: no images' in fault
    other = Camera(info())
    other.add(5.0, (3, 4))
    _, view, fault = look(other, POINTS)
    assert view.image is None
    assert '/cam/color/camera_info: the calibration is for images of 8x6' in fault
    broken = Camera(info())
    broken.add(5.0)
    nearest = broken.timeline.nearest(0)
    assert nearest is not None
    nearest.message.step = 1
    _, view, fault = look(broken, POINTS)
    assert view.image is None
    assert fault.startswith('/cam/image: ')


def test_the_depth_is_there_even_if_the_image_is_not() -> None:
    topics, view, _ = look(Camera(info()), POINTS | DEPTH)
    assert topics == POINTS | DEPTH
    assert view.target is not None


@pytest.mark.parametrize(
    ('topic', 'raw'),
    [
        ('/camera/color/image_raw', True),
        ('/camera/color/image_rect', False),
        ('/color/image_rect_color', False),
        ('/camera/color/image_rect_raw', False),
        ('/zed/rgb/color/rect/image', False),
        ('/zed/rgb/color/raw/image', True),
        ('/direct/image', None),
        ('/rgb/image', None),
        ('', None),
    ],
)
def test_the_name_says_whether_images_are_raw(topic: str, raw: bool | None) -> None:
    model = CameraModel((1.0,) * 12, 8, 6, K=(1.0,) * 9)
    assert shows_raw('auto', topic, model) is raw
    assert shows_raw('raw', topic, model) is True
    assert shows_raw('rectified', topic, model) is False
    # Without P there is no rectified image, without K no raw one.
    assert shows_raw('auto', topic, replace(model, P=(0.0,) * 12)) is True
    assert shows_raw('auto', topic, replace(model, K=(0.0,) * 9)) is False


def test_a_doubtful_calibration_is_told_and_taken_as_raw() -> None:
    camera = Camera(info(d=[0.1, 0.0, 0.0, 0.0, 0.0]), named=False)
    topics, view, fault = look(camera)
    assert topics == DEPTH
    assert view.target is not None
    assert view.target.is_raw
    assert 'set color_calibration to raw or rectified' in fault
    # Without distortion nothing is doubtful.
    assert look(Camera(info(), named=False))[2] == ''


def test_the_parameter_decides() -> None:
    camera = Camera(info(d=[0.1, 0.0, 0.0, 0.0, 0.0]))
    _, view, fault = look(camera, settings=Settings(color_calibration='rectified'))
    assert fault == ''
    assert view.target is not None
    assert (view.target.fx, view.target.distortion) == (10.0, ())
