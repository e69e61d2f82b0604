"""Calibrations of rectified stereo pairs from files, recognised by what they hold.

Middlebury's `calib.txt`; KITTI's `calib.txt` and `calib_cam_to_cam.txt`; OpenCV's YAML with the
P1, P2 (or Q) of `stereoRectify`; a pair of ROS camera_info YAML files, as camera_calibration or
`ros2 topic echo` write them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from s2m2_ros.geometry.camera_model import CalibrationError, CameraModel, RegionOfInterest

Size = tuple[int, int]
StereoModels = tuple[CameraModel, CameraModel]

# Far more than any of these formats takes.
LARGEST_FILE = 1 << 20
# Numbers must follow on the same line: OpenCV's files have a P1 too.
KITTI_LINE = re.compile(
    r'^(P\d|P_rect_\d\d|S_rect_\d\d):((?:[ \t]+[-+.\deE]+)+)[ \t]*$', re.MULTILINE
)
# Cameras 2 and 3 are KITTI's colour pair, 0 and 1 the grey one.
KITTI_PAIRS = (('2', '3'), ('0', '1'))
SIDES = ('left', 'right')


def read_calibration(paths: Sequence[Path], *, image_size: Size) -> StereoModels:
    """Return the left and the right camera of a rectified pair.

    Args:
        paths: one file, two camera_info files (left, right), or a folder that holds such a pair
            as left.yaml and right.yaml.
        image_size: width and height of the images in pixels, for formats that leave it out.

    Raises:
        CalibrationError: a file is missing or not understood; says which and why. What the
            numbers mean is checked by `StereoCamera.from_projection`.

    """
    if len(paths) == 1 and paths[0].is_dir():
        paths = [paths[0] / f'{side}.yaml' for side in SIDES]
    if len(paths) == 2:
        left, right = (_camera_info(path, _yaml(path), image_size) for path in paths)
        return left, right
    if len(paths) != 1:
        raise CalibrationError(f'a calibration is one file or two, not {len(paths)}')
    return _reader(paths[0])(paths[0], image_size)


def _reader(path: Path) -> Callable[[Path, Size], StereoModels]:
    text = _text(path)
    if re.search(r'^\s*cam0\s*=', text, re.MULTILINE):
        return _middlebury
    if KITTI_LINE.search(text):
        return _kitti
    return _opencv


def _middlebury(path: Path, image_size: Size) -> StereoModels:
    """Read e.g. `cam0=[3997.684 0 1176.728; 0 3997.684 1011.728; 0 0 1]`, baseline in mm."""
    entries = dict(line.split('=', 1) for line in _text(path).splitlines() if line.count('=') == 1)
    values = {key.strip(): _numbers(path, key, value) for key, value in entries.items()}
    cameras = [_required(path, values, key, 9) for key in ('cam0', 'cam1')]
    baseline = _required(path, values, 'baseline', 1)[0] / 1000
    width = int(values.get('width', [image_size[0]])[0])
    height = int(values.get('height', [image_size[1]])[0])

    def model(K: Sequence[float], shift: float) -> CameraModel:
        P = (*K[:3], shift, *K[3:6], 0.0, *K[6:], 0.0)
        return CameraModel(P, width, height, source=str(path))

    return model(cameras[0], 0.0), model(cameras[1], -cameras[1][0] * baseline)


def _kitti(path: Path, image_size: Size) -> StereoModels:
    """Read `P2: ...` or `P_rect_02: ...` with 12 numbers; P[3] is -f times metres already."""
    found = {
        key.replace('_rect_0', ''): _numbers(path, key, value)
        for key, value in KITTI_LINE.findall(_text(path))
    }
    for numbers in KITTI_PAIRS:
        if all(f'P{number}' in found for number in numbers):
            left, right = (_kitti_camera(path, found, n, image_size) for n in numbers)
            return left, right
    raise CalibrationError(f'{path}: neither cameras 2 and 3 nor 0 and 1 are there')


def _kitti_camera(
    path: Path, found: Mapping[str, list[float]], number: str, image_size: Size
) -> CameraModel:
    P = _required(path, found, f'P{number}', 12)
    # The published matrices hold millimetre offsets in the last column that a rectified pair
    # cannot have; the third camera's differ by microns.
    P[7] = P[11] = 0.0
    size = found.get(f'S{number}', list(image_size))
    if len(size) != 2:
        raise CalibrationError(f'{path}: S_rect_0{number} holds {len(size)} numbers, not 2')
    return CameraModel(P, int(size[0]), int(size[1]), source=str(path))


def _opencv(path: Path, image_size: Size) -> StereoModels:
    """Read the matrices P1 and P2, or Q, that `cv2.stereoRectify` returned."""
    content = _yaml(path)
    if 'projection_matrix' in content or 'p' in content or 'P' in content:
        raise CalibrationError(
            f'{path}: this is the camera_info of one camera: give the left and the right file'
        )
    if 'P1' in content and 'P2' in content:
        P1, P2 = (_matrix(path, content, key, 12) for key in ('P1', 'P2'))
    elif 'Q' in content:
        P1, P2 = _projections_of_q(path, _matrix(path, content, 'Q', 16))
    else:
        raise CalibrationError(
            f'{path}: not a known calibration: no cam0 (Middlebury), P2 or P_rect_02 (KITTI), P1 '
            'and P2 or Q (OpenCV), and not two camera_info files (ROS)'
        )
    width, height = image_size
    return (
        CameraModel(P1, width, height, source=str(path)),
        CameraModel(P2, width, height, source=str(path)),
    )


def _projections_of_q(path: Path, Q: Sequence[float]) -> tuple[list[float], list[float]]:
    """Invert OpenCV's definition of Q (documentation of `stereoRectify`)."""
    focal, cx, cy = Q[11], -Q[3], -Q[7]
    if Q[14] == 0:
        raise CalibrationError(f'{path}: Q[3][2] is 0, so the baseline is infinite')
    # Q[3][2] = -1 / Tx and Q[3][3] = (cx - cx') / Tx, Tx being minus the baseline.
    shift = -focal / Q[14]
    right_cx = cx - Q[15] / -Q[14]
    left = [focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    right = [focal, 0.0, right_cx, shift, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return left, right


def _camera_info(path: Path, content: Mapping[str, Any], image_size: Size) -> CameraModel:
    """Read a file of camera_calibration_parsers, or a CameraInfo message printed as YAML."""
    key = next((k for k in ('projection_matrix', 'p', 'P') if k in content), None)
    if key is None:
        raise CalibrationError(f'{path}: no projection_matrix: not a camera_info file')
    roi = content.get('roi') or {}
    if not isinstance(roi, Mapping):
        raise CalibrationError(f'{path}: roi is not a mapping')
    return CameraModel(
        _matrix(path, content, key, 12),
        _integer(path, content, ('image_width', 'width'), image_size[0]),
        _integer(path, content, ('image_height', 'height'), image_size[1]),
        binning_x=_integer(path, content, ('binning_x',), 1),
        binning_y=_integer(path, content, ('binning_y',), 1),
        roi=RegionOfInterest(
            *(_integer(path, roi, (k,), 0) for k in ('x_offset', 'y_offset', 'width', 'height'))
        ),
        source=str(path),
    )


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise CalibrationError(f'{path}: far too large for a calibration')
        return path.read_text(encoding='utf-8')
    except OSError as error:
        raise CalibrationError(f'{path}: cannot be read ({error.strerror})') from error
    except UnicodeDecodeError as error:
        raise CalibrationError(f'{path}: not a text file') from error


class _Loader(yaml.SafeLoader):
    """Plain YAML, and OpenCV's tag for matrices."""


def _opencv_matrix(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if not isinstance(node, yaml.MappingNode):
        raise yaml.YAMLError('an opencv-matrix that is no mapping')
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor('tag:yaml.org,2002:opencv-matrix', _opencv_matrix)


def _yaml(path: Path) -> Mapping[str, Any]:
    # OpenCV begins with a directive that YAML does not know.
    text = re.sub(r'\A%YAML:\S*\s', '', _text(path))
    try:
        documents = list(yaml.load_all(text, _Loader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        summary = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CalibrationError(f'{path}: not readable as YAML ({summary})') from error
    # `ros2 topic echo` ends a message with a separator.
    content = documents[0] if documents else None
    if not isinstance(content, Mapping):
        raise CalibrationError(f'{path}: holds no calibration')
    return content


def _matrix(path: Path, content: Mapping[str, Any], key: str, count: int) -> list[float]:
    value = content[key]
    data = value.get('data') if isinstance(value, Mapping) else value
    return _checked(path, key, data, count)


def _required(
    path: Path, values: Mapping[str, Sequence[float]], key: str, count: int
) -> list[float]:
    if key not in values:
        raise CalibrationError(f'{path}: {key} is missing')
    return _checked(path, key, values[key], count)


def _numbers(path: Path, key: str, text: str) -> list[float]:
    words = re.sub(r'[\[\];,]', ' ', text).split()
    return _checked(path, key, words, len(words))


def _checked(path: Path, key: str, data: Any, count: int) -> list[float]:
    """Return `count` finite numbers, or raise CalibrationError."""
    try:
        numbers = [float(value) for value in data]
    except (TypeError, ValueError, OverflowError) as error:
        raise CalibrationError(f'{path}: {key} does not consist of numbers') from error
    if len(numbers) != count or not all(math.isfinite(n) for n in numbers):
        raise CalibrationError(f'{path}: {key} must be {count} finite number(s): {numbers[:16]}')
    return numbers


def _integer(path: Path, content: Mapping[str, Any], keys: Sequence[str], default: int) -> int:
    value = next((content[key] for key in keys if key in content), default)
    if not isinstance(value, int):
        raise CalibrationError(f'{path}: {keys[0]} must be a whole number, not {value!r}')
    return value
