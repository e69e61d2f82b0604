"""Files that describe the cameras before rectification: rejected with what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NoReturn

from s2m2_ros.geometry.camera_model import CalibrationError
from s2m2_ros.io.calibration import focal_lengths
from s2m2_ros.io.calibration.document import Document
from s2m2_ros.io.calibration.names import matrices_by_kind, pair_of
from s2m2_ros.io.calibration.values import Size

WHAT_TO_DO = (
    'it describes the cameras before rectification, but a disparity only means a depth between '
    'rectified images. Rectify the images (cv2.stereoRectify and cv2.remap, or image_proc) and '
    'give the calibration of the rectified pair: P1 and P2 or Q of cv2.stereoRectify, or the '
    'projection_matrix of both cameras. Raw images are rectified here (rectify: true) if '
    'their calibration is a camera_info of each camera, with K, D, R and P'
)
FISHEYE_OR_MEI = ('MEI', 'KANNALA_BRANDT', 'PINHOLE', 'SCARAMUZZA', 'PINHOLE_FULL')
SECTION_OF_ZED = re.compile(r'^\[(?:LEFT|RIGHT)_CAM_\w{1,20}\]', re.MULTILINE)


def kind_of(document: Document) -> str:
    """Return what a file from before rectification is called; empty if it is none."""
    return next((name for name, recognizes in KINDS.items() if recognizes(document)), '')


def recognizes(document: Document) -> bool:
    """Return whether a file describes cameras before rectification."""
    return bool(kind_of(document))


def reject(document: Document, image_size: Size) -> NoReturn:
    """Raise CalibrationError: says what the file is and what to do."""
    raise CalibrationError(f'{document.path}: this is {kind_of(document)}: {WHAT_TO_DO}')


def _has(*names: str) -> Callable[[Document], bool]:
    """Return a test for mappings that have all of these names, themselves or one level below."""

    def test(document: Document) -> bool:
        content = document.content
        levels = [content, *(v for v in content.values() if isinstance(v, Mapping))][:50]
        return any(all(name in level for name in names) for level in levels)

    return test


def _any_of(*tests: Callable[[Document], bool]) -> Callable[[Document], bool]:
    return lambda document: any(test(document) for test in tests)


def _in_text(*marks: str) -> Callable[[Document], bool]:
    return lambda document: any(mark in document.text for mark in marks)


def _is_vins(document: Document) -> bool:
    model = document.content.get('model_type')
    return (isinstance(model, str) and model.strip().upper() in FISHEYE_OR_MEI) or _has(
        'body_T_cam0'
    )(document)


def _is_matlab(document: Document) -> bool:
    return document.data.startswith((b'MATLAB 5.0 MAT-file', b'MATLAB 7.')) or bool(
        re.search(r'^(?:om|fc_left|fc_right) = \[', document.text, re.MULTILINE)
    )


def _is_raw_opencv(document: Document) -> bool:
    """Return whether K or R and T are there, but neither P1 and P2 nor Q."""
    found = matrices_by_kind(document.content)
    return any(kind in found for kind in 'KD') or ('R' in found and 'T' in found)


def has_projections_of_raw_cameras(document: Document) -> bool:
    """Return whether K, D and projections are there, but no rotations that would rectify.

    Without R1 and R2 the projections may be those of the cameras as they stood. P1 and P2 are the
    names of what `cv2.stereoRectify` returned.
    """
    found = matrices_by_kind(document.content)
    whole = all(pair_of(found, kind) is not None for kind in 'KDP')
    return whole and pair_of(found, 'R') is None and not {'1', '2'} <= set(found['P'])


def reject_projections(document: Document, image_size: Size) -> NoReturn:
    """Raise CalibrationError: says why the projections are not taken, and how to have them so."""
    raise CalibrationError(
        f'{document.path}: it holds camera matrices and distortion beside the projection '
        f'matrices, but no rotations R1 and R2 that would rectify the images: {WHAT_TO_DO}. If '
        'the images are rectified and the projection matrices theirs, save these alone, as P1 '
        'and P2'
    )


def _is_distorted(document: Document) -> bool:
    found = focal_lengths.scalars(document.content)
    return 'fx' in found and focal_lengths.distorted(document.content)


KINDS: Mapping[str, Callable[[Document], bool]] = {
    'a sensor.yaml of EuRoC': _has('T_BS', 'intrinsics'),
    'a calibration of Kalibr or Basalt': _any_of(
        _has('T_cn_cnm1'),
        _has('T_cam_imu'),
        _has('T_imu_cam'),
        _has('distortion_coeffs', 'intrinsics'),
        _in_text('aslam_cv', 'Camera-system parameters', 'T_B_C'),
    ),
    'a calibration of ZED': lambda document: bool(SECTION_OF_ZED.search(document.text)),
    'a camera or settings file of VINS': _is_vins,
    "a calibration of MATLAB's stereo calibrator": _is_matlab,
    'a calibration of depthai': _has('cameraData'),
    'a camera model of mrcal': _in_text('LENSMODEL_'),
    'settings of ORB-SLAM for raw cameras': _any_of(
        _has('Stereo.T_c1_c2'), _has('Camera1.fx', 'Camera2.fx'), _has('Tlr')
    ),
    'a file with camera matrices or R and T, without P1 and P2': _is_raw_opencv,
    'a file with the distortion of a lens': _is_distorted,
}
