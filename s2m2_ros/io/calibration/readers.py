"""Calibrations of rectified stereo pairs from files, recognized by what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from s2m2_ros.geometry.camera_model import CalibrationError, CameraModel
from s2m2_ros.io.calibration import (
    before_rectification,
    camera_info,
    focal_lengths,
    kitti,
    middlebury,
    opencv,
    ost,
    plain_numbers,
)
from s2m2_ros.io.calibration.document import Document, load_document
from s2m2_ros.io.calibration.folders import files_of
from s2m2_ros.io.calibration.reader import CameraReader, StereoModels, StereoReader
from s2m2_ros.io.calibration.values import Size

# Both cameras in one file; the first reader that recognizes a file reads it.
READERS = (
    StereoReader('Middlebury calib.txt', middlebury.recognizes, middlebury.read),
    StereoReader('KITTI and DrivingStereo', kitti.recognizes, kitti.read),
    StereoReader('ost.txt of ROS', ost.recognizes, ost.read),
    StereoReader(
        'K.txt (3x3 matrix, then the baseline in meters)',
        plain_numbers.recognizes,
        plain_numbers.read,
    ),
    StereoReader('camera_info of both cameras', camera_info.recognizes, camera_info.read),
    StereoReader(
        'projections beside camera matrices',
        before_rectification.has_projections_of_raw_cameras,
        before_rectification.reject_projections,
        listed=False,
    ),
    StereoReader(
        'P1 and P2 or Q of OpenCV (YAML, XML, JSON, npz, npy)', opencv.recognizes, opencv.read
    ),
    StereoReader('fx, cx, cy and baseline by name', focal_lengths.recognizes, focal_lengths.read),
)
# One camera in a file; the left camera's file comes with the right one's.
CAMERA_READERS = (
    CameraReader(
        'camera_info YAML of ROS', camera_info.recognizes_one_camera, camera_info.read_one_camera
    ),
    CameraReader('ost.txt of ROS', ost.recognizes_one_camera, ost.read_one_camera),
    CameraReader(
        'projection matrix by name', opencv.recognizes_one_camera, opencv.read_one_camera
    ),
    CameraReader(
        'projection matrix as text',
        plain_numbers.recognizes_one_camera,
        plain_numbers.read_one_camera,
    ),
)
# Beginnings of pickles of protocols 2 to 5.
PICKLE = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
KNOWN_FORMATS = ', '.join(
    dict.fromkeys(reader.name for reader in (*READERS, *CAMERA_READERS) if reader.listed)
)


def read_calibration(paths: Sequence[Path], *, image_size: Size) -> StereoModels:
    """Return the left and the right camera of a rectified pair.

    Args:
        paths: one file of both cameras, two files (left, right), or a folder that holds them;
            ``~`` is expanded.
        image_size: width and height of the images in pixels, for formats that leave it out.

    Raises:
        CalibrationError: a file is missing or not understood; says which and why. What the
            numbers mean is checked by `StereoCamera.from_projection`.

    """
    paths = [_expanded(path) for path in paths]
    if len(paths) == 1 and _is_folder(paths[0]):
        paths = files_of(
            paths[0],
            is_pair=_is_pair,
            is_camera=_is_camera,
            is_raw=before_rectification.recognizes,
            is_beside=opencv.is_beside,
        )
    if len(paths) not in (1, 2):
        raise CalibrationError(f'a calibration is one file or two, not {len(paths)}')
    documents = [load_document(path) for path in paths]
    if len(documents) == 1:
        return _read_pair(documents[0], image_size)
    whole = [document for document in documents if _is_pair(document)]
    # OpenCV's sample saves intrinsics.yml beside extrinsics.yml, which has P1 and P2.
    if len(whole) == 1 and not any(_is_camera(document) for document in documents):
        other = documents[1 - documents.index(whole[0])]
        return _read_pair(opencv.joined(whole[0], other), image_size)
    left, right = (_read_camera(document, image_size) for document in documents)
    return left, right


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # a user without a home
        return path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # the reading of the file says why
        return False


def _is_pair(document: Document) -> bool:
    return any(reader.recognizes(document) for reader in READERS)


def _is_camera(document: Document) -> bool:
    return any(reader.recognizes(document) for reader in CAMERA_READERS)


def _read_pair(document: Document, image_size: Size) -> StereoModels:
    for reader in READERS:
        if reader.recognizes(document):
            return reader.read(document, image_size)
    if _is_camera(document):
        raise CalibrationError(
            f'{document.path}: this is the calibration of one camera: give the left and the '
            'right file'
        )
    raise _unknown(document, image_size)


def _read_camera(document: Document, image_size: Size) -> CameraModel:
    for reader in CAMERA_READERS:
        if reader.recognizes(document):
            return reader.read(document, image_size)
    if _is_pair(document):
        raise CalibrationError(
            f'{document.path}: this file describes both cameras: give it alone, not beside another'
        )
    raise _unknown(document, image_size)


def _unknown(document: Document, image_size: Size) -> CalibrationError:
    if before_rectification.recognizes(document):
        before_rectification.reject(document, image_size)
    reason = _why_unknown(document)
    return CalibrationError(
        f'{document.path}: not a known calibration{reason}; known are {KNOWN_FORMATS}'
    )


def _why_unknown(document: Document) -> str:
    if not document.data:
        return ' (the file is empty)'
    if document.data.startswith(PICKLE):
        return (
            ' but a pickle of Python, which is never read, because it can run code (save the '
            'matrices with numpy.savez(FILE, P1=P1, P2=P2))'
        )
    if document.problem:
        return f' (not readable as YAML: {document.problem})'
    problem = focal_lengths.what_is_wrong(document.content)
    return f' ({problem})' if problem else ''
