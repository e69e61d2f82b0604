"""What the color camera adds to a pair: where it stands, its calibration, and its image."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage

from s2m2_ros.errors import ImageError, S2M2Error
from s2m2_ros.geometry import CameraModel, RigidTransform, TargetCamera
from s2m2_ros.geometry.rectification import needs_rectification, raw_calibration
from s2m2_ros.geometry.target_camera import IDENTITY_ROTATION
from s2m2_ros.io.images.ros_images import decode_compressed_image, decode_image
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.ros_calibration import camera_model, shows_raw
from s2m2_ros.messages.output_topics import CLOUDS, REGISTERED
from s2m2_ros.node.faults import Fault, FaultLog
from s2m2_ros.node.inputs.color_camera import ColorCamera
from s2m2_ros.node.outputs.transforms import TransformError, TransformSource
from s2m2_ros.node.parameters import Settings
from s2m2_ros.pipeline import PairInput, PipelineOptions
from s2m2_ros.text_safety import safe_text

USE = (
    "registered/depth and colors: no transform from '{source}' to '{target}', the frame of the "
    'color camera; publish it: the driver of the cameras, robot_state_publisher or '
    'static_transform_publisher'
)


class ColorCameraError(S2M2Error):
    """The color camera cannot be used; says why, and what to do."""


class MissingError(ColorCameraError):
    """Something of the color camera has not come."""


@dataclass(frozen=True, eq=False)
class ColorView:
    """Empty if nothing is wanted of the color camera, or if it cannot be used."""

    info: CameraInfo | None = None
    target: TargetCamera | None = None
    image: np.ndarray | None = None

    def color(self, pair: PairInput) -> PairInput:
        """Return the pair with the image that colors its cloud."""
        return pair if self.image is None else replace(pair, color=self.image)

    def aim(self, options: PipelineOptions) -> PipelineOptions:
        """Return the options with the camera to register depth to."""
        if self.target is None:
            return options
        return replace(options, outputs=replace(options.outputs, target=self.target))


def wants_image(topics: Collection[str], settings: Settings) -> bool:
    """Return whether images of the color camera are wanted."""
    colored = settings.points_color_source == 'color' and settings.points_color != 'none'
    return colored and not CLOUDS.isdisjoint(topics)


def wants_camera(topics: Collection[str], settings: Settings) -> bool:
    """Return whether anything of the color camera is wanted."""
    return not REGISTERED.isdisjoint(topics) or wants_image(topics, settings)


class ColorPort(Protocol):
    """What is needed of a camera of the node."""

    faults: FaultLog

    @property
    def color(self) -> ColorCamera | None:
        """Return the color camera; None unless something of it is wanted."""

    @property
    def transforms(self) -> TransformSource | None:
        """Return where transforms are found, if anywhere."""

    @property
    def settings(self) -> Settings:
        """Return the parameters of this moment."""


def find_view(
    camera: ColorPort, header: Any, topics: frozenset[str]
) -> tuple[frozenset[str], ColorView]:
    """Return which topics of a pair can be made, and what the color camera adds to them.

    Without the camera the others go on, with the colors of the left image; why is reported.
    ``header``: of the left image.
    """
    color, settings, faults = camera.color, camera.settings, camera.faults
    if color is None or not wants_camera(topics, settings):
        return topics - REGISTERED, ColorView()
    try:
        info, target, doubt = _find_target(color, camera.transforms, header, settings)
    except S2M2Error as error:
        _report(error, color, faults)
        return topics - REGISTERED, ColorView()
    view = ColorView(info, target)
    if wants_image(topics, settings):
        try:
            image, frame = _find_image(color, target, header, settings)
        except S2M2Error as error:
            _report(error, color, faults, '; the cloud keeps the left colors')
            return topics, view
        view = replace(view, image=image)
        doubt = doubt or _explain_frames(color, frame, info.header.frame_id)
    if doubt:
        faults.report(Fault.COLOR_CAMERA, doubt)
    else:
        faults.clear(Fault.COLOR_CAMERA)
    return topics, view


def _report(error: S2M2Error, color: ColorCamera, faults: FaultLog, effect: str = '') -> None:
    """Report why the camera cannot be used, unless that may be over in a moment."""
    if not (color.is_new and isinstance(error, MissingError | TransformError)):
        faults.report(Fault.COLOR_CAMERA, f'{error}{effect}')


def _find_target(
    color: ColorCamera, transforms: TransformSource | None, header: Any, settings: Settings
) -> tuple[CameraInfo, TargetCamera, str]:
    """Return calibration, camera, and what is doubtful of it."""
    info = color.info
    if info is None:
        raise MissingError(f'no calibration of the color camera: {color.explain_missing_info()}')
    model = camera_model(info, source=color.info_topic)
    raw = shows_raw(
        settings.color_calibration, color.image_topic if color.image_is_named else '', model
    )
    transform = _find_transform(info, color.info_topic, transforms, header)
    target = _target(model, transform, raw is not False)
    doubt = ''
    if raw is None and needs_rectification(raw_calibration(model)):
        doubt = (
            f'{color.info_topic} is that of a raw camera, and the name {color.image_topic} does '
            'not say whether its images are rectified; registered/depth fits the raw ones. Remap '
            'color/image_rect, or set color_calibration to raw or rectified'
        )
    return info, target, doubt


def _find_transform(
    info: CameraInfo, source: str, transforms: TransformSource | None, header: Any
) -> RigidTransform:
    frame = info.header.frame_id
    if not frame:
        raise ColorCameraError(
            f'{source} has no frame_id, so where the color camera stands is unknown: set the '
            'frame in the camera driver'
        )
    if frame == header.frame_id:
        return RigidTransform(frame, IDENTITY_ROTATION, (0.0, 0.0, 0.0))
    if transforms is None:
        raise ColorCameraError(
            f'{USE.format(source=safe_text(header.frame_id), target=safe_text(frame))}: tf2_ros '
            'is not installed'
        )
    return transforms.find(header, frame, use=USE)


@lru_cache(maxsize=4)
def _target(model: CameraModel, transform: RigidTransform, raw: bool) -> TargetCamera:
    """Return the camera; kept, since a lens is examined once."""
    return TargetCamera.of(model, transform, raw=raw)


def _find_image(
    color: ColorCamera, target: TargetCamera, header: Any, settings: Settings
) -> tuple[np.ndarray, str]:
    """Return the image of the pair's moment, as `PairInput.color`, and its frame."""
    stamp = stamp_ns(header)
    found = color.timeline.nearest(stamp)
    if found is None:
        raise MissingError(f'no color images: {color.explain_missing_image()}')
    topic, apart = color.topics[1].name, abs(found.stamp - stamp) / 1e9
    if apart > settings.color_slop:
        raise ColorCameraError(
            f'the image of {topic} nearest to the left one is {apart:.3g} s away from it, and '
            f'color_slop is {settings.color_slop:g}: synchronize the cameras and their clocks, or '
            'raise color_slop'
        )
    try:
        size = (target.width, target.height)
        image = (
            decode_compressed_image(found.message, expected_size=size)
            if isinstance(found.message, CompressedImage)
            else decode_image(found.message)
        )
    except ImageError as error:
        raise ImageError(f'{topic}: {error}') from error
    target.require_size(image.shape[1], image.shape[0], color.info_topic)
    return image, found.message.header.frame_id


def _explain_frames(color: ColorCamera, image: str, calibration: str) -> str:
    """Return why image and calibration may be of two cameras; empty if their frames agree."""
    if image == calibration:
        return ''
    return (
        f"{color.topics[1].name} has the frame_id '{safe_text(image)}' and {color.info_topic} "
        f"'{safe_text(calibration)}': does the calibration belong to this camera?"
    )
