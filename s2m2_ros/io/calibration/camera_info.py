"""ROS camera_info: YAML of camera_calibration, messages printed by ``ros2 topic echo``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from s2m2_ros.geometry.camera_model import CalibrationError, CameraModel, RegionOfInterest
from s2m2_ros.io.calibration.document import Document
from s2m2_ros.io.calibration.reader import StereoModels
from s2m2_ros.io.calibration.values import (
    Size,
    is_given,
    numbers,
    numbers_if,
    whole_number,
)

# Names in files of camera_calibration, in messages of ROS 2 and of ROS 1.
P_NAMES = ('projection_matrix', 'p', 'P')
K_NAMES = ('camera_matrix', 'k', 'K')
D_NAMES = ('distortion_coefficients', 'd', 'D')
R_NAMES = ('rectification_matrix', 'r', 'R')


def recognizes(document: Document) -> bool:
    """Return whether a file holds two camera_infos: as documents, a list, or by name."""
    return _two(document) is not None


def read(document: Document, image_size: Size) -> StereoModels:
    """Read the left camera's and the right one's camera_info from one file."""
    left, right = (model(document.path, part, image_size) for part in _two(document) or ())
    return left, right


def recognizes_one_camera(document: Document) -> bool:
    """Return whether there is the camera_info of one camera."""
    return _value(document.content, P_NAMES) is not None


def read_one_camera(document: Document, image_size: Size) -> CameraModel:
    """Read the camera_info of one camera."""
    return model(document.path, document.content, image_size)


def model(path: Path, content: Mapping[str, Any], image_size: Size) -> CameraModel:
    """Return the camera that the entries of a camera_info describe."""
    roi = content.get('roi')
    if not isinstance(roi, Mapping):
        if is_given(roi):
            raise CalibrationError(f'{path}: roi is not a mapping')
        roi = {}
    return CameraModel(
        numbers(path, 'projection_matrix', _value(content, P_NAMES), 12),
        _whole(path, content, ('image_width', 'width'), image_size[0]),
        _whole(path, content, ('image_height', 'height'), image_size[1]),
        binning_x=_whole(path, content, ('binning_x',), 1),
        binning_y=_whole(path, content, ('binning_y',), 1),
        roi=RegionOfInterest(
            *(_whole(path, roi, (k,), 0) for k in ('x_offset', 'y_offset', 'width', 'height'))
        ),
        source=str(path),
        K=_raw(content, K_NAMES, 9),
        D=_raw(content, D_NAMES, *range(1, 15)),
        R=_raw(content, R_NAMES, 9),
        distortion_model=_text(content.get('distortion_model')),
    )


def _two(document: Document) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    infos = [part for part in document.parts if _value(part, P_NAMES) is not None]
    # The same camera printed again and again is one camera.
    if len(infos) > 1 and _value(infos[0], P_NAMES) != _value(infos[1], P_NAMES):
        return infos[0], infos[1]
    parts = [_side(document.content, side) for side in ('left', 'right')]
    if all(_value(part, P_NAMES) is not None for part in parts):
        return parts[0], parts[1]
    return None


def _side(content: Mapping[str, Any], side: str) -> Mapping[str, Any]:
    """Return the mapping whose name has a side in it, such as ``left_camera_info``."""
    for key, value in content.items():
        if isinstance(value, Mapping) and side in str(key).lower():
            return value
    return {}


def _value(content: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((content[name] for name in names if name in content), None)


def _raw(content: Mapping[str, Any], names: Sequence[str], *counts: int) -> tuple[float, ...]:
    """Return numbers that only a rectification needs; empty unless they are all there."""
    return numbers_if(_value(content, names), *counts)


def _whole(path: Path, content: Mapping[str, Any], names: Sequence[str], default: int) -> int:
    value = _value(content, names)
    return whole_number(path, names[0], value) if is_given(value) else default


def _text(value: Any) -> str:
    return value.strip()[:80] if isinstance(value, str) and is_given(value) else ''
