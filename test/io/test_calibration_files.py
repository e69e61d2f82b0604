"""Calibrations in every format, with numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2m2_ros.geometry.camera_model import CalibrationError
from s2m2_ros.geometry.stereo_camera import StereoCamera
from s2m2_ros.io.calibration import read_calibration

MIDDLEBURY = """\
cam0=[994.978 0 311.193; 0 994.978 254.877; 0 0 1]
cam1=[994.978 0 342.279; 0 994.978 254.877; 0 0 1]
doffs=31.086
baseline=193.001
width=741
height=500
ndisp=70
"""
KITTI_RAW = """\
calib_time: 09-Jan-2012 13:57:47
corner_dist: 9.950000e-02
S_rect_02: 1.242000e+03 3.750000e+02
P_rect_02: 7.2e+02 0.0 6.1e+02 4.5e+01 0.0 7.2e+02 1.7e+02 2.1e-01 0.0 0.0 1.0 2.7e-03
S_rect_03: 1.242000e+03 3.750000e+02
P_rect_03: 7.2e+02 0.0 6.1e+02 -3.42e+02 0.0 7.2e+02 1.7e+02 2.2e+00 0.0 0.0 1.0 2.7e-03
"""
KITTI_ODOMETRY = """\
P0: 700 0 600 0 0 700 180 0 0 0 1 0
P1: 700 0 600 -350 0 700 180 0 0 0 1 0
Tr: 1 0 0 0 0 1 0 0 0 0 1 0
"""
CAMERA_INFO = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo/left
camera_matrix: {{rows: 3, cols: 3, data: [430., 0., 320., 0., 430., 240., 0., 0., 1.]}}
projection_matrix:
  rows: 3
  cols: 4
  data: [450., 0., 300., {shift}, 0., 450., 250., 0., 0., 0., 1., 0.]
"""
ECHOED = """\
header:
  frame_id: left
height: 480
width: 640
p:
- 450.0
- 0.0
- 300.0
- {shift}
- 0.0
- 450.0
- 250.0
- 0.0
- 0.0
- 0.0
- 1.0
- 0.0
binning_x: 2
binning_y: 2
roi:
  x_offset: 40
  y_offset: 20
  height: 400
  width: 500
  do_rectify: false
---
"""


def read(tmp_path: Path, *texts: str, size: tuple[int, int] = (640, 480)) -> StereoCamera:
    paths = []
    for index, text in enumerate(texts):
        paths.append(tmp_path / f'{index}.txt')
        paths[-1].write_text(text)
    return StereoCamera.from_projection(*read_calibration(paths, image_size=size))


def test_middlebury(tmp_path: Path) -> None:
    camera = read(tmp_path, MIDDLEBURY)
    assert (camera.width, camera.height) == (741, 500)
    assert camera.focal_length == 994.978
    assert camera.baseline == pytest.approx(0.193001)
    assert (camera.left.x, camera.right.x, camera.left.y) == (311.193, 342.279, 254.877)


def test_middlebury_without_a_size_takes_the_images(tmp_path: Path) -> None:
    text = '\n'.join(MIDDLEBURY.splitlines()[:4])
    assert read(tmp_path, text, size=(741, 500)).width == 741


def test_kitti_raw_prefers_the_color_pair(tmp_path: Path) -> None:
    camera = read(tmp_path, KITTI_RAW)
    assert (camera.width, camera.height) == (1242, 375)
    assert camera.focal_length == 720
    assert camera.baseline == pytest.approx((45 + 342) / 720)


def test_kitti_odometry_takes_the_size_of_the_images(tmp_path: Path) -> None:
    camera = read(tmp_path, KITTI_ODOMETRY, size=(1241, 376))
    assert (camera.width, camera.height) == (1241, 376)
    assert camera.baseline == pytest.approx(0.5)


def test_pair_of_camera_infos(tmp_path: Path) -> None:
    camera = read(tmp_path, CAMERA_INFO.format(shift=0.0), CAMERA_INFO.format(shift=-33.75))
    assert (camera.width, camera.height) == (640, 480)
    assert camera.focal_length == 450
    assert camera.baseline == pytest.approx(0.075)


def test_folder_of_camera_infos(tmp_path: Path) -> None:
    (tmp_path / 'left.yaml').write_text(CAMERA_INFO.format(shift=0.0))
    (tmp_path / 'right.yaml').write_text(CAMERA_INFO.format(shift=-33.75))
    left, right = read_calibration([tmp_path], image_size=(640, 480))
    assert (left.P[3], right.P[3]) == (0.0, -33.75)


def test_echoed_messages_keep_binning_and_region(tmp_path: Path) -> None:
    camera = read(tmp_path, ECHOED.format(shift=0.0), ECHOED.format(shift=-33.75))
    assert (camera.width, camera.height) == (250, 200)
    assert (camera.focal_length, camera.left.x, camera.left.y) == (225, 130, 115)
    assert camera.baseline == pytest.approx(0.075)


@pytest.mark.parametrize('names', [('P1', 'P2'), ('Q',)])
def test_opencv_files_as_opencv_writes_them(tmp_path: Path, names: tuple[str, ...]) -> None:
    K = np.array([[700.0, 0, 330], [0, 700, 250], [0, 0, 1]])
    translation = np.array([[-0.12], [0.0], [0.0]])
    rectified = cv2.stereoRectify(
        K, np.zeros(5), K, np.zeros(5), (640, 480), np.eye(3), translation, flags=0, alpha=0
    )
    found = zip(('R1', 'R2', 'P1', 'P2', 'Q'), rectified, strict=False)
    matrices = {name: np.asarray(matrix, np.float64) for name, matrix in found}
    path = tmp_path / 'extrinsics.yml'
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name in names:
        storage.write(name, matrices[name])
    storage.release()
    left, right = read_calibration([path], image_size=(640, 480))
    assert np.allclose(np.reshape(left.P, (3, 4)), matrices['P1'])
    assert np.allclose(np.reshape(right.P, (3, 4)), matrices['P2'])


def test_q_with_differing_principal_points(tmp_path: Path) -> None:
    # f 500, B 0.1: Tx = -0.1; cx 320, cx' 300: Q[3][3] = (320 - 300) / -0.1 * -1 = (cx-cx')/B.
    rows = [1, 0, 0, -320, 0, 1, 0, -240, 0, 0, 0, 500, 0, 0, 10, -200]
    path = tmp_path / 'q.yml'
    path.write_text(f'%YAML:1.0\n---\nQ: !!opencv-matrix\n   rows: 4\n   data: {rows}\n')
    left, right = read_calibration([path], image_size=(640, 480))
    # cv2.reprojectImageTo3D at d = 45 for x = 340: W = 10 * 45 - 200 = 250, Z = 500 / 250 = 2.
    camera = StereoCamera.from_projection(left, right)
    assert camera.baseline == pytest.approx(0.1)
    assert camera.left.x - camera.right.x == pytest.approx(20)
    depth = camera.depth(torch.full((480, 640), 45.0))
    assert depth[240, 340].item() == pytest.approx(2.0)


BAD = {
    'empty': '',
    'a list': '- 1\n- 2\n',
    'prose': 'Dear sir or madam',
    'broken YAML': 'a: [1, 2\nb: }',
    'python object': '!!python/object/apply:os.system ["true"]',
    'deep nesting': '[' * 5000,
    'one camera': CAMERA_INFO.format(shift=0.0),
    'no cam1': MIDDLEBURY.replace('cam1', 'camX'),
    'no baseline': MIDDLEBURY.replace('baseline', 'other'),
    'short matrix': MIDDLEBURY.replace('0 0 1]', '0 0]'),
    'words': MIDDLEBURY.replace('994.978', 'f'),
    'NaN': MIDDLEBURY.replace('193.001', 'nan'),
    'infinite size': MIDDLEBURY.replace('741', 'inf'),
    'only one of the pair': 'P2: ' + '1 ' * 12,
    'eleven numbers': 'P2: ' + '1 ' * 11 + '\nP3: ' + '1 ' * 11,
    'size of one number': KITTI_RAW.replace(' 3.750000e+02', ''),
    'Q with no baseline': f'Q: {[0] * 16}',
    'P1 of words': 'P1: [a]\nP2: [b]',
    'P1 a number': 'P1: 3\nP2: 4',
}


@pytest.mark.parametrize('text', BAD.values(), ids=BAD.keys())
def test_what_is_not_a_calibration_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / 'bad.txt'
    path.write_text(text)
    with pytest.raises(CalibrationError, match=r'bad\.txt'):
        read_calibration([path], image_size=(640, 480))


def test_binary_large_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / 'binary').write_bytes(b'\xff\xfe\x00' * 9)
    (tmp_path / 'large').write_bytes(b'\n' * (1 << 21))
    for name in ('binary', 'large', 'missing'):
        with pytest.raises(CalibrationError, match=name):
            read_calibration([tmp_path / name], image_size=(640, 480))


def test_three_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match='not 3'):
        read_calibration([tmp_path] * 3, image_size=(640, 480))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    base=st.sampled_from([MIDDLEBURY, KITTI_RAW, CAMERA_INFO.format(shift=0.0), ECHOED]),
    position=st.integers(0, 400),
    junk=st.text(max_size=8),
)
def test_damaged_files_raise_nothing_else(
    tmp_path: Path, base: str, position: int, junk: str
) -> None:
    path = tmp_path / 'damaged.txt'
    text = base[:position] + junk + base[position + len(junk) :]
    path.write_text(text, encoding='utf-8', errors='ignore')
    for paths in ([path], [path, path]):
        try:
            models = read_calibration(paths, image_size=(640, 480))
            StereoCamera.from_projection(*models)
        except CalibrationError:
            pass
