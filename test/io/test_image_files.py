"""What is written to files is what other readers find in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh

from s2m2_ros.atomic_files import FileWriteError, write_atomically
from s2m2_ros.errors import ImageError
from s2m2_ros.io.image_files import (
    DEPTH_STEPS,
    DISPARITY_STEPS,
    disparity_picture,
    read_image,
    share_picture,
    write_pfm,
    write_ply,
    write_png,
    write_steps,
)

MAP = np.array([[1.5, np.nan, 300.0], [0.0, 2.25, np.inf]], np.float32)


def test_pfm_is_bottom_up_and_marks_unknown_with_infinity(tmp_path: Path) -> None:
    write_pfm(tmp_path / 'a.pfm', MAP)
    header, size, scale, data = (tmp_path / 'a.pfm').read_bytes().split(b'\n', 3)
    assert (header, size, float(scale)) == (b'Pf', b'3 2', -1.0)
    rows = np.frombuffer(data, '<f4').reshape(2, 3)
    assert rows.tolist() == [[0.0, 2.25, np.inf], [1.5, np.inf, 300.0]]


def test_png_holds_steps_and_zero_for_unknown(tmp_path: Path) -> None:
    write_steps(tmp_path / 'd.png', MAP, DISPARITY_STEPS)
    found = cv2.imread(str(tmp_path / 'd.png'), cv2.IMREAD_UNCHANGED)
    assert found is not None
    # 300 px is beyond 65535 / 256; a known 0 must not look unknown.
    assert found.tolist() == [[384, 0, 65535], [1, 576, 0]]
    write_steps(tmp_path / 'z.png', MAP, DEPTH_STEPS)
    found = cv2.imread(str(tmp_path / 'z.png'), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert found.tolist() == [[1500, 0, 65535], [1, 2250, 0]]


def test_ply_is_read_by_another_library(tmp_path: Path) -> None:
    records = np.zeros((2, 4), np.float32)
    records[:, :3] = [[1, 2, 3], [4, 5, 6]]
    records.view(np.uint8)[:, 12:] = [[30, 20, 10, 0], [3, 2, 1, 0]]  # blue, green, red
    write_ply(tmp_path / 'c.ply', records)
    cloud: Any = trimesh.load(tmp_path / 'c.ply')
    assert np.asarray(cloud.vertices).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert np.asarray(cloud.colors)[:, :3].tolist() == [[10, 20, 30], [1, 2, 3]]


def test_images_are_read_as_rgb(tmp_path: Path) -> None:
    picture = np.zeros((32, 33, 3), np.uint8)
    picture[..., 0] = 200
    write_png(tmp_path / 'red.png', picture)
    assert np.array_equal(read_image(tmp_path / 'red.png'), picture)
    alpha = np.dstack((picture[..., ::-1], np.full((32, 33), 9, np.uint8)))
    cv2.imwrite(str(tmp_path / 'alpha.png'), alpha)
    assert np.array_equal(read_image(tmp_path / 'alpha.png'), picture)
    grey = np.full((32, 33), 40000, np.uint16)
    cv2.imwrite(str(tmp_path / 'grey.png'), grey)
    assert np.array_equal(read_image(tmp_path / 'grey.png'), grey)


def test_what_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / 'text.png').write_text('hello')
    (tmp_path / 'empty.png').write_bytes(b'')
    cv2.imwrite(str(tmp_path / 'float.tiff'), np.ones((32, 32), np.float32))
    for name in ('text.png', 'empty.png', 'float.tiff', 'missing.png'):
        with pytest.raises(ImageError, match=name):
            read_image(tmp_path / name)


def test_disparity_picture_goes_from_blue_to_red_and_unknown_is_black() -> None:
    disparity = np.tile(np.linspace(0, 50, 100, dtype=np.float32), (4, 1))
    disparity[2] = np.nan
    picture = disparity_picture(disparity)
    assert picture[2].max() == 0
    far, near = picture[0, 10].astype(int), picture[0, 85].astype(int)
    assert far[2] > far[0]
    assert near[0] > near[2]
    assert disparity_picture(np.full((3, 4), np.nan, np.float32)).max() == 0


def test_share_picture() -> None:
    share = np.array([[0.0, 0.5, 1.0, np.nan, 2.0]], np.float32)
    assert share_picture(share).tolist() == [[0, 128, 255, 0, 255]]


def test_failed_writing_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / 'taken.png'
    folder.mkdir()
    with pytest.raises(FileWriteError, match=r'taken\.png'):
        write_png(folder, np.zeros((32, 32), np.uint8))
    with pytest.raises(FileWriteError, match='missing'):
        write_png(tmp_path / 'missing' / 'a.png', np.zeros((32, 32), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ['taken.png']


def test_replaced_file_has_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / 'file'
    path.write_bytes(b'old')
    expected = path.stat().st_mode
    write_atomically(path, b'new')
    assert path.read_bytes() == b'new'
    assert path.stat().st_mode == expected
