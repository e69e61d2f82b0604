"""The messages of one pair as the pipeline's input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError, CameraModel
from s2m2_ros.io.images.pixel_range import PixelRange, scale_pair
from s2m2_ros.io.images.raw_image import RawImage
from s2m2_ros.io.images.ros_images import decode_compressed_raw, decode_raw
from s2m2_ros.io.ros_calibration import camera_model
from s2m2_ros.io.sources.view_layout import ViewLayout, split_views
from s2m2_ros.pipeline import PairInput


class StereoTopics(NamedTuple):
    """Full names of the four inputs, for error messages."""

    left: str
    right: str
    left_info: str
    right_info: str


class PairMessages(Protocol):
    """The messages of one pair, of any library; each image is an Image or CompressedImage."""

    @property
    def left(self) -> Any:
        """Return the image of the left camera, or of both."""

    @property
    def right(self) -> Any:
        """Return the image of the right camera."""

    @property
    def left_info(self) -> Any:
        """Return the CameraInfo of the left camera."""

    @property
    def right_info(self) -> Any:
        """Return the CameraInfo of the right camera."""

    @property
    def topics(self) -> StereoTopics:
        """Return the names of their topics."""


def decode_pair(
    messages: PairMessages,
    pixel_range: PixelRange,
    layout: ViewLayout = ViewLayout.TWO_TOPICS,
) -> PairInput:
    """Return the images, scaled by `pixel_range`, and calibrations that the messages hold.

    With a `layout` in one image, the left message holds both views.

    Raises ImageError, which names the topic.
    """
    topics = messages.topics
    calibration = (
        camera_model(messages.left_info, source=topics.left_info),
        camera_model(messages.right_info, source=topics.right_info),
    )
    raw = _raw_images(messages, calibration, layout)
    try:
        left, right = scale_pair(*raw, pixel_range)
    except ImageError as error:
        raise ImageError(f'{topics.left} and {topics.right}: {error}') from error
    note = pixel_range.note
    remarks = (f'{topics.left} and {topics.right}: {note.text}',) if note else ()
    suspicious = note is not None and note.is_warning
    return PairInput(
        left=left,
        right=right,
        calibration=calibration,
        left_name=topics.left,
        right_name=topics.right,
        notes=() if suspicious else remarks,
        warnings=remarks if suspicious else (),
    )


def _raw_images(
    messages: PairMessages,
    calibration: tuple[CameraModel, CameraModel],
    layout: ViewLayout,
) -> tuple[RawImage, RawImage]:
    topics = messages.topics
    sizes = [_expected_size(model) for model in calibration]
    if not layout.in_one_image:
        left = _decode(messages.left, topics.left, sizes[0])
        return left, _decode(messages.right, topics.right, sizes[1])
    both = _decode(messages.left, topics.left, _size_of_both(sizes[0], layout))
    try:
        first, second = split_views(both.pixels, layout)
    except ImageError as error:
        raise ImageError(f'{topics.left}: {error}') from error
    return replace(both, pixels=first), replace(both, pixels=second)


def _decode(message: Any, topic: str, expected_size: tuple[int, int] | None) -> RawImage:
    try:
        if hasattr(message, 'format'):
            return decode_compressed_raw(message, expected_size=expected_size)
        return decode_raw(message)
    except ImageError as error:
        raise ImageError(f'{topic}: {error}') from error


def _size_of_both(size: tuple[int, int] | None, layout: ViewLayout) -> tuple[int, int] | None:
    if size is None:
        return None
    width, height = size
    side_by_side = layout is ViewLayout.SIDE_BY_SIDE
    return (2 * width, height) if side_by_side else (width, 2 * height)


def _expected_size(model: CameraModel) -> tuple[int, int] | None:
    """Return width and height of the image as sent; None if the calibration does not say."""
    try:
        projection = model.image_projection()
    except CalibrationError:
        return None
    return projection.width, projection.height
