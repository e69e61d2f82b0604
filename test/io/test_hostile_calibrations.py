"""Small files that would take minutes or gigabytes as calibrations, had the readers no limits."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from s2m2_ros.geometry.camera_model import CalibrationError
from s2m2_ros.io.calibration import read_calibration
from support.limits import bounded

NPY = b'\x93NUMPY\x01\x00'


def refusal(path: Path) -> str:
    with bounded(100), pytest.raises(CalibrationError) as caught:
        read_calibration([path], image_size=(320, 240))
    return str(caught.value)


@pytest.mark.parametrize('header', [b'(' * 9000, b"{'descr': [" + b"('a', [" * 500, b'-' * 9000])
def test_headers_of_arrays_that_are_no_python(header: bytes, tmp_path: Path) -> None:
    content = NPY + struct.pack('<H', len(header)) + header
    (tmp_path / 'P1.npy').write_bytes(content)
    assert 'not a whole .npy file' in refusal(tmp_path / 'P1.npy')
    with zipfile.ZipFile(tmp_path / 'stereo.npz', 'w') as archive:
        archive.writestr('P1.npy', content)
    assert 'not a whole .npz file' in refusal(tmp_path / 'stereo.npz')


def test_a_header_of_an_array_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    length = 1 << 29
    path = tmp_path / 'stereo.npz'
    with (
        zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive,
        archive.open('P1.npy', 'w') as member,
    ):
        member.write(b'\x93NUMPY\x02\x00' + struct.pack('<I', length))
        for _ in range(length >> 24):
            member.write(b' ' * (1 << 24))
    assert 'not a known calibration' in refusal(tmp_path / 'stereo.npz')


def test_compressions_that_numpy_does_not_write(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / 'stereo.npz', 'w', zipfile.ZIP_LZMA) as archive:
        archive.writestr('P1.npy', NPY)
    assert 'not an .npz file as NumPy writes it' in refusal(tmp_path / 'stereo.npz')


def test_a_name_of_many_megabytes_in_a_gzip_file(tmp_path: Path) -> None:
    (tmp_path / 'calib.gz').write_bytes(b'\x1f\x8b\x08\x08' + bytes(6) + b'a' * 40_000_000)
    assert 'far too large' in refusal(tmp_path / 'calib.gz')


def test_a_long_namespace_of_many_elements(tmp_path: Path) -> None:
    text = f'<a xmlns="{"x" * 400_000}">{"<b/>" * 40_000}</a>'
    (tmp_path / 'calib.xml').write_text(text)
    assert 'too long names' in refusal(tmp_path / 'calib.xml')


def test_a_folder_full_of_large_texts(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f'left{number}.yaml').write_text(f'[{"1," * 400_000}]')
    assert 'name the file' in refusal(tmp_path)
