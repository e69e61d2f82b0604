"""Files that are no calibration of a rectified pair: refused in words, in little time."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import re
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2m2_ros.geometry import CalibrationError, StereoCamera
from s2m2_ros.io.calibration import read_calibration

SIZE = (320, 240)
K = np.array([[250.0, 0, 160], [0, 250, 120], [0, 0, 1]])
P1 = np.hstack((K, np.zeros((3, 1))))
P2 = np.hstack((K, [[-25.0], [0], [0]]))
MEGABYTE = 1_000_000
SECONDS = 5.0


def refusal(*paths: Path) -> str:
    start = time.monotonic()
    with pytest.raises(CalibrationError) as caught:
        read_calibration(paths, image_size=SIZE)
    assert time.monotonic() - start < SECONDS
    text = str(caught.value)
    assert '\n' not in text
    return text


def refused(tmp_path: Path, content: str | bytes, name: str = 'file.yaml') -> str:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    text = refusal(path)
    assert str(path) in text
    return text


BEFORE_RECTIFICATION = {
    'EuRoC': (
        'sensor_type: camera\nT_BS:\n  cols: 4\n  rows: 4\n  data: [0.01, -0.99]\n'
        'intrinsics: [458.6, 457.2, 367.2, 248.3]\ndistortion_model: radial-tangential\n',
        'sensor.yaml of EuRoC',
    ),
    'Kalibr': (
        'cam0:\n  distortion_coeffs: [0.08, -0.22]\n  intrinsics: [863.7, 863.2, 637.5, 385.5]\n'
        'cam1:\n  T_cn_cnm1:\n  - [1, 0, 0, -0.11]\n  intrinsics: [863.7, 863.2, 637.5, 385.5]\n',
        'Kalibr',
    ),
    'Kalibr with an inertial unit': (
        'cam0:\n  T_cam_imu:\n  - [1, 0, 0, 0]\n  intrinsics: [1, 2, 3, 4]\n',
        'Kalibr',
    ),
    'Basalt': ('{"value0": {"T_imu_cam": [{"px": 0}], "intrinsics": [{}]}}', 'Basalt'),
    'ZED': ('[LEFT_CAM_HD]\nfx=699.41\ncx=652.8\n\n[STEREO]\nBaseline=119.9\n', 'ZED'),
    'ZED 2K': ('[STEREO]\nBaseline=120\n[RIGHT_CAM_2K]\nfx=1\n', 'ZED'),
    'VINS': (
        '%YAML:1.0\n---\nmodel_type: PINHOLE\nimage_width: 880\nprojection_parameters:\n'
        '   fx: 366.6\n   fy: 366.7\n   cx: 448.6\n   cy: 254.8\n',
        'VINS',
    ),
    'VINS, fish-eye': ('model_type: KANNALA_BRANDT\nmirror_parameters:\n  xi: 1\n', 'VINS'),
    'VINS Fusion': ('%YAML:1.0\nbody_T_cam0: !!opencv-matrix\n  data: [1]\n', 'VINS'),
    'depthai': ('{"batchName": "", "cameraData": [[0, {}]]}', 'depthai'),
    'mrcal': ("{'lensmodel': 'LENSMODEL_OPENCV8', 'intrinsics': [1, 2]}", 'mrcal'),
    'MATLAB': ('om = [ 0.01 0.02 0.03 ];\nT = [ -100 0 0 ];\n', 'MATLAB'),
    'MATLAB, binary': ('MATLAB 5.0 MAT-file, Platform: GLNXA64\n', 'MATLAB'),
    'ORB-SLAM3, raw': (
        'Camera.type: "PinHole"\nCamera1.fx: 458.6\nCamera1.fy: 457.2\nCamera1.cx: 367.2\n'
        'Camera1.cy: 248.3\nCamera1.k1: -0.28\nStereo.b: 0.11\nCamera2.fx: 457.5\n',
        'ORB-SLAM',
    ),
    'ORB-SLAM2 with distortion': (
        'Camera.fx: 435\nCamera.fy: 435\nCamera.cx: 367\nCamera.cy: 252\nCamera.k1: -0.2\n'
        'Camera.bf: 47.9\n',
        'distortion',
    ),
    'R and T': (
        '%YAML:1.0\nR: !!opencv-matrix\n   rows: 3\n   data: [1, 0, 0, 0, 1, 0, 0, 0, 1]\n'
        'T: !!opencv-matrix\n   rows: 3\n   data: [-301.17, -0.81, -1.09]\n',
        'R and T',
    ),
    'one camera of OpenCV': (
        'camera_matrix: {data: [1, 0, 2, 0, 1, 2, 0, 0, 1]}\n'
        'distortion_coefficients: {data: [0.1, 0, 0, 0, 0]}\n',
        'camera matrices',
    ),
}


@pytest.mark.parametrize(
    ('text', 'kind'), BEFORE_RECTIFICATION.values(), ids=BEFORE_RECTIFICATION.keys()
)
def test_calibrations_before_rectification(text: str, kind: str, tmp_path: Path) -> None:
    found = refused(tmp_path, text)
    assert kind in found
    assert 'before rectification' in found
    assert 'Rectify the images' in found
    # Given as two files they are no better.
    assert 'before rectification' in refusal(tmp_path / 'file.yaml', tmp_path / 'file.yaml')


@pytest.mark.parametrize(
    'arrays',
    [
        {'mtxL': K, 'distL': np.ones(5), 'mtxR': K, 'distR': np.ones(5), 'R': K, 'T': K[0]},
        {'K1': K, 'D1': np.ones(5), 'K2': K, 'D2': np.ones(5)},
        {'cameraMatrix1': K, 'distCoeffs1': np.ones((1, 14))},
        {'R': np.eye(3), 'T': np.ones((3, 1))},
        # The projections of raw cameras: nothing says how the images would be rectified.
        {'mtxL': K, 'distL': K[0], 'mtxR': K, 'distR': K[0], 'proj_matL': P1, 'proj_matR': P2},
    ],
    ids=' '.join,
)
def test_arrays_before_rectification(arrays: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / 'c.npz', **arrays)
    found = refusal(tmp_path / 'c.npz')
    assert 'c.npz' in found
    assert 'before rectification' in found


def test_projections_with_their_rotations_are_read(tmp_path: Path) -> None:
    raw = {'mtxL': K, 'distL': K[0], 'mtxR': K, 'distR': K[0], 'rectL': K, 'rectR': K}
    np.savez(tmp_path / 'c.npz', **raw, projL=P1, projR=P2)
    assert read_calibration([tmp_path / 'c.npz'], image_size=SIZE)[1].P[3] == -25


MIDDLEBURY = 'cam0=[250 0 160; 0 250 120; 0 0 1]\ncam1=[250 0 160; 0 250 120; 0 0 1]\n'


KITTI_ROWS = '250 0 160 {} 0 250 120 0 0 0 1 0'
KITTI = f'P2: {KITTI_ROWS.format(0)}\nP3: {KITTI_ROWS.format(-25)}\n'
BY_NAME = 'fx: 250\nfy: 250\ncx: 160\ncy: 120\n'


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        (MIDDLEBURY + 'baseline=100\nbaseline=200\n', 'baseline'),
        (MIDDLEBURY + MIDDLEBURY.replace('250', '500') + 'baseline=100\n', 'cam0'),
        (BY_NAME + 'baseline: 0.1\nfx: 500\n', 'fx'),
        ('{"fx": 250, "fx": 500, "cx": 160, "cy": 120, "baseline": 0.1}', 'fx'),
        ('left: &a {P: 1}\nP1: [1]\nP1: [2]\n', 'P1'),
        (KITTI + f'P3: {KITTI_ROWS.format(-50)}\n', 'P3'),
        ('<opencv_storage><f>250</f><cx>160</cx><f>500</f></opencv_storage>', 'f'),
        ('<a><P1><rows>3</rows></P1><P1><rows>4</rows></P1></a>', 'P1'),
    ],
)
def test_a_key_with_two_values_is_named(text: str, name: str, tmp_path: Path) -> None:
    assert re.search(f"'?{name}'? is there twice: remove the wrong one", refused(tmp_path, text))


def test_aliases_under_one_key_are_not_compared(tmp_path: Path) -> None:
    # Equal lists of 10 to the 20 elements: comparing them would not end.
    levels = ['&l0 [1]', *(f'&l{n} [{", ".join(10 * [f"*l{n - 1}"])}]' for n in range(1, 20))]
    one = f'[{", ".join(levels)}]'
    other = one.replace('l', 'm')
    assert "'a' is there twice" in refused(tmp_path, f'a: {one}\na: {other}\n')


def test_a_key_that_says_the_same_twice_is_read(tmp_path: Path) -> None:
    (tmp_path / 'kitti.txt').write_text(2 * KITTI)
    assert read_calibration([tmp_path / 'kitti.txt'], image_size=SIZE)[1].P[3] == -25
    (tmp_path / 'calib.txt').write_text(2 * (MIDDLEBURY + 'baseline=100\n'))
    assert read_calibration([tmp_path / 'calib.txt'], image_size=SIZE)[1].P[3] == -25
    (tmp_path / 'c.yaml').write_text(2 * (BY_NAME + 'baseline: 0.1\n'))
    assert read_calibration([tmp_path / 'c.yaml'], image_size=SIZE)[1].P[3] == -25


@pytest.mark.parametrize(
    ('line', 'words'),
    [
        ('', 'fx and cx are there, but no baseline'),
        ('baseline: 0,1\n', "baseline is '0,1', which is not one number"),
        ('baseline: 10 cm\n', "baseline is '10 cm', which is not one number"),
        ('baseline: 0.1\nfocal: 251\n', 'fx is 250 and 251'),
    ],
)
def test_numbers_by_name_that_are_incomplete(line: str, words: str, tmp_path: Path) -> None:
    assert words in refused(tmp_path, BY_NAME + line)


class TestUnits:
    def test_baseline_of_middlebury_in_meters(self, tmp_path: Path) -> None:
        found = refused(tmp_path, MIDDLEBURY + 'doffs=0\nbaseline=0.12\n')
        assert 'the baseline must be in millimeters; for 0.12 m write baseline=120' in found

    def test_doffs_that_contradicts_cx(self, tmp_path: Path) -> None:
        found = refused(tmp_path, MIDDLEBURY + 'doffs=20\nbaseline=120\n')
        assert 'doffs contradicts cx: doffs=20' in found
        assert 'write cx 180 in cam1' in found
        assert 'write doffs=0' in found

    def test_doffs_by_name_that_contradicts_cx(self, tmp_path: Path) -> None:
        found = refused(tmp_path, BY_NAME + 'cx_right: 170\nbaseline: 0.1\ndoffs: 4\n')
        assert 'doffs contradicts cx: doffs=4' in found
        assert 'write cx 164 in the right camera' in found

    @pytest.mark.parametrize(
        'text',
        [
            '250 0 160 0 250 120 0 0 1\n63.03\n',
            'fx: 250\ncx: 160\ncy: 120\nbaseline: 63.03\n',
            '{"K": [250, 0, 160, 0, 250, 120, 0, 0, 1], "baseline": 63.03}',
        ],
    )
    def test_millimeters_where_meters_belong(self, text: str, tmp_path: Path) -> None:
        assert 'must be in meters: for 63.03 mm write 0.06303' in refused(tmp_path, text)


OTHERS = {
    'empty': (b'', 'the file is empty'),
    'prose': (b'Dear sir or madam', 'known are Middlebury calib.txt, KITTI'),
    'picture': (b'\x89PNG\r\n\x1a\n\0\0\0', 'known are'),
    'broken YAML': (b'a: [1, 2\nb: }', 'not readable as YAML: line 2'),
    'pickle': (pickle.dumps({'mtx': 1}), 'a pickle of Python, which is never read'),
    'one camera_info': (b'P: [250,0,160,0,0,250,120,0,0,0,1,0]', 'give the left and the right'),
    'poses': (b'1 0 0 0 0 1 0 0 0 0 2 0\n', 'known are'),
    'Q that is none': (b'Q: [2,0,0,-160,0,1,0,-120,0,0,0,250,0,0,10,0]', 'not a Q of cv2'),
    'a velodyne': (b'R: 1 0 0 0 1 0 0 0 1\nT: 1 2 3\n', 'R and T'),
}


@pytest.mark.parametrize(('content', 'expected'), OTHERS.values(), ids=OTHERS.keys())
def test_other_files(content: bytes, expected: str, tmp_path: Path) -> None:
    assert expected in refused(tmp_path, content)


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n', 'git lfs pull'),
        ('<!DOCTYPE html>\n<html><body>Sign in</body></html>', 'a web page'),
        ('\n<html lang="en"><head></head></html>', 'a web page'),
    ],
)
@pytest.mark.parametrize('name', ['calib.txt', 'stereo.yaml', 'stereo.xml', 'stereo.npz'])
def test_what_a_failed_download_leaves_is_named(
    content: str, words: str, name: str, tmp_path: Path
) -> None:
    assert words in refused(tmp_path, content, name)


def test_an_archive_of_camera_calibration_is_to_be_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / 'calibrationdata.tar.gz', 'w:gz') as archive:
        archive.addfile(tarfile.TarInfo('left.yaml'))
    assert 'a tar archive: unpack it' in refusal(tmp_path / 'calibrationdata.tar.gz')


def test_objects_of_python_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / 'c.npy', np.array([{'P1': 1}]), allow_pickle=True)
    assert 'holds Python objects' in refusal(tmp_path / 'c.npy')
    np.savez(tmp_path / 'c.npz', calibration=np.array([{'P1': 1}]))
    assert 'holds Python objects' in refusal(tmp_path / 'c.npz')


def test_whole_and_part_are_not_mixed(tmp_path: Path) -> None:
    np.savez(tmp_path / 'both.npz', P1=P1, P2=P2)
    np.save(tmp_path / 'left.npy', P1)
    assert 'give it alone' in refusal(tmp_path / 'both.npz', tmp_path / 'left.npy')


class TestPlaces:
    def test_that_are_no_files(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / 'fifo')
        assert 'not a regular file' in refusal(tmp_path / 'fifo')
        assert 'not a regular file' in refusal(Path('/dev/zero'))
        assert 'cannot be read' in refusal(tmp_path, tmp_path)

    def test_that_cannot_be_named(self) -> None:
        assert 'cannot be read' in refusal(Path('a\0b'))
        assert 'cannot be read (File name too long)' in refusal(Path('x' * 5000))
        assert '~nobody.of.this.name/c: cannot be read' in refusal(Path('~nobody.of.this.name/c'))


def npy(shape: str, data: bytes = b'', descr: str = "'<f8'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b'\x93NUMPY\x01\x00' + len(header).to_bytes(2, 'little') + header + data


def npz(count: int = 1, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            for number in range(count):
                archive.writestr(f'{name}{number}.npy', content)
    return stream.getvalue()


def aliases(first: str, line: str) -> bytes:
    """Return YAML in which each line names the one before it nine times."""
    lines = [first]
    for letter in 'abcdefghijklmnopqrstu':
        lines.append(line.format(chr(ord(letter) + 1), ', '.join([f'*{letter}'] * 9)))
    return '\n'.join([*lines, 'P1: *v', 'P2: *v', '']).encode()


HOSTILE = {
    'brackets': b'[' * MEGABYTE,
    'braces': b'{' * MEGABYTE,
    'nested mappings': b'a: [' * (MEGABYTE // 4),
    'nested sequences': b'- ' * (MEGABYTE // 2),
    'nested objects of JSON': b'{"a":' * (MEGABYTE // 5),
    'nested elements of XML': b'<a>' * (MEGABYTE // 3),
    'blanks': b' ' * MEGABYTE,
    'blanks before a word': b' ' * MEGABYTE + b'cam0',
    'blanks after a word': b'P2:' + b' ' * MEGABYTE + b'x',
    'numbers': b'P2: ' + b'1 ' * (MEGABYTE // 2) + b'x',
    'digits': b'P1: ' + b'9' * MEGABYTE,
    'digits of a size': b'p: [1,0,0,0,0,1,0,0,0,0,1,0]\nimage_width: ' + b'9' * 10_000,
    'sexagesimal digits': b'a: ' + b'1:' * (MEGABYTE // 2) + b'1',
    'a matrix without an end': b'cam0=[' + b'1\n' * (MEGABYTE // 2),
    'equal signs': b'=' * MEGABYTE,
    'lines': b'\n' * MEGABYTE,
    'comments': b'#\n' * (MEGABYTE // 2),
    'sections': b'[a]\n' * (MEGABYTE // 4),
    'documents': b'---\n' * (MEGABYTE // 4),
    'keys': b''.join(b'k%d: 1\n' % i for i in range(MEGABYTE // 10)),
    'anchors': b'&a ' * (MEGABYTE // 3),
    'aliases': aliases('a: &a [1, 2]', '{0}: &{0} [{1}]'),
    'aliases of nothing': aliases('a: &a []', '{0}: &{0} [{1}]'),
    'merge keys': aliases('a: &a {x: 1}', '{0}: &{0} {{<<: [{1}]}}'),
    'a list in itself': b'P1: &a [*a]\nP2: *a\n',
    'a mapping in itself': b'a: &a {b: *a}\nP1: *a\n',
    'a truth value that is none': b'P1: !!bool foo\nP2: !!int x\n',
    'a date that is none': b'P1: 2001-99-99\nP2: 1\n',
    'a python object': b'P1: !!python/object/apply:os.system ["true"]\nP2: 1\n',
    'a list as a key': b'? [a, b]\n: 1\n',
    'entities': b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aa">]><l>&a;</l>',
    'XML that opens only': b'<' * MEGABYTE,
    'NUL': b'\0' * MEGABYTE,
    'half of UTF-16': b'\xff\xfe' + b'\x00\xd8' * 99,
    'no width': MIDDLEBURY.encode() + b'baseline=100\nwidth=\n',
    'no height': MIDDLEBURY.encode() + b'baseline=100\nheight= \n',
    'no matrix': b'cam0=\ncam1=\nbaseline=\n',
    'two widths': MIDDLEBURY.encode() + b'baseline=100\nwidth=1 2\n',
    'infinity': b'P1: [1e400]\nP2: [1]\n',
    'a truth value as a width': b'{"p": [1,0,0,0,0,1,0,0,0,0,1,0], "width": true}',
    'no region': b'p: [1,0,0,0,0,1,0,0,0,0,1,0]\nroi: 3\n',
    'gzip of very much': gzip.compress(b'\0' * (200 << 20)),
    'gzip cut short': gzip.compress(b'P1: 1' * 1000)[:20],
    'gzip of noise': b'\x1f\x8b' + bytes(range(256)),
    'zip of very much': npz(P=b'\0' * (200 << 20)),
    'zip of very many': npz(100_000, P=b''),
    'zip cut short': npz(P=npy('(3, 4)', b'\0' * 96))[:-30],
    'zip without its end': b'PK\x03\x04' + b'\0' * 99,
    'an array of very many numbers': npy('(1000000000000,)'),
    'an array of less than nothing': npy('(-3, 4)'),
    'an array of truth': npz(P=npy('(True, 12)', b'\0' * 96)),
    'an array cut short': npy('(3, 4)'),
    'an array of nested brackets': npy('(' * 20_000),
    'an array of objects': npy('(3, 4)', b'x', "'|O'"),
    'an array of records': npy('(3,)', b'\0' * 24, "[('a', '<f8')]"),
    'an array with a long header': b'\x93NUMPY\x02\x00\xff\xff\xff\xff',
    'an array of another version': b'\x93NUMPY\x09\x00aaaa',
    'an array of NaN': npy('(4, 4)', np.full(16, np.nan).tobytes()),
}


@pytest.mark.parametrize('content', HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / 'file.yaml'
    path.write_bytes(content)
    assert 'file.yaml' in refusal(path)
    assert 'file.yaml' in refusal(path, path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    base=st.sampled_from(
        [
            MIDDLEBURY.encode() + b'baseline=100\nwidth=320\nheight=240\n',
            *(text.encode() for text, _ in BEFORE_RECTIFICATION.values()),
            b'[image]\nwidth\n3\n[l]\nprojection\n1 0 1 0\n0 1 1 0\n0 0 1 0\n',
            b'<?xml version="1.0"?><opencv_storage><P1><data>1 2</data></P1></opencv_storage>',
            npz(P=npy('(3, 4)', b'\0' * 96)),
            npy('(4, 4)', b'\0' * 128),
            gzip.compress(b'P1: [1, 2]\nP2: [3]\n'),
            b'{"fx": 250, "cx": 160, "cy": 120, "baseline": 0.1, "K": [1, 2]}',
        ]
    ),
    position=st.integers(0, 400),
    junk=st.binary(max_size=8),
)
def test_damaged_files_raise_nothing_else(
    tmp_path: Path, base: bytes, position: int, junk: bytes
) -> None:
    path = tmp_path / 'damaged'
    path.write_bytes(base[:position] + junk + base[position + len(junk) :])
    for paths in ([path], [path, path]):
        try:
            StereoCamera.from_projection(*read_calibration(paths, image_size=SIZE))
        except CalibrationError as error:
            assert str(error)
