"""What a reader of one calibration format is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from s2m2_ros.geometry.camera_model import CameraModel
from s2m2_ros.io.calibration.document import Document
from s2m2_ros.io.calibration.values import Size

StereoModels = tuple[CameraModel, CameraModel]


@dataclass(frozen=True)
class StereoReader:
    """A format in which one file describes both cameras.

    Attributes:
        name: what an error calls the format.
        recognizes: whether a file is of this format, right or not; raises nothing.
        read: returns the left and the right camera, given the width and height of the images for
            formats that leave them out; raises CalibrationError.
        listed: whether it is named among the formats that are read; some readers only explain.

    """

    name: str
    recognizes: Callable[[Document], bool]
    read: Callable[[Document, Size], StereoModels]
    listed: bool = True


@dataclass(frozen=True)
class CameraReader:
    """A format in which one file describes one camera of the pair; fields as `StereoReader`."""

    name: str
    recognizes: Callable[[Document], bool]
    read: Callable[[Document, Size], CameraModel]
    listed: bool = True
