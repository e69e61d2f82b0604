"""Formats of calibrations beside those of Middlebury, KITTI and ROS, with numbers by hand."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from s2m2_ros.geometry import CalibrationError, CameraModel, StereoCamera
from s2m2_ros.geometry.rectification import distortion_doubt, raw_calibration
from s2m2_ros.io.calibration import CAMERA_READERS, READERS, read_calibration

# f 250 px, B 0.1 m, principal points 160 and 150: the cameras of every file here.
P1 = np.array([[250.0, 0, 160, 0], [0, 250, 120, 0], [0, 0, 1, 0]])
P2 = np.array([[250.0, 0, 150, -25], [0, 250, 120, 0], [0, 0, 1, 0]])
# Tx = -0.1: Q[3][2] = -1 / Tx, Q[3][3] = (160 - 150) / Tx.
Q = np.array([[1, 0, 0, -160.0], [0, 1, 0, -120], [0, 0, 0, 250], [0, 0, 10, -100]])
K = P1[:, :3]
SIZE = (320, 240)

MIDDLEBURY = """\
cam0=[250 0 160; 0 250 120; 0 0 1]
cam1=[250 0 150; 0 250 120; 0 0 1]
doffs=-10
baseline=100
width=320
height=240
"""
KITTI = f"""\
P0: {' '.join(map(str, P1.ravel()))}
P1: {' '.join(map(str, P2.ravel()))}
"""
DRIVING_STEREO = f"""\
S_101: 1920 1080
K_101: 2066.0 0 934.3 0 2066.0 564.2 0 0 1
S_rect_101: 320 240
R_rect_101: 1 0 0 0 1 0 0 0 1
P_rect_101: {' '.join(map(str, P1.ravel()))}
T_103: -0.1 0 0
S_rect_103: 3.2e+02 2.4e+02
P_rect_103: {' '.join(map(str, P2.ravel()))}
"""
OST = """\
# oST version 5.0 parameters


[image]

width
320

height
240

[narrow_stereo/left]

camera matrix
255 0 161
0 256 121
0 0 1

distortion
0.09 -0.28 0.002 -0.01 0

rectification
1 0 0
0 1 0
0 0 1

projection
250 0 160 0
0 250 120 0
0 0 1 0

[narrow_stereo/right]

projection
250 0 150 -25
0 250 120 0
0 0 1 0
"""
ORB_SLAM = """\
%YAML:1.0
Camera.fx: 435.2
Camera.bf: 47.9
LEFT.height: 240
LEFT.width: 320
LEFT.P: !!opencv-matrix
   rows: 3
   cols: 4
   dt: d
   data: [ 250, 0, 160, 0, 0, 250, 120, 0, 0, 0, 1, 0 ]
RIGHT.P: !!opencv-matrix
   rows: 3
   cols: 4
   dt: d
   data: [ 250, 0, 150, -25, 0, 250, 120, 0, 0, 0, 1, 0 ]
"""


def camera(path: Path, *more: Path) -> StereoCamera:
    return StereoCamera.from_projection(*read_calibration([path, *more], image_size=SIZE))


def assert_read(path: Path, *more: Path, right_x: float = 150) -> None:
    found = camera(path, *more)
    assert (found.width, found.height) == SIZE
    assert (found.focal_length, found.focal_length_y) == pytest.approx((250, 250))
    assert found.baseline == pytest.approx(0.1)
    assert (found.left.x, found.left.y) == pytest.approx((160, 120))
    assert found.right.x == pytest.approx(right_x)
    assert found.warnings == ()
    assert str(path) in found.source or path.is_dir()


TEXTS = {
    'Middlebury': MIDDLEBURY,
    'Middlebury over several lines': MIDDLEBURY.replace('; ', ';\n      '),
    'Middlebury with blanks and comments': '# mine\n'
    + MIDDLEBURY.replace('=', ' = ').replace('\n', ' # x\n'),
    'Middlebury with rounded doffs': MIDDLEBURY.replace('-10', '-10.4'),
    'KITTI': KITTI,
    'DrivingStereo': DRIVING_STEREO,
    'ost.txt': OST,
    'ORB-SLAM with projections': ORB_SLAM,
    'YAML, nested lists': f'P1: {P1.tolist()}\nP2: {P2.tolist()}\n',
    'JSON': json.dumps({'P1': P1.tolist(), 'P2': P2.tolist()}),
    'JSON with tabs': json.dumps({'P1': P1.tolist(), 'P2': P2.tolist()}, indent='\t'),
    'JSON of two camera_infos': json.dumps(
        [{'width': 320, 'height': 240, 'p': P.ravel().tolist()} for P in (P1, P2)]
    ),
    'JSON by camera': json.dumps(
        {'left': {'P': P1.ravel().tolist()}, 'right': {'P': P2.ravel().tolist()}}
    ),
    'aliases of YAML': f'a: &a {P1.tolist()}\nP1: *a\nP2: {P2.tolist()}\n',
    'both matrices as numbers': '\n'.join(
        ' '.join(map(str, row)) for row in np.vstack((P1, P2)).tolist()
    ),
    'camera_infos as two documents': '---\n'.join(
        f'width: 320\nheight: 240\np: {P.ravel().tolist()}\n' for P in (P1, P2)
    ),
}


@pytest.mark.parametrize('text', TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize(
    'encoded',
    [
        pytest.param(lambda text: text.encode(), id='plain'),
        pytest.param(lambda text: text.encode('utf-8-sig'), id='byte order mark'),
        pytest.param(lambda text: text.encode('utf-16'), id='UTF-16'),
        pytest.param(lambda text: text.encode('utf-16-be'), id='UTF-16 without a mark'),
        pytest.param(lambda text: text.replace('\n', '\r\n').encode(), id='lines of Windows'),
        pytest.param(lambda text: gzip.compress(text.encode()), id='gzip'),
    ],
)
def test_texts(text: str, encoded: Callable[[str], bytes], tmp_path: Path) -> None:
    path = tmp_path / 'calibration'
    path.write_bytes(encoded(text))
    assert_read(path)


def test_comments_in_the_code_page_of_windows(tmp_path: Path) -> None:
    path = tmp_path / 'calib.txt'
    path.write_bytes('# Größe\n'.encode('cp1252') + KITTI.encode())
    assert_read(path)


@pytest.mark.parametrize(
    'text',
    [
        '250 0 160 0 250 120 0 0 1\n0.1\n',
        '250 0 160\n0 250 120\n0 0 1\n0.1',
        '250, 0, 160, 0, 250, 120, 0, 0, 1  # K\n0.1  # meters\n',
        '[[250 0 160]\n [0 250 120]\n [0 0 1]]\n1e-1\n',
        json.dumps({'K': K.tolist(), 'baseline': 0.1}),
        json.dumps({'intrinsics': [250, 250, 160, 120], 'baseline_mm': 100}),
        'fx: 250\nfy: 250\ncx: 160\ncy: 120\nbaseline: 0.1\n',
        'Camera.fx: 250.0\nCamera.fy: 250.0\nCamera.cx: 160.0\nCamera.cy: 120.0\n'
        'Camera.k1: 0.0\nCamera.width: 320\nCamera.height: 240\nCamera.bf: 25.0\n',
        'Camera.type: "Rectified"\nCamera1.fx: 250.0\nCamera1.fy: 250.0\nCamera1.cx: 160.0\n'
        'Camera1.cy: 120.0\nStereo.b: 0.1\n',
        # Cityscapes
        '{"extrinsic": {"baseline": 0.1, "pitch": 0.03, "x": 1.7, "z": 1.2}, '
        '"intrinsic": {"fx": 250, "fy": 250, "u0": 160, "v0": 120}}',
    ],
)
def test_k_and_baseline(text: str, tmp_path: Path) -> None:
    (tmp_path / 'K.txt').write_text(text)
    assert_read(tmp_path / 'K.txt', right_x=160)


def test_principal_points_by_name(tmp_path: Path) -> None:
    values = {'fx': 250, 'fy': 250, 'cx0': 160, 'cx1': 150, 'cy': 120, 'baseline_meters': 0.1}
    (tmp_path / 'c.json').write_text(json.dumps({**values, 'depth_range': [1, 5]}))
    assert_read(tmp_path / 'c.json')


@pytest.mark.parametrize('cx_right', [{}, {'cx_right': 150}])
def test_the_difference_of_principal_points_by_name(
    cx_right: dict[str, int], tmp_path: Path
) -> None:
    values = {'fx': 250, 'fy': 250, 'cx': 160, 'cy': 120, 'baseline': 0.1, 'doffs': -10}
    (tmp_path / 'c.json').write_text(json.dumps({**values, **cx_right}))
    assert_read(tmp_path / 'c.json', right_x=150)


@pytest.mark.parametrize('suffix', ['.yml', '.xml', '.json', '.yml.gz', '.xml.gz'])
@pytest.mark.parametrize('names', [('P1', 'P2'), ('Q',), ('projL', 'projR'), ('P_0', 'P_1')])
def test_opencv_storages(suffix: str, names: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / f'extrinsics{suffix}'
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, matrix in zip(names, (Q,) if names == ('Q',) else (P1, P2), strict=True):
        storage.write(name, matrix)
    storage.write('rms', 0.3)
    storage.write('comment', 'a text')
    storage.release()
    assert_read(path)


@pytest.mark.parametrize(
    'arrays',
    [
        {'P1': P1, 'P2': P2},
        {'P1': P1.astype('f4'), 'P2': np.asfortranarray(P2)},
        {'Q': Q},
        {'PL': P1, 'PR': P2, 'map': np.zeros((480, 640, 2), np.float32)},
        {'left_projection': P1, 'right_projection': P2},
        {'proj_mat_l': P1, 'proj_mat_r': P2, 'text': np.array('a')},
        {'disp_to_depth_mat': Q},
        {'P1': P1, 'P2': P2, 'mtx1': K, 'dist1': np.ones(5), 'mtx2': K, 'dist2': np.ones(5)},
        {'P1': P1, 'P2': P2, 'image_size': np.array([240, 320])},
        {'P1': P1, 'P2': P2, 'objects': np.array([None])},
    ],
    ids=' '.join,
)
@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_archives_of_numpy(
    arrays: dict[str, Any], save: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / 'stereo.npz'
    save(path, **arrays)
    assert_read(path)


def test_single_arrays_of_numpy(tmp_path: Path) -> None:
    np.save(tmp_path / 'Q.npy', Q)
    assert_read(tmp_path / 'Q.npy')
    np.save(tmp_path / 'P.npy', np.stack((P1, P2)))
    assert_read(tmp_path / 'P.npy')
    for side, matrix in (('left', P1), ('right', P2)):
        np.save(tmp_path / f'proj_{side}.npy', matrix)
    assert_read(tmp_path / 'proj_left.npy', tmp_path / 'proj_right.npy')


def test_q_of_opencv_itself(tmp_path: Path) -> None:
    raw = np.array([[260.0, 0, 170], [0, 260, 110], [0, 0, 1]])
    rotation, _ = cv2.Rodrigues(np.array([0.01, -0.02, 0.005]))
    rectified = cv2.stereoRectify(
        raw,
        np.zeros(5),
        raw,
        np.zeros(5),
        SIZE,
        rotation,
        np.array([[-0.1], [0.001], [0.002]]),
        flags=0,
        alpha=-1,
    )
    left, right, reprojection = (np.asarray(matrix) for matrix in rectified[2:5])
    np.savez(tmp_path / 'q.npz', Q=reprojection)
    models = read_calibration([tmp_path / 'q.npz'], image_size=SIZE)
    assert np.reshape(models[0].P, (3, 4)) == pytest.approx(left)
    assert np.reshape(models[1].P, (3, 4)) == pytest.approx(right)


class TestRawCameras:
    """K, D, R and the distortion model come along where they are known."""

    def test_of_camera_info(self, tmp_path: Path) -> None:
        paths = []
        for side, P in (('left', P1), ('right', P2)):
            paths.append(tmp_path / f'{side}.yaml')
            paths[-1].write_text(
                'image_width: 320\nimage_height: 240\n'
                'camera_matrix: {rows: 3, cols: 3, data: [255, 0, 161, 0, 256, 121, 0, 0, 1]}\n'
                'distortion_model: plumb_bob\n'
                'distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -2e-1, 0, 1e-05, 0]}\n'
                'rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}\n'
                f'projection_matrix: {{rows: 3, cols: 4, data: {P.ravel().tolist()}}}\n'
            )
        left, right = read_calibration(paths, image_size=SIZE)
        for model in (left, right):
            assert model.K == (255, 0, 161, 0, 256, 121, 0, 0, 1)
            assert model.D == (0.1, -0.2, 0, 0.00001, 0)
            assert model.R == (1, 0, 0, 0, 1, 0, 0, 0, 1)
            assert model.distortion_model == 'plumb_bob'

    def test_of_ost(self, tmp_path: Path) -> None:
        (tmp_path / 'ost.txt').write_text(OST)
        left, right = read_calibration([tmp_path / 'ost.txt'], image_size=SIZE)
        assert left.K == (255, 0, 161, 0, 256, 121, 0, 0, 1)
        assert left.D == (0.09, -0.28, 0.002, -0.01, 0)
        assert (right.K, right.D, right.R) == ((), (), ())

    def test_of_opencv(self, tmp_path: Path) -> None:
        arrays: dict[str, Any] = {
            f'{name}{n}': m for n in (1, 2) for name, m in (('M', K), ('R', np.eye(3)))
        }
        path = tmp_path / 'c.npz'
        np.savez(path, P1=P1, P2=P2, D1=np.zeros(5), D2=np.ones(8), **arrays)
        left, right = read_calibration([path], image_size=SIZE)
        assert (tuple(K.ravel()), (0.0,) * 5) == (left.K, left.D)
        assert (left.distortion_model, right.distortion_model) == (
            'plumb_bob',
            'rational_polynomial',
        )

    @pytest.mark.parametrize('as_folder', [False, True])
    @pytest.mark.parametrize('names', [('intrinsics', 'extrinsics'), ('extrinsics', 'intrinsics')])
    def test_of_opencvs_sample_are_in_a_file_of_their_own(
        self, tmp_path: Path, names: tuple[str, str], as_folder: bool
    ) -> None:
        """Its images are raw: P1 and P2 alone would count them as rectified."""
        D = np.arange(1.0, 6.0)
        np.savez(tmp_path / 'intrinsics.npz', M1=K, D1=D, M2=2 * K, D2=2 * D)
        R = cv2.Rodrigues(np.array([0.01, 0.02, 0.0]))[0]
        other: dict[str, Any] = {'R': np.eye(3), 'T': np.ones(3), 'R1': R, 'R2': R.T, 'Q': Q}
        np.savez(tmp_path / 'extrinsics.npz', P1=P1, P2=P2, **other)
        paths = [tmp_path] if as_folder else [tmp_path / f'{name}.npz' for name in names]
        left, right = read_calibration(paths, image_size=SIZE)
        assert (tuple(K.ravel()), (1, 2, 3, 4, 5)) == (left.K, left.D)
        assert (tuple(2 * K.ravel()), (2, 4, 6, 8, 10)) == (right.K, right.D)
        assert (*left.R, *right.R) == (*R.ravel().tolist(), *R.T.ravel().tolist())
        assert (tuple(P1.ravel()), tuple(P2.ravel())) == (left.P, right.P)

    @pytest.mark.parametrize(
        ('line', 'model'), [('', ''), ('distortion_model: equidistant\n', 'equidistant')]
    )
    def test_of_four_coefficients_have_the_model_that_the_file_names(
        self, tmp_path: Path, line: str, model: str
    ) -> None:
        """Both cv2.fisheye and cv2.calibrateCamera may give four."""
        matrices = {'K': K, 'R': np.eye(3), 'D': np.array([0.02, -0.005, 0.001, 0.1])}
        content = {f'{name}{n}': m.tolist() for n in (1, 2) for name, m in matrices.items()}
        content |= {'P1': P1.tolist(), 'P2': P2.tolist()}
        path = tmp_path / 'c.yaml'
        path.write_text(line + yaml.safe_dump(content))
        models = read_calibration([path], image_size=SIZE)
        assert [found.distortion_model for found in models] == [model, model]
        doubts = [distortion_doubt(raw_calibration(found)) for found in models]
        assert all(('cv2.fisheye' in doubt) == (not model) for doubt in doubts)
        assert all(str(path) in doubt for doubt in doubts if doubt)

    def test_are_empty_without_anything(self, tmp_path: Path) -> None:
        (tmp_path / 'calib.txt').write_text(MIDDLEBURY)
        for model in read_calibration([tmp_path / 'calib.txt'], image_size=SIZE):
            assert (model.K, model.D, model.R, model.distortion_model) == ((), (), (), '')


def test_two_files_of_opencvs_sample(tmp_path: Path) -> None:
    np.savez(tmp_path / 'intrinsics.npz', M1=K, D1=np.ones(5), M2=K, D2=np.ones(5))
    np.savez(tmp_path / 'extrinsics.npz', R=np.eye(3), T=np.ones(3), P1=P1, P2=P2, Q=Q)
    found = camera(tmp_path / 'intrinsics.npz', tmp_path / 'extrinsics.npz')
    assert found.baseline == pytest.approx(0.1)
    assert found.source.endswith('extrinsics.npz')


def test_interrupted_echo_keeps_what_is_whole(tmp_path: Path) -> None:
    for side, P in (('left', P1), ('right', P2)):
        values = ''.join(f'- {value}\n' for value in P.ravel())
        whole = f'height: 240\nwidth: 320\np:\n{values}---\n'
        (tmp_path / side).write_text(whole + whole + 'height: 240\nwid')
    assert_read(tmp_path / 'left', tmp_path / 'right')


def test_tilde_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'calib.txt').write_text(MIDDLEBURY)
    monkeypatch.setenv('HOME', str(tmp_path))
    found = read_calibration([Path('~/calib.txt')], image_size=SIZE)
    assert found[1].P[3] == pytest.approx(-25)


def test_another_size_than_the_images_is_kept_for_the_comparison(tmp_path: Path) -> None:
    np.savez(tmp_path / 'c.npz', P1=P1, P2=P2, image_size=np.array([640, 480]))
    found = camera(tmp_path / 'c.npz')
    with pytest.raises(CalibrationError, match='640x480'):
        found.require_size(*SIZE)


class TestTable:
    def test_every_reader_has_a_name_of_its_own(self) -> None:
        for table in (READERS, CAMERA_READERS):
            names = [reader.name for reader in table]
            assert len(set(names)) == len(names)


Writer = Callable[[Path, np.ndarray], None]


def write_yaml(path: Path, P: np.ndarray) -> None:
    path.write_text(
        f'image_width: 320\nimage_height: 240\nprojection_matrix:\n  rows: 3\n  cols: 4\n  data: '
        f'{P.ravel().tolist()}\n'
    )


def write_ost(path: Path, P: np.ndarray) -> None:
    rows = '\n'.join(' '.join(map(str, row)) for row in P.tolist())
    path.write_text(f'[image]\n\nwidth\n320\n\nheight\n240\n\n[cam]\n\nprojection\n{rows}\n')


def write_npy(path: Path, P: np.ndarray) -> None:
    np.save(path, P)


class TestFolders:
    @pytest.mark.parametrize(
        ('left', 'right', 'write'),
        [
            ('left.yaml', 'right.yaml', write_yaml),
            ('left.yml', 'right.yml', write_yaml),
            ('Left.yaml', 'Right.yaml', write_yaml),
            ('stereo_LEFT.YAML', 'stereo_RIGHT.YAML', write_yaml),
            ('l.yaml', 'r.yaml', write_yaml),
            ('camera_info_l.yaml', 'camera_info_r.yaml', write_yaml),
            ('left_camera_info.json', 'right_camera_info.json', write_yaml),
            ('cam0.yaml', 'cam1.yaml', write_yaml),
            ('calib0.yaml', 'calib1.yaml', write_yaml),
            ('camera_1.yaml', 'camera_2.yaml', write_yaml),
            ('infra1.yaml', 'infra2.yaml', write_yaml),
            ('left/camera_info.yaml', 'right/camera_info.yaml', write_yaml),
            ('cam0/sensor.yaml', 'cam1/sensor.yaml', write_yaml),
            ('left.ini', 'right.ini', write_ost),
            ('left.txt', 'right.txt', write_ost),
            ('proj_mats_left.npy', 'proj_mats_right.npy', write_npy),
        ],
    )
    def test_of_two_files(self, left: str, right: str, write: Writer, tmp_path: Path) -> None:
        folder = tmp_path / 'my_left_rig'
        for name, P in ((left, P1), (right, P2)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write(folder / name, P)
        # What else lies in such folders.
        (folder / 'left-0000.png').write_bytes(b'\x89PNG')
        (folder / 'notes.txt').write_text('calibrated on Monday')
        assert_read(folder)

    @pytest.mark.parametrize('name', ['calib.txt', 'K.txt', 'stereo.npz', 'c.yml', 'c.xml'])
    def test_of_one_file(self, name: str, tmp_path: Path) -> None:
        if name.endswith('npz'):
            np.savez(tmp_path / name, P1=P1, P2=P2)
        else:
            (tmp_path / name).write_text(MIDDLEBURY)
        (tmp_path / 'times.txt').write_text('0.1\n0.2\n')
        assert_read(tmp_path)

    def test_of_opencvs_sample(self, tmp_path: Path) -> None:
        np.savez(tmp_path / 'intrinsics.npz', M1=K, D1=np.ones(5), M2=K, D2=np.ones(5))
        np.savez(tmp_path / 'extrinsics.npz', P1=P1, P2=P2)
        assert_read(tmp_path)

    def refusal(self, folder: Path) -> str:
        with pytest.raises(CalibrationError) as caught:
            read_calibration([folder], image_size=SIZE)
        assert str(folder) in str(caught.value)
        return str(caught.value)

    def test_of_several_calibrations(self, tmp_path: Path) -> None:
        for name in ('a.txt', 'b.txt'):
            (tmp_path / name).write_text(MIDDLEBURY)
        assert 'several files are calibrations (a.txt, b.txt): name one' in self.refusal(tmp_path)

    def test_of_several_pairs(self, tmp_path: Path) -> None:
        for name in ('left.yaml', 'right.yaml', 'old_left.yaml', 'old_right.yaml'):
            write_yaml(tmp_path / name, P1)
        assert 'several files are calibrations' in self.refusal(tmp_path)

    def test_of_nothing(self, tmp_path: Path) -> None:
        assert 'no calibration is in this folder' in self.refusal(tmp_path)
        (tmp_path / 'a.txt').write_text('a')
        (tmp_path / 'b.txt').write_text('b')
        assert 'no calibration is in this folder' in self.refusal(tmp_path)

    def test_of_cameras_before_rectification(self, tmp_path: Path) -> None:
        for name in ('cam0', 'cam1'):
            (tmp_path / name).mkdir()
            (tmp_path / name / 'sensor.yaml').write_text('T_BS: [1]\nintrinsics: [1, 2, 3, 4]\n')
        assert 'before rectification' in self.refusal(tmp_path)


def test_left_files_with_their_own_size_and_model(tmp_path: Path) -> None:
    write_yaml(tmp_path / 'left.yaml', P1)
    write_yaml(tmp_path / 'right.yaml', P2)
    left, right = read_calibration(
        [tmp_path / 'left.yaml', tmp_path / 'right.yaml'], image_size=(1, 1)
    )
    expected: dict[str, Any] = {'width': 320, 'height': 240}
    assert left == CameraModel(tuple(P1.ravel()), source=str(tmp_path / 'left.yaml'), **expected)
    assert right == CameraModel(tuple(P2.ravel()), source=str(tmp_path / 'right.yaml'), **expected)
